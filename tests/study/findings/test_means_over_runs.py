"""Means, Welch and Fieller against values that R printed, and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from circuitprobe.study.findings.means import mean_of, ratio_of, welch

# R's data set sleep (Cushny and Peebles 1905), groups 1 and 2
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

# R draws these with seed 12345: five of mean 1, then five of mean 2
DRAWN_1 = [1.5855288, 1.7094660, 0.8906967, 0.5465028, 1.6058875]
DRAWN_2 = [0.1820440, 2.6300986, 1.7238159, 1.7158403, 1.0806780]


def test_welch_gives_what_r_prints_for_sleep() -> None:
    """t.test(extra ~ group, data = sleep), in R's documentation."""
    found = welch(SLEEP_1, SLEEP_2)
    assert found.reason is None
    assert found.t == pytest.approx(-1.8608, abs=5e-5)
    assert found.df == pytest.approx(17.776, abs=5e-4)
    assert found.p == pytest.approx(0.07939, abs=5e-6)
    assert found.difference.value == pytest.approx(0.75 - 2.33)
    assert (found.difference.low, found.difference.high) == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)
    assert found.difference.n == 20


def test_ratio_gives_what_mratios_prints() -> None:
    """t.test.ratio(a1, a2), as shown at mikuhatsune.hatenadiary.com/entry/20121212: 0.8643849 [0.4056763, 2.6170008]."""
    found = ratio_of("drawn", DRAWN_1, DRAWN_2)
    assert found.reason is None
    assert found.ratio.value == pytest.approx(0.8643849, abs=1e-7)
    assert (found.ratio.low, found.ratio.high) == pytest.approx((0.4056763, 2.6170008), abs=2e-7)


def test_ratio_by_hand() -> None:
    """Numerator without variance: m1 = 2, v1 = 0; m2 = 4, v2 = 4 / 4 = 1, df = 3, t = 3.182446.

    (16 - t^2) rho^2 - 16 rho + 4 = 0, so rho = 2 / (4 -+ t): the ratio's ends are m1 over the ends of the mean below.
    """
    found = ratio_of("by hand", [2.0, 2.0, 2.0], [2.0, 6.0, 3.0, 5.0])
    t = 3.182446305
    v2 = (10 / 3) / 4
    half = t * math.sqrt(v2)
    assert found.df == pytest.approx(3.0)
    assert found.ratio.value == pytest.approx(0.5)
    assert (found.ratio.low, found.ratio.high) == pytest.approx((2 / (4 + half), 2 / (4 - half)))


@settings(max_examples=60)
@given(
    first=st.lists(st.floats(0.2, 0.4), min_size=3, max_size=12),
    second=st.lists(st.floats(0.5, 0.9), min_size=3, max_size=12),
)
def test_ends_of_a_ratio_are_where_its_test_turns(first: list[float], second: list[float]) -> None:
    found = ratio_of("", first, second)
    if found.ratio.low is None or found.ratio.high is None or found.ratio.value is None or found.df is None:
        assert found.reason is not None
        return
    assert found.ratio.low <= found.ratio.value <= found.ratio.high
    top, bottom = np.array(first), np.array(second)
    for rho in (found.ratio.low, found.ratio.high):
        spread = top.var(ddof=1) / len(top) + rho**2 * bottom.var(ddof=1) / len(bottom)
        t = abs(top.mean() - rho * bottom.mean()) / math.sqrt(spread)
        assert t == pytest.approx(float(stats.t.ppf(0.975, found.df)), rel=1e-6)


def test_intervals_of_ratios_cover() -> None:
    """Of 600 studies with a ratio of 0.5 and unequal variances 95 % give intervals that hold it, within three standard errors."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        ratio = ratio_of("", list(rng.normal(0.3, 0.1, 12)), list(rng.normal(0.6, 0.03, 4))).ratio
        assert ratio.low is not None
        assert ratio.high is not None
        held += ratio.low <= 0.5 <= ratio.high
    assert abs(held / 600 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 600)


def test_ratio_to_a_mean_that_may_be_zero_has_no_interval() -> None:
    found = ratio_of("", [1.0, 2.0, 3.0], [-1.0, 2.0, 0.5])
    assert found.ratio.value == pytest.approx(4.0)
    assert (found.ratio.low, found.ratio.high) == (None, None)
    assert found.reason is not None
    assert "no end" in found.reason


@pytest.mark.parametrize(
    ("first", "second", "value", "why"),
    [
        ([], [1.0, 2.0], None, "fewer than two runs on a side (0 and 2)"),
        ([1.0, 2.0], [], None, "fewer than two runs on a side (2 and 0)"),
        ([1.0, 2.0], [3.0], 0.5, "fewer than two runs on a side (2 and 1)"),
        ([1.0, 1.0], [2.0, 2.0], 0.5, "no variance on either side"),
        ([1.0, 2.0], [1.0, -1.0], None, "the mean below the line is 0"),
        ([0.0, 0.0], [1.0, 2.0], 0.0, "all values above the line are 0"),
    ],
)
def test_ratios_that_cannot_be_computed_say_why(
    first: list[float], second: list[float], value: float | None, why: str
) -> None:
    found = ratio_of("", first, second)
    assert (found.ratio.value, found.ratio.low, found.ratio.high, found.reason) == (value, None, None, why)


@pytest.mark.parametrize(
    ("first", "second", "difference", "why"),
    [
        ([], [1.0], None, "fewer than two runs on a side (0 and 1)"),
        ([3.0], [1.0, 2.0], 1.5, "fewer than two runs on a side (1 and 2)"),
        ([0.1 + 0.2, 0.3], [0.1, 0.1, 0.1], 0.2, "no variance on either side"),
    ],
)
def test_welch_tests_that_cannot_be_made_say_why(
    first: list[float], second: list[float], difference: float | None, why: str
) -> None:
    found = welch(first, second)
    assert found.difference.value == (None if difference is None else pytest.approx(difference))
    assert (found.t, found.p, found.difference.low, found.reason) == (None, None, None, why)


def test_one_side_without_variance_is_tested() -> None:
    """A constant side leaves the other's one-sample t test: df = n - 1."""
    found = welch([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    assert found.df == pytest.approx(2.0)
    assert found.t == pytest.approx(-2.0 / (1.0 / math.sqrt(3)))


def test_mean_by_hand() -> None:
    """1, 2, 6: mean 3, s^2 = 7, t(0.975, 2) = 4.302653."""
    found = mean_of("three", [1.0, 2.0, 6.0])
    half = 4.302652730 * math.sqrt(7 / 3)
    assert found.sd == pytest.approx(math.sqrt(7))
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx((3.0, 3.0 - half, 3.0 + half))
    assert found.mean.n == 3


def test_means_of_too_few() -> None:
    assert mean_of("one", [2.0]).mean.value == 2.0
    assert mean_of("one", [2.0]).mean.low is None
    assert mean_of("none", []).mean.value is None
    assert mean_of("none", []).sd is None
