"""Figures and sentences of the terminal report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.report.heat import ASCII_SHADES, SHADES, shade
from circuitprobe.report.words import interval, joined, number
from circuitprobe.types import Estimate

FAST: dict[str, Any] = {"resamples": 20, "permutations": 20}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.13284, "0.133"),
        (0.0043, "0.0043"),
        (0.9996, "1.00"),
        (2.3451, "2.35"),
        (23.451, "23.5"),
        (234.51, "235"),
        (23451.0, "23451"),
        (234567.0, "2.3e+05"),
        (0.0000123, "1.2e-05"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_intervals_and_lists() -> None:
    assert interval(Estimate(0.133, 0.13, 0.1361, 10)) == "0.133 [0.13, 0.136]"
    assert interval(Estimate(None, None, None, 10)) == "-"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize("unicode", [True, False])
def test_shades_rise_in_equal_steps(unicode: bool) -> None:
    shades = SHADES if unicode else ASCII_SHADES
    assert [shade(v, 1.0, unicode=unicode) for v in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)] == [
        shades[i] for i in (0, 0, 1, 2, 3, 4, 4)
    ]
    assert shade(1.0, 0.0, unicode=unicode) == shades[0]


class Linear(nn.Module):
    """mu = A x, fixed variance, D(z) = B z."""

    def __init__(self, a: list[list[float]], b: list[list[float]], log_var: float = -4.0) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))
        self.log_var = log_var

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x @ self.a.T
        log_var = torch.full_like(mean, self.log_var)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.b.T


def table(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(rows, 3)), columns=["age", "pay", "debt"])


def printed(report: cp.AuditReport, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(report)
    return console.export_text()


def test_verdict_names_what_each_latent_drives_and_what_is_dead() -> None:
    """z0 -> age alone; z1 -> pay and debt alike; z2 is never used by the encoder: mu = 0, KL = that of N(0, 1) = 0."""

    class WithDead(Linear):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = super().encode(x)
            mean, log_var = (torch.cat([each, 0 * each[:, :1]], 1) for each in (mean, log_var))
            return mean, log_var

    frame = table()
    frame["debt"] = frame["pay"]
    model = WithDead([[1.0, 0, 0], [0, 0.5, 0.5]], [[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    report = cp.audit(model, frame, twin=False, **FAST)
    text = " ".join(report.verdict)
    assert report.verdict[0].startswith("The model reconstructs: MSE")
    assert "2 of 3 latents are active; z2 carries nothing." in report.verdict
    assert "z0 drives age (100% of its effect;" in text
    assert "z1 drives pay and debt (100% of its effect;" in text
    assert report.latents[2].specificity.value is None


def test_a_model_that_does_not_reconstruct_says_so_first() -> None:
    model = Linear([[1.0, 0, 0]], [[-1.0], [0.0], [0.0]])
    report = cp.audit(model, table(), twin=False, **FAST)
    assert report.verdict[0].startswith("The model does NOT reconstruct")
    assert report.warnings[0].code == "not_reconstructing"
    lines = printed(report).splitlines()
    assert "NOT reconstruct" in next(line for line in lines[1:] if line.strip())


def test_twin_that_reaches_a_score_is_a_warning() -> None:
    """An untrained network audited as the model: its twin is its equal in kind."""
    torch.manual_seed(3)

    class Untrained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.m, self.v = nn.Linear(3, 2), nn.Linear(3, 2)
            self.d = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = self.m(x), self.v(x) - 2
            return mean, log_var

        def decode(self, z: Tensor) -> Tensor:
            return self.d(z)

    report = cp.audit(Untrained(), table(), seed=1, **FAST)
    assert "twin_reaches" in {warning.code for warning in report.warnings}


def test_few_rows_missing_values_and_constants_are_warned_of() -> None:
    frame = table(40)
    frame.loc[3, "pay"] = None
    frame["debt"] = 2.0
    report = cp.audit(Linear([[1.0, 0, 0]], [[1.0], [0.0], [0.0]]), frame, twin=False, **FAST)
    messages = {warning.code: warning.message for warning in report.warnings}
    assert "only 40 rows" in messages["few_rows"]
    assert "pay: 1 (median" in messages["missing_values"]
    assert "debt" in messages["constant_columns"]
    assert [feature.name for feature in report.data.features] == ["age", "pay"]


@pytest.mark.parametrize("width", [30, 50, 89, 90, 140])
def test_the_printed_report_keeps_to_the_width_and_shows_every_part(width: int) -> None:
    report = cp.audit(Linear([[1.0, 0, 0], [0, 1.0, 0]], [[1.0, 0], [0, 1.0], [0, 0.2]]), table(), **FAST)
    text = printed(report, width)
    assert max(len(line) for line in text.splitlines()) <= width
    flat = text.replace("\n", " ")
    for part in ("Scores", "Latents", "Effect of each", "Reconstruction", "What was audited", "modularity", "z1"):
        assert part in flat


def test_column_in_another_coding_than_the_models_is_warned_of() -> None:
    """A decoder that gives back -age: worse than the mean, which no training brings about."""
    model = Linear([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[-1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    report = cp.audit(model, table().to_numpy(), twin=False, **FAST)
    (warning,) = [warning for warning in report.warnings if warning.code == "worse_than_chance"]
    assert warning.message.startswith("x0 comes back worse than by chance")
    fine = cp.audit(Linear([[1.0, 0, 0]], [[1.0], [0.0], [0.0]]), table().to_numpy(), twin=False, **FAST)
    assert "worse_than_chance" not in {warning.code for warning in fine.warnings}


def test_callers_values_go_for_the_twin_too() -> None:
    """D(z) = w z, w = 1 in the model and 3 in the twin: with the same values the twin's effects are three times as large."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor(1.0))

        def reset_parameters(self) -> None:
            self.w.fill_(3.0)

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = x[:, :2], torch.full((len(x), 2), -2.0)
            return mean, log_var

        def decode(self, z: Tensor) -> Tensor:
            return self.w * torch.cat([z, z[:, :1] + z[:, 1:]], 1)

    values = np.array([[-1.0, 0.0, 2.0], [0.3, 0.2, 0.1]])
    report = cp.audit(Scaled(), table().to_numpy(), values=values, **FAST)
    assert report.twin.scores is not None
    assert report.twin.scores.ces.value == pytest.approx(3 * report.scores.ces.value, rel=1e-5)
    assert report.twin.scores.ces_prior.value == pytest.approx(3 * report.scores.ces_prior.value, rel=1e-5)


def test_a_twin_that_would_run_the_models_own_weights_is_none() -> None:
    """Callables that use a module of their own instead of the one they are given."""
    model = Linear([[1.0, 0, 0]], [[1.0], [0.0], [0.0]])
    vae = cp.wrap(model, encode=lambda m, x: model.encode(x), decode=lambda m, z: model.decode(z))
    report = cp.audit(vae, table().to_numpy(), **FAST)
    assert report.twin.scores is None
    assert "must use the module they are given" in report.twin.how


def test_names_are_no_markup_and_steer_no_terminal() -> None:
    frame = table()
    frame.columns = pd.Index(["[/red]", "pay\x1b[31mRED", "x" * 500])
    report = cp.audit(Linear([[1.0, 0, 0]], [[1.0], [0.5], [0.1]]), frame, twin=False, **FAST)
    text = printed(report)
    assert "[/red]" in text
    assert "\x1b" not in text
    assert "x" * 60 not in text
    assert len(text.splitlines()) < 100
