"""What the gate's error rates are measured on is what it is said to be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import circuitprobe as cp
from benchmarks.gate_models import EXAMPLES, Subject, collapsed, encoded, ignored, rotated, shrunk, shuffled
from benchmarks.gate_report import SAME, WORSE, Outcome, report
from circuitprobe.reference_models.architectures import TableVAE

ROWS = 200


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("adult_vae", cp.load(EXAMPLES / "adult_vae.pt"), "adult")


def halves(subject: Subject, vae: cp.ProbedVAE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, log-variance and reconstruction of some rows."""
    with torch.no_grad():
        mean, log_var = vae.run_encoder(vae.model, encoded(subject)[:ROWS])
        return mean, log_var, vae.run_decoder(vae.model, mean)


def test_a_shuffled_model_is_the_same_function_under_other_names(subject: Subject) -> None:
    mean, log_var, output = halves(subject, subject.vae)
    other_mean, other_log_var, other_output = halves(subject, subject.changed(shuffled(3)))
    assert torch.allclose(output, other_output, atol=1e-5)
    assert not torch.allclose(mean, other_mean, atol=1e-2)
    sizes, others = mean.abs().mean(0).sort().values, other_mean.abs().mean(0).sort().values
    assert torch.allclose(sizes, others, atol=1e-5)
    assert torch.allclose(log_var.mean(0).sort().values, other_log_var.mean(0).sort().values, atol=1e-5)


def test_a_rotation_mixes_two_latents_and_leaves_the_model(subject: Subject) -> None:
    mean, _, output = halves(subject, subject.vae)
    turned, _, other_output = halves(subject, rotated(subject, 2, 5))
    assert torch.allclose(output, other_output, atol=1e-5)
    kept = [i for i in range(mean.shape[1]) if i not in (2, 5)]
    assert torch.allclose(mean[:, kept], turned[:, kept], atol=1e-6)
    assert torch.allclose(turned[:, 2], (mean[:, 2] - mean[:, 5]) / 2**0.5, atol=1e-5)
    assert torch.allclose(turned[:, 5], (mean[:, 2] + mean[:, 5]) / 2**0.5, atol=1e-5)


def test_other_changes_are_what_they_are_called(subject: Subject) -> None:
    original = cast("TableVAE", subject.vae.model)
    first = cast("torch.nn.Linear", original.decoder[0]).weight
    half = cast("TableVAE", subject.changed(shrunk(4)).model)
    assert torch.equal(cast("torch.nn.Linear", half.decoder[0]).weight[:, 4], 0.5 * first[:, 4])
    assert torch.equal(cast("torch.nn.Linear", half.decoder[0]).weight[:, 3], first[:, 3])
    mean, log_var, _ = halves(subject, subject.changed(collapsed(4)))
    assert not mean[:, 4].any()
    assert not log_var[:, 4].any()
    deaf = cast("TableVAE", subject.changed(ignored(4)).model)
    assert not cast("torch.nn.Linear", deaf.decoder[0]).weight[:, 4].any()
    assert torch.equal(first, cast("torch.nn.Linear", original.decoder[0]).weight)


def test_samples_share_no_row(subject: Subject) -> None:
    for seed in (0, 1):
        before, now = subject.samples(seed)
        assert len(before) == len(now) == 2048
        assert not set(before.index) & set(now.index)
    assert list(subject.samples(0)[0].index) != list(subject.samples(1)[0].index)


def test_the_report_counts_what_failed_and_what_was_missed() -> None:
    def outcome(kind: str, failed: bool, named: bool = True) -> Outcome:
        return Outcome(kind, "m", False, failed, 1, 10, named, ("z1 lost it",) if failed else (), (1,))  # type: ignore[arg-type]

    every = [outcome(kind, failed=False) for kind in SAME] + [outcome(kind, failed=True) for kind in WORSE]
    text = report([*every, outcome("other rows", failed=True), outcome("shrunk", failed=True, named=False)], "a night")
    assert "1 of 3 (33.3%" in text
    assert "1 of 2 (50.0%" in text
    assert "z1 lost it" in text
