"""One rule for all findings: what a figure with its interval says of the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitprobe.study.findings.model import Judgement

if TYPE_CHECKING:
    from circuitprobe.study.findings.model import Outcome
    from circuitprobe.types import Estimate

RULE = (
    "b lies half-way between the null value and the paper's figure. Reproduced: the 95 % interval leaves out the null value on "
    "the paper's side, and the estimate lies at or beyond b. Not reproduced: the whole interval lies short of b. Inconclusive: "
    "anything else, also where there is no figure or no interval. A finding of two parts is reproduced if both are, not "
    "reproduced if either is not, else inconclusive."
)


def judged(figure: str, estimate: Estimate, *, paper: float, null_value: float, reason: str | None = None) -> Judgement:
    """Apply the rule to one figure.

    b = (null value + paper's figure) / 2, on the figure's own scale (a ratio as a ratio). ``reproduced``: the 95 % interval leaves
    out the null value on the paper's side, and the estimate lies at or beyond b. ``not reproduced``: the whole interval lies
    short of b. ``inconclusive``: anything else, also where there is no figure or no interval.

    Args:
        figure: what it is, in words.
        estimate: with its interval.
        paper: the paper's figure.
        null_value: what it would be if there were nothing to find; not the paper's figure.
        reason: why there is no estimate, or no interval.
    """
    halfway = (null_value + paper) / 2.0
    outcome: Outcome = "inconclusive"
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        # mirrored where the paper's figure is the smaller one, so that it lies above the null value
        sign = 1.0 if paper > null_value else -1.0
        near, far = sorted((sign * estimate.low, sign * estimate.high))
        if near > sign * null_value and sign * estimate.value >= sign * halfway:
            outcome = "reproduced"
        elif far < sign * halfway:
            outcome = "not reproduced"
    return Judgement(figure=figure, paper=paper, null_value=null_value, halfway=halfway, outcome=outcome, reason=reason)


def of_parts(parts: Sequence[Judgement]) -> Outcome:
    """A finding of several parts: reproduced if all are, not reproduced if any is not, else inconclusive."""
    outcomes = {part.outcome for part in parts}
    if "not reproduced" in outcomes:
        return "not reproduced"
    return "reproduced" if outcomes == {"reproduced"} else "inconclusive"
