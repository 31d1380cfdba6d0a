"""Differences of figures: paired and unpaired resamples, p-values by hand, the rows that would decide, and error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from circuitprobe.stats.bootstrap import Resampler
from circuitprobe.stats.difference import COUNT, difference, p_worse, resamples_of, rows_to_decide
from circuitprobe.types import Estimate

NAN = float("nan")


def means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    return Resampler(len(values), resamples, seed).means(values)


def test_paired_resamples_are_subtracted_one_by_one() -> None:
    new, base = np.array([5.0, 7.0, 9.0, 20.0]), np.array([1.0, 4.0, 5.0, 10.0])
    found = difference(8.0, 5.0, new, base, paired=True)
    assert found.resampled.tolist() == [4.0, 3.0, 4.0, 10.0]
    assert found.value == 3.0
    assert found.paired
    assert (found.low, found.high) == tuple(np.quantile([3.0, 4.0, 4.0, 10.0], [0.025, 0.975]))


def test_unpaired_resamples_have_the_variance_of_both_although_the_same_rows_were_drawn() -> None:
    shared = np.random.default_rng(0).normal(size=4000)
    new, base = 3.0 * shared, 4.0 * shared
    apart = difference(0.0, 0.0, new, base, paired=False)
    together = difference(0.0, 0.0, new, base, paired=True)
    assert apart.resampled.var() == pytest.approx(new.var() + base.var(), rel=0.05)
    assert together.resampled.var() == pytest.approx(shared.var(), rel=1e-9)
    assert not apart.paired
    assert sorted(apart.resampled + 0.0) != sorted(together.resampled)


def test_of_unequal_numbers_of_resamples_the_first_ones_are_paired() -> None:
    found = difference(0.0, 0.0, np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0]), paired=True)
    assert found.resampled.tolist() == [0.0, 1.0]


def test_resamples_undefined_on_one_side_are_left_out_in_pairs() -> None:
    found = difference(0.0, 0.0, np.array([1.0, NAN, 3.0, 4.0]), np.array([0.0, 1.0, NAN, 1.0]), paired=True)
    assert found.resampled.tolist() == [1.0, 3.0]


def test_without_one_resample_defined_on_both_sides_there_is_no_interval() -> None:
    found = difference(2.0, 1.0, np.array([1.0, NAN]), np.array([NAN, 1.0]), paired=True)
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert p_worse(found.resampled, 0.0) == 1.0


def test_exchanged_sides_mirror_the_difference() -> None:
    rng = np.random.default_rng(1)
    new, base = rng.normal(size=(2, 999))
    there, back = difference(1.0, 3.0, new, base, paired=True), difference(3.0, 1.0, base, new, paired=True)
    assert there.value == -back.value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_p_counts_the_resamples_that_reach_the_bound_and_one_more() -> None:
    drawn = np.array([1.0, 2.0, 3.0, 4.0])
    assert p_worse(drawn, 3.0) == pytest.approx(3 / 5)
    assert p_worse(drawn, 4.0) == pytest.approx(2 / 5)
    assert p_worse(drawn, 0.0) == 1.0


def test_where_no_resample_reaches_the_bound_the_normal_tail_beyond_it_counts() -> None:
    drawn = np.array([0.0, 1.0, 2.0])
    expected = stats.norm.sf((10.0 - 1.0) / np.sqrt(2 / 3))
    assert p_worse(drawn, 10.0) == pytest.approx(expected, rel=1e-9)
    assert expected < 1e-27


def test_the_normal_tail_never_makes_p_larger_than_the_count() -> None:
    drawn = np.arange(1000.0)
    assert stats.norm.sf((1000.0 - drawn.mean()) / drawn.std()) > 0.04
    assert p_worse(drawn, 1000.0) == 1 / 1001


def test_a_figure_without_spread_is_decided_by_its_value() -> None:
    assert p_worse(np.ones(3), 1.1) == 0.0
    assert p_worse(np.ones(3), 1.0) == 1.0


def test_rows_that_would_decide_by_hand() -> None:
    # the interval must shrink to a half, so four times the rows
    assert rows_to_decide(0.02, -0.02, 0.06, 0.0, 100) == 400
    assert rows_to_decide(-0.02, -0.06, 0.02, 0.0, 100) == 400
    # only the half towards the bound counts
    assert rows_to_decide(0.02, -0.04, 0.03, 0.0, 100) == 900
    assert rows_to_decide(0.25, 0.15, 0.5, 0.2, 50) == 200
    assert rows_to_decide(7.02, 6.98, 7.06, 7.0, 100) == 400


def test_rows_for_a_regression_among_several_tests_are_those_of_the_first_holm_sidak_step() -> None:
    rows = rows_to_decide(-0.02, -0.06, 0.02, 0.0, 100, tests=10)
    assert rows is not None
    # with so many rows the normal p lies at 0.025 after the correction for ten tests, with one fewer above it

    def corrected(n: int) -> float:
        sd = (0.04 / stats.norm.ppf(0.975)) * np.sqrt(100 / n)
        return float(multipletests([stats.norm.cdf(-0.02 / sd), *[0.99] * 9], method="holm-sidak")[1][0])

    assert corrected(rows) <= 0.025 < corrected(rows - 1)
    assert rows > 400
    # for a pass there is no correction
    assert rows_to_decide(0.02, -0.02, 0.06, 0.0, 100, tests=10) == 400


def test_more_rows_than_there_were_are_always_needed() -> None:
    assert rows_to_decide(-0.05, -0.09, -0.04, 0.0, 100, tests=3) == 101
    # a percentile interval that does not hold its value
    assert rows_to_decide(-0.02, -0.06, -0.03, 0.0, 100, tests=40) == 101


def test_on_the_bound_or_without_an_interval_no_number_of_rows_decides() -> None:
    assert rows_to_decide(0.3, 0.2, 0.4, 0.3, 100) is None
    assert rows_to_decide(0.1 + 0.2, 0.2, 0.4, 0.3, 100) is None
    assert rows_to_decide(1e-200, -0.1, 0.1, 0.0, 100) is None
    assert rows_to_decide(0.5, NAN, NAN, 0.3, 100) is None


def test_kept_resamples_are_taken_as_they_are() -> None:
    kept = np.array([1.0, NAN, 2.0])
    assert resamples_of(Estimate(1.0, 0.0, 2.0, 9), kept, 0, 1) is kept


@pytest.mark.parametrize("kept", [None, np.full(5, NAN)])
def test_else_normal_draws_have_the_interval_and_each_side_draws_apart(kept: np.ndarray | None) -> None:
    figure = Estimate(2.0, 1.0, 3.0, 100)
    new, base = resamples_of(figure, kept, 0, 1), resamples_of(figure, kept, 0, 0)
    assert len(new) == COUNT
    assert np.quantile(new, [0.025, 0.975]) == pytest.approx([1.0, 3.0], abs=0.15)
    assert new.mean() == pytest.approx(2.0, abs=0.1)
    assert abs(np.corrcoef(new, base)[0, 1]) < 0.1
    assert np.array_equal(new, resamples_of(figure, kept, 0, 1))
    assert np.all(resamples_of(Estimate(0.5, 0.5, 0.5, 9), kept, 0, 0) == 0.5)


@pytest.mark.parametrize("figure", [Estimate(2.0, None, None, 9), Estimate(None, None, None, 9)])
def test_without_an_interval_nothing_is_known_of_a_resample(figure: Estimate) -> None:
    assert np.isnan(resamples_of(figure, None, 0, 0)).all()


def trials(count: int, *, shift: float, paired: bool) -> list[tuple[float, float, float]]:
    """Interval and p of new - base >= 0, true difference ``shift``; rows are shared or not, figures skewed."""
    rng = np.random.default_rng(4)
    found = []
    for trial in range(count):
        base = rng.exponential(size=150)
        new = (0.7 * base + 0.3 * rng.exponential(size=150) if paired else rng.exponential(size=150)) + shift
        seed = (trial, trial) if paired else (trial, trial + 10_000)
        drawn = means(new, 400, seed[0]), means(base, 400, seed[1])
        d = difference(new.mean(), base.mean(), *drawn, paired=paired)
        found.append((d.low, d.high, p_worse(d.resampled, 0.0)))
    return found


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_a_difference_of_means_covers_at_its_rate(paired: bool) -> None:
    hits = [low <= 0.4 <= high for low, high, _ in trials(400, shift=0.4, paired=paired)]
    # 95 %, three Monte Carlo errors of 1.1 %
    assert 0.917 <= np.mean(hits) <= 0.983


@pytest.mark.parametrize("paired", [True, False])
def test_a_figure_that_lies_on_the_bound_is_seldom_a_regression(paired: bool) -> None:
    false = np.mean([p < 0.025 for *_, p in trials(600, shift=0.0, paired=paired)])
    # 2.5 %, three Monte Carlo errors of 0.64 %; not so few either, or the test would have no power
    assert 0.006 <= false <= 0.025 + 3 * 0.0064


def test_what_is_twice_the_error_below_the_bound_is_mostly_a_regression() -> None:
    # the error of a difference of two means of 150 rows is 0.115
    found = np.mean([p < 0.025 for *_, p in trials(200, shift=-0.35, paired=False)])
    assert found > 0.75


def test_pairing_makes_the_interval_of_the_same_rows_far_narrower() -> None:
    rng = np.random.default_rng(2)
    base = rng.exponential(size=300)
    new = base + 0.05 * rng.normal(size=300)
    drawn = means(new, 1000, 0), means(base, 1000, 0)
    together, apart = (difference(new.mean(), base.mean(), *drawn, paired=paired) for paired in (True, False))
    assert together.high - together.low < 0.1 * (apart.high - apart.low)
