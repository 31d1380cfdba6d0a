"""Pearson and partial correlation against values that R printed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuitprobe.study.findings.correlation import pearson, within

# R's data set mtcars (Henderson and Velleman 1981)
MPG = [21.0, 21.0, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4]
MPG += [14.7, 32.4, 30.4, 33.9, 21.5, 15.5, 15.2, 13.3, 19.2, 27.3, 26.0, 30.4, 15.8, 19.7, 15.0, 21.4]
WT = [2.620, 2.875, 2.320, 3.215, 3.440, 3.460, 3.570, 3.190, 3.150, 3.440, 3.440, 4.070, 3.730, 3.780, 5.250, 5.424]
WT += [5.345, 2.200, 1.615, 1.835, 2.465, 3.520, 3.435, 3.840, 3.845, 1.935, 2.140, 1.513, 3.170, 2.770, 3.570, 2.780]
CYL = list("66468684466888888444488884448684")


def test_pearson_gives_what_r_prints() -> None:
    """cor.test(mtcars$mpg, mtcars$wt): r = -0.8676594 [-0.9338264, -0.7440872], df = 30, p = 1.294e-10."""
    found = pearson("cars", MPG, WT)
    assert found.r.value == pytest.approx(-0.8676594, abs=5e-8)
    assert (found.r.low, found.r.high) == pytest.approx((-0.9338264, -0.7440872), abs=5e-8)
    assert found.df == 30
    assert found.p == pytest.approx(1.294e-10, rel=5e-4)
    assert found.r.n == 32


def test_within_blocks_gives_the_test_that_r_prints() -> None:
    """summary(lm(mpg ~ wt + factor(cyl), mtcars)): wt -3.2056, standard error 0.7539, t = -4.252 on 28 df, p = 0.000213.

    The partial correlation is t / sqrt(t^2 + df).
    """
    found = within("cars", MPG, WT, CYL)
    assert found.df == 28
    assert found.p == pytest.approx(0.000213, abs=5e-7)
    assert found.r.value == pytest.approx(-4.252 / math.sqrt(4.252**2 + 28), abs=5e-5)
    # Fisher: 32 - 3 - 2 = 27 in place of n - 3
    z = math.atanh(-4.252 / math.sqrt(4.252**2 + 28))
    half = 1.959964 / math.sqrt(27)
    assert (found.r.low, found.r.high) == pytest.approx((math.tanh(z - half), math.tanh(z + half)), abs=5e-5)


def test_one_block_is_plain_pearson() -> None:
    plain, blocked = pearson("", MPG, WT), within("", MPG, WT, ["all"] * len(MPG))
    assert blocked.r.value == pytest.approx(plain.r.value)
    assert (blocked.r.low, blocked.r.high) == pytest.approx((plain.r.low, plain.r.high))
    assert (blocked.df, blocked.p) == (plain.df, pytest.approx(plain.p))


def test_what_blocks_alone_bring_about_is_gone_within_them() -> None:
    """Two clouds without correlation, far apart along the diagonal."""
    square = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    x = [a for a, _ in square] + [a + 100 for a, _ in square]
    y = [b for _, b in square] + [b + 100 for _, b in square]
    found = within("", x, y, ["a"] * 4 + ["b"] * 4)
    assert pearson("", x, y).r.value == pytest.approx(1.0, abs=1e-3)
    assert found.r.value == pytest.approx(0.0, abs=1e-12)
    assert found.p == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        ([], [], "0 runs are too few"),
        ([1.0, 2.0], [1.0, 3.0], "2 runs are too few"),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 5.0], "no variance in one of the two figures"),
        ([1.0, 2.0, 4.0, 5.0], [0.3, 0.1 + 0.2, 0.3, 0.3], "no variance in one of the two figures"),
    ],
)
def test_correlations_that_cannot_be_computed_say_why(x: list[float], y: list[float], why: str) -> None:
    found = pearson("", x, y)
    assert (found.r.value, found.r.low, found.p, found.reason) == (None, None, None, why)


def test_three_runs_have_no_interval() -> None:
    found = pearson("", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert found.r.value == pytest.approx(0.5)
    assert (found.r.low, found.reason) == (None, "too few runs for an interval")


def test_values_that_are_their_blocks_means_have_no_variance_within() -> None:
    found = within("", [0.1, 0.1, 0.7, 0.7, 0.7], [1.0, 2.0, 3.0, 4.0, 5.0], list("aabbb"))
    assert found.reason == "no variance in one of the two figures"


def test_too_few_runs_for_their_blocks() -> None:
    assert within("", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], list("aab")).reason == "3 runs on 2 benchmarks are too few"


def test_a_perfect_line_has_no_interval() -> None:
    x = list(np.arange(6.0))
    assert pearson("", x, x).reason == "r is 1 but for rounding, where Fisher's interval has no width"
