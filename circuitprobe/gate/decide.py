"""One condition on one figure: worse, not worse, or not decided (METHOD.md section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitprobe.stats.difference import TAIL, Difference, difference, p_worse, resamples_of, rows_to_decide

if TYPE_CHECKING:
    from circuitprobe.gate.metrics import Better
    from circuitprobe.gate.result import Outcome
    from circuitprobe.types import Estimate, FloatArray

Kind = Literal["min", "max", "max_drop"]


@dataclass(frozen=True)
class Side:
    """A figure of one audit.

    Attributes:
        figure: the estimate.
        kept: on each resample, or None.
    """

    figure: Estimate
    kept: FloatArray | None

    def drawn(self, side: int) -> FloatArray:
        """On each resample, in any case."""
        return resamples_of(self.figure, self.kept, 0, side)


@dataclass(frozen=True)
class Test:
    """A condition put to the bootstrap: a quantity, higher is better, must not lie below a bound.

    Attributes:
        value: the quantity.
        low: lower end of its 95 % interval.
        high: upper end.
        bound: what it must reach.
        p: one-sided, of the hypothesis that it does.
        n: rows.
        difference: new - baseline; None for a condition on the new figure alone.
        sign: -1 where the quantity is the mirrored figure or difference, since lower is better or a maximum is set.
    """

    value: float
    low: float
    high: float
    bound: float
    p: float
    n: int
    difference: Difference | None
    sign: float

    @property
    def limit(self) -> float:
        """The bound on the figure, or on its difference, as it is reported: not mirrored."""
        # adding 0.0 makes a zero of a negative zero
        return self.sign * self.bound + 0.0

    def rows_to_decide(self, tests: int) -> int | None:
        """Rows that would decide one of so many tests, if the value stayed."""
        return rows_to_decide(self.value, self.low, self.high, self.bound, self.n, tests)

    def outcome(self, p_corrected: float) -> Outcome:
        """What is decided.

        Regression where the corrected p is below 0.025, which for one test is the upper end of a 95 % interval below the bound;
        pass where the lower end reaches the bound.
        """
        if p_corrected < TAIL:
            return "regression"
        return "pass" if self.low >= self.bound else "inconclusive"


def drop_test(base: Side, new: Side, tolerance: float, better: Better, *, paired: bool) -> Test:
    """Whether a figure got worse by more than a tolerance.

    Args:
        base: the baseline's, defined.
        new: the new one's, defined.
        tolerance: in units of the figure.
        better: which direction is better; for lower all is mirrored.
        paired: both audits drew the same resamples; figures of which none were kept are compared unpaired all the same.
    """
    paired = paired and base.kept is not None and new.kept is not None
    found = difference(_value(new), _value(base), new.drawn(1), base.drawn(0), paired=paired)
    sign = 1.0 if better == "higher" else -1.0
    low, high = (found.low, found.high) if sign > 0 else (-found.high, -found.low)
    p = p_worse(sign * found.resampled, -tolerance)
    return Test(sign * found.value, low, high, -tolerance, p, new.figure.n, found, sign)


def limit_test(new: Side, limit: float, kind: Kind) -> Test:
    """Whether a figure is below a minimum or above a maximum."""
    sign = 1.0 if kind == "min" else -1.0
    drawn = new.drawn(1)
    drawn = sign * drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [TAIL, 1.0 - TAIL]) if drawn.size else (np.nan, np.nan)
    p, bound = p_worse(drawn, sign * limit), sign * limit
    return Test(sign * _value(new), float(low), float(high), bound, p, new.figure.n, None, sign)


def _value(side: Side) -> float:
    return float(side.figure.value) if side.figure.value is not None else float("nan")
