"""What the intervals promise: they hold the value, narrow with 1/sqrt(n), and only they and the null see the seed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch import nn

import circuitprobe as cp
from circuitprobe.types import Decode, Feature, FeatureKind

from . import paper
from .figures import assert_same, estimates, values, with_intervals, without_draws
from .random_vae import GROUPS, RandomVAE, Rewiring, features, random_rows
from .vaes import PaperVAE, audit, linear

if TYPE_CHECKING:
    from pathlib import Path

T = paper.mean_step()


def kinked(rows: int, **options: Any) -> Any:
    """D = relu(z), mu = +-1, x = relu(mu) in {0, 1} taken as numeric: s_f = 1/2.

    Row mu = -1: half of the values give 0, the other half 1 on average: mean 1/2, over s_f: 1.
    Row mu = 1: lower half 1, upper half T: (1 + T)/2, over s_f: 1 + T. CES = 1 + T/2, per-row standard deviation T/2.
    """
    feature = Feature("y", FeatureKind.NUMERIC, (0,), Decode((0,)))
    model = PaperVAE(linear([[2]], [-1]), [paper.SIGMA], nn.Sequential(linear([[1]]), nn.ReLU()))
    return audit(model, np.tile([[0.0], [1.0]], (rows // 2, 1)), features=[feature], **options)


@pytest.mark.parametrize("rows", [100, 400, 1600])
def test_width_is_that_of_a_mean(rows: int) -> None:
    """95 % of a mean of n values with standard deviation T/2: 2 x 1.96 x T/2 / sqrt(n)."""
    ces = kinked(rows, resamples=2000).scores.ces
    assert ces.value == pytest.approx(1 + T / 2, abs=1e-6)
    assert ces.high - ces.low == pytest.approx(2 * 1.96 * T / 2 / math.sqrt(rows), rel=0.12)
    assert (ces.low + ces.high) / 2 == pytest.approx(ces.value, abs=0.3 * T / math.sqrt(rows))
    assert ces.n == rows


def test_four_times_the_rows_halve_the_interval() -> None:
    widths = []
    for rows in (256, 1024):
        effect = kinked(rows, resamples=2000).latents[0].effects["y"]
        widths.append(effect.high - effect.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)


def test_accuracy_interval_is_binomial() -> None:
    """Three of four rows right, n = 400: standard error sqrt(3/16/400)."""
    flag = Feature("flag", FeatureKind.BINARY, (0,), Decode((0,)), ("no", "yes"))
    score = Feature("score", FeatureKind.NUMERIC, (1,), Decode((1,)))
    rows = np.tile([[0.0, -1.0], [1.0, 1.0], [0.0, -1.0], [1.0, -1.0]], (100, 1))
    model = PaperVAE(linear([[0, 1]]), [0.5], linear([[0.25], [1]], [0.5, 0]))
    report: Any = audit(model, rows, features=[flag, score], resamples=2000)
    accuracy = report.reconstruction.features["flag"].accuracy
    assert accuracy.value == pytest.approx(0.75, abs=1e-12)
    assert accuracy.null == pytest.approx(0.5, abs=1e-12)
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * math.sqrt(3 / 16 / 400), rel=0.12)


def random_audit(rows: int = 150, seed: int = 0, audited: int = 2048, **options: Any) -> Any:
    rng = np.random.default_rng(42)
    x, module = random_rows(rng, rows), RandomVAE(rng)
    chosen: dict[str, Any] = {"resamples": 300, "permutations": 40, "twin": False, "n_values": 3} | options
    return cp.audit(Rewiring().wrap(module), x, features=features(), groups=GROUPS, rows=audited, seed=seed, **chosen)


@pytest.fixture(scope="module")
def report() -> Any:
    return random_audit()


def test_every_interval_holds_its_value(report: Any) -> None:
    seen = 0
    for path, estimate in estimates(report):
        if estimate.value is None:
            assert (estimate.low, estimate.high) == (None, None), path
            continue
        assert estimate.low <= estimate.value <= estimate.high, path
        seen += 1
    assert seen > 40


def test_n_is_the_number_of_audited_rows(report: Any) -> None:
    assert {estimate.n for _, estimate in estimates((report.scores, report.latents, report.reconstruction))} == {150}


def test_intervals_have_width_where_rows_differ(report: Any) -> None:
    for score in ("ces", "ces_prior", "calibration_ratio", "specificity", "fgd", "fgc", "modularity"):
        estimate = getattr(report.scores, score)
        assert 0 < estimate.high - estimate.low < 1.5 * abs(estimate.value), score
    assert all(latent.ces.low < latent.ces.high for latent in report.latents)
    assert report.reconstruction.mse.low < report.reconstruction.mse.high


def test_seed_changes_intervals_and_null_only(report: Any) -> None:
    other = random_audit(seed=1)
    for part in ("scores", "latents", "reconstruction"):
        before, after = getattr(report, part), getattr(other, part)
        assert_same(without_draws(values(after)), without_draws(values(before)), 1e-12)
        assert with_intervals(after) != with_intervals(before)
    assert other.scores.ces.low != report.scores.ces.low
    assert other.scores.fgd.null != report.scores.fgd.null


def test_same_seed_same_bytes(report: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    report.to_json(first)
    random_audit().to_json(second)
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 1000


def test_resamples_and_permutations_touch_nothing_else(report: Any) -> None:
    other = random_audit(resamples=20)
    assert_same(values(other.scores), values(report.scores), 1e-12)
    assert other.scores.fgd.null == report.scores.fgd.null
    other = random_audit(permutations=10)
    assert_same(without_draws(values(other.scores)), without_draws(values(report.scores)), 1e-12)


def test_audited_rows_are_drawn_by_the_seed() -> None:
    """150 rows, 60 audited: n = 60; the same seed draws the same rows, another seed others."""
    first, again, other = (
        random_audit(rows=150, seed=seed, audited=60, resamples=10, permutations=10, n_values=2) for seed in (3, 3, 4)
    )
    assert [report.scores.ces.n for report in (first, again, other)] == [60] * 3
    assert (first.data.rows_total, first.data.rows_audited) == (150, 60)
    assert first.data.rows_sha256 == again.data.rows_sha256
    assert first.data.rows_sha256 != other.data.rows_sha256
    assert first.scores.ces.value == again.scores.ces.value
