"""Resamples: what they are drawn from, what stays the same, how intervals behave."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from circuitprobe.stats import bootstrap
from circuitprobe.stats.bootstrap import Resampler, estimate
from circuitprobe.types import Estimate


def test_resamples_are_the_documented_draws() -> None:
    values = np.random.default_rng(1).normal(size=7)
    rng = np.random.default_rng([5, 2])
    by_hand = np.array([values[rng.integers(0, 7, size=7)].mean() for _ in range(20)])
    assert np.allclose(Resampler(7, 20, 5).means(values), by_hand, atol=1e-15)


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(size=(50, 2, 3))
    whole = Resampler(50, 30, 0).means(values)
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 50 * 8 * 4)
    assert np.allclose(Resampler(50, 30, 0).means(values), whole, atol=1e-15)
    assert whole.shape == (30, 2, 3)


def test_interval_of_a_mean_agrees_with_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(2.0, 3.0, size=2000)
    e = estimate(values.mean(), Resampler(2000, 4000, 0).means(values), 2000)
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(2000)
    assert e.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert e.high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_interval_covers_at_its_rate() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        values = rng.exponential(size=200)
        e = estimate(values.mean(), Resampler(200, 400, trial).means(values), 200)
        hits += e.low <= 1.0 <= e.high
    assert 0.90 <= hits / 300 <= 0.98


def test_undefined_values_stay_undefined() -> None:
    assert estimate(float("nan"), np.ones(5), 9) == Estimate(None, None, None, 9)
    some = estimate(1.0, np.array([np.nan, 1.0, 1.0]), 9, null=0.2)
    assert some == Estimate(1.0, 1.0, 1.0, 9, 0.2)


@pytest.mark.parametrize(("value", "low", "high"), [(0.5, 0.5, 2.0), (3.0, 1.0, 3.0), (1.5, 1.0, 2.0)])
def test_an_interval_contains_its_value(value: float, low: float, high: float) -> None:
    """A statistic that is biased on resamples may lie outside their percentiles; the end then moves to it."""
    resampled = np.r_[np.full(50, 1.0), np.full(50, 2.0)]
    assert estimate(value, resampled, 10) == Estimate(value, low, high, 10)
