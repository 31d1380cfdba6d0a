"""One condition on one figure: three outcomes, both directions, paired or not."""

from __future__ import annotations

import numpy as np
import pytest

from circuitprobe.gate.decide import Side, drop_test, limit_test
from circuitprobe.types import Estimate

NOISE = np.random.default_rng(0).standard_normal(1000)


def side(value: float, error: float, kept: np.ndarray | None) -> Side:
    return Side(Estimate(value, value - 1.96 * error, value + 1.96 * error, 200), kept)


def of_rows(value: float, error: float, noise: np.ndarray = NOISE) -> Side:
    return side(value, error, value + error * noise)


@pytest.mark.parametrize(
    ("new", "outcome"), [(0.37, "regression"), (0.45, "inconclusive"), (0.47, "inconclusive"), (0.55, "pass")]
)
def test_a_drop_beyond_the_tolerance_within_it_and_undecided(new: float, outcome: str) -> None:
    # the difference has an error of 0.02 sqrt 2 = 0.028, half an interval of 0.055, around new - 0.5; the bound is -0.05
    test = drop_test(of_rows(0.5, 0.02), of_rows(new, 0.02, NOISE[::-1]), 0.05, "higher", paired=False)
    assert test.outcome(test.p) == outcome
    assert test.bound == test.limit == -0.05
    assert test.value == pytest.approx(new - 0.5)


def test_a_regression_among_one_test_is_an_interval_below_the_bound() -> None:
    for new in np.linspace(0.36, 0.56, 41):
        test = drop_test(of_rows(0.5, 0.02), of_rows(float(new), 0.02, NOISE[::-1]), 0.05, "higher", paired=False)
        by_interval = "regression" if test.high < -0.05 else "pass" if test.low >= -0.05 else "inconclusive"
        assert test.outcome(test.p) == by_interval


def test_a_corrected_p_turns_a_regression_into_inconclusive_but_no_pass_into_anything() -> None:
    worse = drop_test(of_rows(0.5, 0.02), of_rows(0.37, 0.02, NOISE[::-1]), 0.05, "higher", paired=False)
    assert worse.outcome(0.0249) == "regression"
    assert worse.outcome(0.0251) == "inconclusive"
    better = drop_test(of_rows(0.5, 0.02), of_rows(0.6, 0.02, NOISE[::-1]), 0.05, "higher", paired=False)
    assert better.outcome(1.0) == "pass"


def test_where_lower_is_better_all_is_mirrored_but_what_is_reported() -> None:
    base, new = of_rows(0.5, 0.01), of_rows(0.62, 0.01, NOISE[::-1])
    rise = drop_test(base, new, 0.05, "lower", paired=False)
    assert rise.outcome(rise.p) == "regression"
    assert rise.value == pytest.approx(-0.12)
    assert rise.low < rise.value < rise.high < rise.bound == -0.05
    assert rise.limit == 0.05
    assert rise.difference is not None
    assert rise.difference.value == pytest.approx(0.12)
    assert (rise.difference.low, rise.difference.high) == (-rise.high, -rise.low)
    fall = drop_test(new, base, 0.05, "lower", paired=False)
    assert fall.outcome(fall.p) == "pass"
    same_as = drop_test(new, base, 0.05, "higher", paired=False)
    assert same_as.outcome(same_as.p) == "regression"
    assert same_as.p == pytest.approx(rise.p, rel=0.5)


def test_paired_resamples_decide_what_unpaired_ones_do_not() -> None:
    base, new = of_rows(0.5, 0.05), of_rows(0.42, 0.05)
    together = drop_test(base, new, 0.05, "higher", paired=True)
    apart = drop_test(base, new, 0.05, "higher", paired=False)
    assert together.outcome(together.p) == "regression"
    assert apart.outcome(apart.p) == "inconclusive"
    assert together.difference is not None
    assert together.difference.paired


@pytest.mark.parametrize("lacks", ["base", "new", "both"])
def test_figures_that_were_not_kept_are_compared_unpaired(lacks: str) -> None:
    base = side(0.5, 0.05, None if lacks != "new" else 0.5 + 0.05 * NOISE)
    new = side(0.5, 0.05, None if lacks != "base" else 0.5 + 0.05 * NOISE)
    test = drop_test(base, new, 0.05, "higher", paired=True)
    assert test.difference is not None
    assert not test.difference.paired
    assert test.high - test.low == pytest.approx(2 * 1.96 * 0.05 * np.sqrt(2), rel=0.1)


def test_without_a_tolerance_the_same_audit_passes_and_the_smallest_fall_does_not() -> None:
    same = drop_test(of_rows(0.5, 0.02), of_rows(0.5, 0.02), 0.0, "higher", paired=True)
    assert same.outcome(same.p) == "pass"
    assert str(same.limit) == "0.0"
    less = drop_test(of_rows(0.5, 0.02), of_rows(0.499, 0.02), 0.0, "higher", paired=True)
    assert less.outcome(less.p) == "regression"


@pytest.mark.parametrize(
    ("value", "kind", "outcome"),
    [
        (0.35, "min", "pass"), (0.32, "min", "inconclusive"), (0.28, "min", "inconclusive"), (0.25, "min", "regression"),
        (0.25, "max", "pass"), (0.28, "max", "inconclusive"), (0.32, "max", "inconclusive"), (0.35, "max", "regression"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kept", [True, False])
def test_limits(value: float, kind: str, outcome: str, kept: bool) -> None:
    # half an interval is 0.039, which lies between 0.02 and 0.05
    test = limit_test(side(value, 0.02, value + 0.02 * NOISE if kept else None), 0.3, kind)  # type: ignore[arg-type]
    assert test.outcome(test.p) == outcome
    assert test.limit == 0.3
    assert test.difference is None
    assert test.n == 200


def test_rows_to_decide_a_limit_are_those_whose_interval_leaves_it_out() -> None:
    for value, kind in ((0.32, "min"), (0.28, "max")):
        test = limit_test(side(value, 0.02, None), 0.3, kind)  # type: ignore[arg-type]
        # the half of 0.0392 must shrink to 0.02, so 1.96^2 times the 200 rows; normal draws, so about
        assert test.rows_to_decide(1) == pytest.approx(200 * 1.96**2, rel=0.15)


@pytest.mark.parametrize("kind", ["min", "max"])
def test_a_figure_without_an_interval_decides_nothing(kind: str) -> None:
    test = limit_test(Side(Estimate(0.1, None, None, 50), None), 0.3, kind)  # type: ignore[arg-type]
    assert test.outcome(test.p) == "inconclusive"
    assert test.rows_to_decide(1) is None
    drop = drop_test(of_rows(0.5, 0.01), Side(Estimate(0.1, None, None, 50), None), 0.05, "higher", paired=True)
    assert drop.outcome(drop.p) == "inconclusive"
    assert drop.rows_to_decide(3) is None


def test_undefined_resamples_are_left_out_of_a_limit() -> None:
    kept = 0.35 + 0.01 * NOISE
    kept[::3] = np.nan
    test = limit_test(side(0.35, 0.01, kept), 0.3, "min")
    assert test.outcome(test.p) == "pass"
    assert test.low == pytest.approx(0.33, abs=0.004)
