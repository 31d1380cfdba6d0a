"""Pearson's r over runs, and within benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from circuitprobe.study.findings.means import CONFIDENCE, SAME, constant
from circuitprobe.study.findings.model import Correlation
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

LEAST = 3
"""Runs that r needs to be more than a sign."""


def pearson(of: str, x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Pearson's r, its p-value (t with n - 2 degrees of freedom) and Fisher's interval tanh(atanh r -+ 1.96 / sqrt(n - 3)).

    Args:
        of: which runs, in words.
        x: one value per run.
        y: likewise.
    """
    n = len(x)
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    reason = _uncorrelatable(n, 0, varies=n > 0 and not constant(first) and not constant(second))
    if reason is not None:
        return _unknown(of, n, reason)
    found = stats.pearsonr(first, second)
    r, p = float(found.statistic), float(found.pvalue)
    reason = _no_interval(r, n - 3)
    if reason is not None:
        return Correlation(of=of, r=Estimate(r, None, None, n, 0.0), df=n - 2, p=p, reason=reason)
    ends = found.confidence_interval(CONFIDENCE)
    return Correlation(of=of, r=Estimate(r, float(ends.low), float(ends.high), n, 0.0), df=n - 2, p=p, reason=None)


def within(of: str, x: Sequence[float], y: Sequence[float], blocks: Sequence[str]) -> Correlation:
    """Partial correlation given the block: Pearson's r of the values less their block's mean.

    With k = blocks - 1 the p-value is that of t = r sqrt(df / (1 - r^2)) with df = n - 2 - k, and the interval is
    tanh(atanh r -+ 1.96 / sqrt(n - 3 - k)).

    Source: Fisher (1924), Metron 3, 329-332: a partial correlation given k variables has the law of one of n - k values.

    Args:
        of: which runs, in words.
        x: one value per run.
        y: likewise.
        blocks: the benchmark of each run.
    """
    n, k = len(x), max(0, len(set(blocks)) - 1)
    first, second = _less_means(x, blocks), _less_means(y, blocks)
    reason = _uncorrelatable(n, k, varies=_varies(first, x) and _varies(second, y))
    if reason is not None:
        return _unknown(of, n, reason)
    r = float(stats.pearsonr(first, second).statistic)
    df, reason = n - 2 - k, _no_interval(r, n - 3 - k)
    p = 0.0 if abs(r) >= 1.0 else 2.0 * float(stats.t.sf(abs(r) * math.sqrt(df / (1.0 - r * r)), df))
    if reason is not None:
        return Correlation(of=of, r=Estimate(r, None, None, n, 0.0), df=df, p=p, reason=reason)
    half = float(stats.norm.ppf((1.0 + CONFIDENCE) / 2.0)) / math.sqrt(n - 3 - k)
    ends = math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
    return Correlation(of=of, r=Estimate(r, *ends, n, 0.0), df=df, p=p, reason=None)


def _less_means(values: Sequence[float], blocks: Sequence[str]) -> FloatArray:
    array, of = np.asarray(values, dtype=np.float64), np.asarray(blocks)
    left = array.copy()
    for block in dict.fromkeys(blocks):
        left[of == block] -= array[of == block].mean()
    return left


def _varies(left: FloatArray, values: Sequence[float]) -> bool:
    """Whether anything but rounding is left of the values."""
    return len(values) > 0 and not constant(left, float(np.abs(values).max()))


def _uncorrelatable(n: int, k: int, *, varies: bool) -> str | None:
    if n < LEAST + k:
        return f"{n} runs{f' on {k + 1} benchmarks' if k else ''} are too few"
    return None if varies else "no variance in one of the two figures"


def _no_interval(r: float, left: int) -> str | None:
    if abs(r) >= 1.0 - SAME:
        return "r is 1 but for rounding, where Fisher's interval has no width"
    return None if left > 0 else "too few runs for an interval"


def _unknown(of: str, n: int, reason: str) -> Correlation:
    return Correlation(of=of, r=Estimate(None, None, None, n, 0.0), df=None, p=None, reason=reason)
