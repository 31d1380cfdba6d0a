"""The verdict rule at its edges. Null value 0 and paper's figure 1, so that b = 0.5; then the same mirrored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitprobe.study.findings.model import Judgement, Outcome
from circuitprobe.study.findings.verdict import judged, of_parts
from circuitprobe.types import Estimate

EDGES: list[tuple[float, float, float, Outcome]] = [
    (0.5, 0.01, 0.99, "reproduced"),  # at b, interval just leaves out the null value
    (0.5, 0.0, 1.0, "inconclusive"),  # its end on the null value: not left out
    (0.499, 0.4, 0.6, "inconclusive"),  # short of b, interval beyond it
    (0.4, 0.3, 0.5, "inconclusive"),  # its end at b: not wholly short of it
    (0.4, 0.3, 0.499, "not reproduced"),
    (0.1, -0.2, 0.499, "not reproduced"),
    (3.0, 2.0, 4.0, "reproduced"),  # more than the paper's
    (3.0, -0.1, 6.0, "inconclusive"),
    (-3.0, -4.0, -2.0, "not reproduced"),  # the other way round, however sure
]


@pytest.mark.parametrize(("value", "low", "high", "outcome"), EDGES)
def test_edges(value: float, low: float, high: float, outcome: Outcome) -> None:
    found = judged("x", Estimate(value, low, high, 9), paper=1.0, null_value=0.0)
    assert (found.outcome, found.halfway) == (outcome, 0.5)


@pytest.mark.parametrize(("value", "low", "high", "outcome"), EDGES)
def test_edges_where_the_paper_s_figure_is_the_smaller_one(
    value: float, low: float, high: float, outcome: Outcome
) -> None:
    found = judged("x", Estimate(-value, -high, -low, 9), paper=-1.0, null_value=0.0)
    assert (found.outcome, found.halfway) == (outcome, -0.5)


def test_ratios_are_held_against_one() -> None:
    """Paper 0.5, null 1: b = 0.75."""
    assert judged("x", Estimate(0.75, 0.6, 0.99, 9), paper=0.5, null_value=1.0).outcome == "reproduced"
    assert judged("x", Estimate(0.9, 0.76, 1.2, 9), paper=0.5, null_value=1.0).outcome == "not reproduced"
    assert judged("x", Estimate(0.7, 0.5, 1.0, 9), paper=0.5, null_value=1.0).outcome == "inconclusive"


@pytest.mark.parametrize("estimate", [Estimate(None, None, None, 0), Estimate(2.0, None, None, 3)])
def test_without_figure_or_interval_nothing_is_decided(estimate: Estimate) -> None:
    found = judged("x", estimate, paper=1.0, null_value=0.0, reason="too few")
    assert (found.outcome, found.reason) == ("inconclusive", "too few")


@given(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3))
def test_sure_of_one_thing_only(value: float, below: float, above: float) -> None:
    """An interval that holds its estimate is never both; what is reproduced leaves out the null value."""
    found = judged("x", Estimate(value, value - below, value + above, 9), paper=1.0, null_value=0.0)
    if found.outcome == "reproduced":
        assert value - below > 0
        assert value >= 0.5
    elif found.outcome == "not reproduced":
        assert value + above < 0.5
    else:
        assert value + above >= 0.5
        assert value - below <= 0 or value < 0.5


def part(outcome: Outcome) -> Judgement:
    return Judgement(figure="x", paper=1.0, null_value=0.0, halfway=0.5, outcome=outcome)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("reproduced", "reproduced", "reproduced"),
        ("reproduced", "inconclusive", "inconclusive"),
        ("inconclusive", "inconclusive", "inconclusive"),
        ("reproduced", "not reproduced", "not reproduced"),
        ("not reproduced", "inconclusive", "not reproduced"),
    ],
)
def test_two_parts(first: Outcome, second: Outcome, both: Outcome) -> None:
    assert of_parts((part(first), part(second))) == both
    assert of_parts((part(second), part(first))) == both
