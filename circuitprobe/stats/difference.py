"""Has a figure got worse by more than a tolerance: paired or unpaired bootstrap of a difference (METHOD.md section 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from circuitprobe.stats.bootstrap import CONFIDENCE
from circuitprobe.stats.draws import Stream, generator

if TYPE_CHECKING:
    from circuitprobe.types import Estimate, FloatArray

TAIL = (1.0 - CONFIDENCE) / 2.0
COUNT = 1000
ON_THE_BOUND = 1e-3
"""A value nearer to a bound than this share of its interval lies on it: no number of rows that anyone has would decide."""

ROUNDING = 1e-9


@dataclass(frozen=True)
class Difference:
    """new - baseline of a figure, with what the bootstrap says of it.

    Attributes:
        value: the difference.
        low: lower end of its 95 % interval.
        high: upper end.
        resampled: the difference on each resample, shape (resamples,).
        paired: both sides drew the same resamples of the same rows.
    """

    value: float
    low: float
    high: float
    resampled: FloatArray
    paired: bool


def resamples_of(figure: Estimate, kept: FloatArray | None, seed: int, side: int) -> FloatArray:
    """A figure on each resample: what was kept, else normal draws that have the figure's interval.

    Without an interval all is nan: a figure of which nobody knows how sure it is decides nothing.

    Args:
        figure: with a value and, where nothing was kept, an interval.
        kept: shape (resamples,), nan where undefined; None where nothing was kept.
        seed: of the draws.
        side: 0 for the baseline, 1 for the new audit, so that both draw apart.
    """
    if kept is not None and np.isfinite(kept).any():
        return kept
    if figure.value is None or figure.low is None or figure.high is None:
        return np.full(COUNT, math.nan)
    spread = (figure.high - figure.low) / (2.0 * float(ndtri(1.0 - TAIL)))
    rng = np.random.default_rng([seed, int(Stream.COMPARED), side])
    return np.asarray(figure.value + spread * rng.standard_normal(COUNT))


def difference(new: float, base: float, new_drawn: FloatArray, base_drawn: FloatArray, *, paired: bool) -> Difference:
    """New - baseline and its interval.

    Args:
        new: the new value.
        base: the baseline's.
        new_drawn: on each resample, shape (resamples,).
        base_drawn: likewise.
        paired: resample b is of the same rows on both sides; otherwise one side is shuffled.
    """
    count = min(len(new_drawn), len(base_drawn))
    first, second = new_drawn[:count], base_drawn[:count]
    if not paired:
        second = second[generator(0, Stream.COMPARED).permutation(count)]
    drawn = first - second
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size == 0:
        return Difference(new - base, math.nan, math.nan, drawn, paired)
    low, high = np.quantile(drawn, [TAIL, 1.0 - TAIL])
    return Difference(new - base, float(low), float(high), drawn, paired)


def p_worse(resampled: FloatArray, bound: float) -> float:
    """One-sided p-value of the hypothesis that a figure, higher is better, has not fallen below a bound.

    (1 + #{d* >= bound}) / (B + 1); where no resample reaches the bound the normal tail beyond it, which B resamples cannot show,
    if that is smaller. Where nothing is known (no resample) 1.
    """
    if resampled.size == 0:
        return 1.0
    reached = int((resampled >= bound).sum())
    p = (1.0 + reached) / (len(resampled) + 1.0)
    spread = float(resampled.std())
    if reached or spread == 0.0:
        return p if reached else 0.0
    return min(p, float(ndtr((float(resampled.mean()) - bound) / spread)))


def rows_to_decide(value: float, low: float, high: float, bound: float, n: int, tests: int = 1) -> int | None:
    """How many rows would decide for or against a bound, if the value stayed; None where it lies on the bound, or has no interval.

    Intervals shrink with the root of n: n (h / |value - bound|)^2, h the half that lies towards the bound. For a regression among
    k tests h is longer by z(1 - a_k) / z(0.975), a_k = 1 - 0.975^(1/k), which is the first step of Holm-Sidak.

    Args:
        value: of the figure, higher is better.
        low: lower end of its 95 % interval.
        high: upper end.
        bound: what it must not lie below.
        n: rows so far.
        tests: k.
    """
    gap = abs(value - bound)
    half = value - low if value > bound else (high - value) * _stretched(tests)
    if not math.isfinite(half) or gap <= ON_THE_BOUND * abs(half):
        return None
    # a percentile interval need not hold its value: a half below 0 asks for no more rows; no row for what is a rounding error
    return max(n + 1, math.ceil(n * (max(half, 0.0) / gap) ** 2 * (1.0 - ROUNDING)))


def _stretched(tests: int) -> float:
    first = 1.0 - (1.0 - TAIL) ** (1.0 / tests)
    return float(ndtri(1.0 - first) / ndtri(1.0 - TAIL))
