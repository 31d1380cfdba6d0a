"""Means over runs, their differences and their ratios."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from circuitprobe.study.findings.model import Mean, Ratio, Welch
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

CONFIDENCE = 0.95
LEAST = 2
"""Runs that a standard deviation needs."""

SAME = 1e-12
"""A standard deviation below this share of the values is rounding."""


def mean_of(of: str, values: Sequence[float]) -> Mean:
    """Mean with its t-interval: m -+ t(0.975, n - 1) s / sqrt(n).

    Args:
        of: which runs, in words.
        values: one per run.
    """
    n = len(values)
    if n < LEAST:
        return Mean(of=of, mean=Estimate(values[0] if n else None, None, None, n), sd=None)
    array = np.asarray(values, dtype=np.float64)
    mean, sd = float(array.mean()), float(array.std(ddof=1))
    half = float(stats.t.ppf((1.0 + CONFIDENCE) / 2.0, n - 1)) * sd / math.sqrt(n)
    return Mean(of=of, mean=Estimate(mean, mean - half, mean + half, n), sd=sd)


def welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Welch's t test of mean(first) - mean(second), with its 95 % interval (``scipy.stats.ttest_ind``, unequal variances).

    Args:
        first: one value per run.
        second: likewise, of other runs.
    """
    n = len(first) + len(second)
    reason = _untestable(first, second)
    if reason is not None:
        known = bool(first) and bool(second)
        difference = float(np.mean(first)) - float(np.mean(second)) if known else None
        return Welch(difference=Estimate(difference, None, None, n, 0.0), t=None, df=None, p=None, reason=reason)
    with warnings.catch_warnings():
        # one side without variance is a test yet, against a mean that is sure
        warnings.filterwarnings("ignore", "Precision loss occurred in moment calculation", RuntimeWarning)
        found = stats.ttest_ind(np.asarray(first), np.asarray(second), equal_var=False)
    ends = found.confidence_interval(CONFIDENCE)
    difference = float(np.mean(first)) - float(np.mean(second))
    return Welch(
        difference=Estimate(difference, float(ends.low), float(ends.high), n, 0.0),
        t=float(found.statistic),
        df=float(found.df),
        p=float(found.pvalue),
        reason=None,
    )


def ratio_of(of: str, first: Sequence[float], second: Sequence[float]) -> Ratio:
    """mean(first) / mean(second) with Fieller's interval for independent means of unequal variances.

    With v = s^2 / n of each side, the interval holds every rho with (m1 - rho m2)^2 <= t^2 (v1 + rho^2 v2): the values between the
    roots of (m2^2 - t^2 v2) rho^2 - 2 m1 m2 rho + (m1^2 - t^2 v1) = 0, where t is the 0.975 quantile with Satterthwaite's
    (v1 + r^2 v2)^2 / (v1^2 / (n1 - 1) + r^4 v2^2 / (n2 - 1)) degrees of freedom, r = m1 / m2. They lie apart, and hold r, where
    m2^2 > t^2 v2; otherwise the denominator may be 0, the set has no end, and there is no interval.

    Source: Fieller (1954), J. R. Stat. Soc. B 16, 175-185; degrees of freedom: Tamhane and Logan (2004), J. Biopharm. Stat. 14,
    843-856. R's mratios::ttestratio(x, y) computes the same.

    Args:
        of: which runs, in words.
        first: the numerator's values, one per run.
        second: the denominator's, of other runs.
    """
    n = len(first) + len(second)
    if not first or not second:
        return Ratio(of=of, ratio=Estimate(None, None, None, n, 1.0), df=None, reason=_untestable(first, second))
    top, bottom = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    m1, m2 = float(top.mean()), float(bottom.mean())
    if m2 == 0.0:
        return Ratio(of=of, ratio=Estimate(None, None, None, n, 1.0), df=None, reason="the mean below the line is 0")
    reason = _untestable(first, second)
    if reason is not None:
        return Ratio(of=of, ratio=Estimate(m1 / m2, None, None, n, 1.0), df=None, reason=reason)
    v1, v2 = float(top.var(ddof=1)) / len(first), float(bottom.var(ddof=1)) / len(second)
    below = (m1 / m2) ** 2 * v2
    if v1 + below == 0.0:
        reason = "all values above the line are 0"
        return Ratio(of=of, ratio=Estimate(0.0, None, None, n, 1.0), df=None, reason=reason)
    df = (v1 + below) ** 2 / (v1**2 / (len(first) - 1) + below**2 / (len(second) - 1))
    t2 = float(stats.t.ppf((1.0 + CONFIDENCE) / 2.0, df)) ** 2
    a, b, c = m2**2 - t2 * v2, m1 * m2, m1**2 - t2 * v1
    if a <= 0.0:
        reason = "the interval has no end: the mean below the line is not told from 0"
        return Ratio(of=of, ratio=Estimate(m1 / m2, None, None, n, 1.0), df=df, reason=reason)
    root = math.sqrt(max(0.0, b**2 - a * c))
    return Ratio(of=of, ratio=Estimate(m1 / m2, (b - root) / a, (b + root) / a, n, 1.0), df=df, reason=None)


def constant(values: FloatArray, scale: float | None = None) -> bool:
    """Whether values differ by no more than rounding.

    Args:
        values: shape (runs,), at least one.
        scale: size of the numbers that they were computed from; None: their own.
    """
    size = float(np.abs(values).max()) if scale is None else scale
    return bool(values.std() <= SAME * size)


def _untestable(first: Sequence[float], second: Sequence[float]) -> str | None:
    """Why two samples cannot be compared; None where they can."""
    if len(first) < LEAST or len(second) < LEAST:
        return f"fewer than two runs on a side ({len(first)} and {len(second)})"
    if constant(np.asarray(first)) and constant(np.asarray(second)):
        return "no variance on either side"
    return None
