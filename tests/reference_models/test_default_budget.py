"""Each architecture at its default budget reconstructs: the hardest table here, all four in benchmarks/REFERENCE_MODELS.md."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

import circuitprobe as cp
from circuitprobe.reference_models import ARCHITECTURES, LogEntry, rebuild, train

# of the MSE of predicting each column's mean or frequencies; the largest of all twenty is 0.61, beta-VAE on german_credit
LARGEST_SHARE = 2 / 3


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_default_budget_beats_column_means(arch: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = "german_credit"
    path = tmp_path_factory.mktemp("models") / f"{table}.pt"
    trained = train(table, arch=arch, out=path)
    report = cp.audit(path, table, levels=(2,), twin=False, resamples=10, permutations=10)
    assert report.reconstruction is not None
    mse = report.reconstruction.mse
    assert mse.value is not None
    assert mse.null is not None
    assert mse.value < LARGEST_SHARE * mse.null
    log = rebuild(torch.load(path, weights_only=True))[2]["training"]["log"]
    assert len(log) == len(trained.log) >= 20
    assert set(log[0]) == {field.name for field in fields(LogEntry)}
    assert log[-1]["validation_elbo"] < log[0]["validation_elbo"]
    assert (log[-1]["regulariser"] != 0.0) == (arch not in ("vae", "beta-vae"))


@pytest.mark.slow
def test_active_latents_fall_as_beta_rises() -> None:
    from circuitprobe.reference_models.likelihoods import kl_to_prior
    from circuitprobe.reference_models.training_rows import read_training_rows

    x = read_training_rows("wine_quality").x
    active = []
    for beta in (0.5, 2.0, 6.0):
        trained = train("wine_quality", arch="beta-vae", beta=beta, steps=800)
        with torch.no_grad():
            active.append(int((kl_to_prior(*trained.model.encode(x)).mean(0) > 0.01).sum()))
    assert active == sorted(active, reverse=True)
    assert active[0] >= 8
    assert active[0] > active[1] > active[2]
