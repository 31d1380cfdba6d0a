"""Differences within benchmarks: by hand, and where they say nothing."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from circuitprobe.study.findings.blocked import blocked

FIRST = [("a", 3.0), ("a", 5.0), ("b", 12.0), ("b", 16.0)]
SECOND = [("a", 1.0), ("a", 3.0), ("b", 10.0), ("b", 14.0)]


def test_by_hand() -> None:
    """Cell means 4, 14, 2, 12: the difference is 2, residuals -+1, -+2, -+1, -+2, every leverage 3/8.

    The difference adds up +-y / 4, so that HC3 gives its variance sum e^2 / 16 / (5/8)^2 = 20 / 16 * 64 / 25 = 3.2, and 8 runs less
    one for the difference and two for benchmarks leave 5 degrees of freedom.
    """
    found = blocked(FIRST, SECOND)
    assert found.difference.value == pytest.approx(2.0)
    assert found.t == pytest.approx(2.0 / math.sqrt(3.2))
    assert found.df == 5
    assert found.p == pytest.approx(2 * float(stats.t.sf(2.0 / math.sqrt(3.2), 5)))
    half = 2.570581836 * math.sqrt(3.2)
    assert (found.difference.low, found.difference.high) == pytest.approx((2.0 - half, 2.0 + half))
    assert found.difference.n == 8


def test_what_benchmarks_add_changes_nothing() -> None:
    moved = [(name, value + (1000.0 if name == "b" else 0.0)) for name, value in FIRST]
    others = [(name, value + (1000.0 if name == "b" else 0.0)) for name, value in SECOND]
    before, after = blocked(FIRST, SECOND), blocked(moved, others)
    assert after.t == pytest.approx(before.t)
    assert after.p == pytest.approx(before.p)


def test_a_benchmark_of_one_side_only_is_left_out() -> None:
    assert blocked([*FIRST, ("c", 99.0), ("c", 3.0)], SECOND) == blocked(FIRST, SECOND)


def test_unequal_numbers_weigh_benchmarks_as_least_squares_does() -> None:
    """Differences of 1 in benchmark a (2 against 2 runs) and 4 in b (2 against 1): weights n1 n2 / (n1 + n2) = 1 and 2/3."""
    first = [("a", 1.0), ("a", 3.0), ("b", 5.0), ("b", 9.0)]
    found = blocked(first, [("a", 0.0), ("a", 2.0), ("b", 3.0)])
    assert found.difference.value == pytest.approx((1.0 * 1.0 + 4.0 * 2 / 3) / (1 + 2 / 3))


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ([], SECOND, "too few runs on benchmarks that both have"),
        ([("c", 1.0), ("c", 2.0)], SECOND, "too few runs on benchmarks that both have"),
        ([("a", 1.0)], [("a", 2.0)], "too few runs on benchmarks that both have"),
        ([("a", 1.0)], [("a", 2.0), ("a", 3.0)], "a run has its architecture and benchmark to itself"),
        ([("a", 1.1), ("a", 1.1)], [("a", 2.3), ("a", 2.3)], "no variance on either side"),
    ],
)
def test_differences_that_cannot_be_tested_say_why(
    first: list[tuple[str, float]], second: list[tuple[str, float]], why: str
) -> None:
    found = blocked(first, second)
    assert (found.t, found.p, found.difference.low, found.reason) == (None, None, None, why)
