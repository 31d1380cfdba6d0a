"""Whether the numbers of a report that was read can be: finite, within their bounds, values within their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from circuitprobe.report.ground_truth import Ceilings, DciScores, FactorScores, GroundTruth
from circuitprobe.report.levels import (
    InputRow,
    MediationEntry,
    Overlap,
    PathLevel,
    UnitReport,
)
from circuitprobe.report.model import (
    Downstream,
    FeatureReconstruction,
    FeatureReport,
    LatentReport,
    Reconstruction,
    Response,
    Scores,
)
from circuitprobe.types import Estimate

ROUNDING = 1e-6
"""What the nine digits of a report, and sums of many terms in single precision, move at most: of a number, and beside 0 or 1."""
SHARE, FROM_0, TO_1, SIGNED = (0.0, 1.0), (0.0, math.inf), (-math.inf, 1.0), (-1.0, 1.0)

_LATENT_AND_MODEL = {
    "ces": FROM_0, "ces_prior": FROM_0, "on_support_rate": SHARE, "on_support_rate_prior": SHARE, "specificity": SHARE,
    "inverse_entropy": FROM_0,
}  # fmt: skip
BOUNDS: dict[type[BaseModel], dict[str, tuple[float, float]]] = {
    FeatureReport: {"std": FROM_0, "std_low": FROM_0, "std_high": FROM_0},
    FeatureReconstruction: {"mse": FROM_0, "r2": TO_1, "accuracy": SHARE},
    Reconstruction: {"mse": FROM_0},
    LatentReport: {
        **_LATENT_AND_MODEL, "kl": FROM_0, "scale": FROM_0, "disentanglement": SHARE, "effects": FROM_0, "group_effects": FROM_0,
    },
    Scores: {
        **_LATENT_AND_MODEL, "ces_active": FROM_0, "calibration_ratio": FROM_0, "fgd": SHARE, "fgd_adjusted": TO_1, "fgd_p": SHARE,
        "fgc": SHARE, "completeness": SHARE, "modularity": SHARE, "modularity_by_layer": SHARE,
    },
    Downstream: {"auc": SHARE},
    InputRow: {"shift": FROM_0, "info": FROM_0},
    UnitReport: {"effect": FROM_0, "group_effects": FROM_0, "shift": FROM_0},
    PathLevel: {"share": SHARE, "mean_size": SHARE, "mean_overlap": SHARE, "mean_overlap_null": SHARE},
    Overlap: {"jaccard": SHARE, "null": SHARE},
    MediationEntry: {"p": SHARE, "p_corrected": SHARE},
    GroundTruth: {"mig": SHARE, "sap": SIGNED, "factor_vae": SHARE},
    DciScores: {"disentanglement": SHARE, "completeness": SHARE, "informativeness": SHARE},
    Ceilings: {"mig": SHARE, "sap": SIGNED, "factor_vae": SHARE},
    FactorScores: {
        "entropy": FROM_0, "mig": SHARE, "information": FROM_0, "sap": SIGNED, "accuracy": SHARE, "importance": FROM_0,
        "completeness": SHARE, "informativeness": SHARE,
    },
}  # fmt: skip
"""Between what the numbers of a part lie, where they are bounded; of an estimate its value, both ends and its chance value."""

OLDER = 3.0
"""How far a value of a report before schema 2.4 may lie outside its interval, in widths of the interval: those were not widened."""


def of_numbers(
    part: Any,  # noqa: ANN401 - a report's
    place: str,
    bounds: tuple[float, float] | None = None,
    room: float = 0.0,
) -> Iterator[str]:
    """What is wrong with the numbers of a part of a report.

    Args:
        part: a model, a mapping or list of such, an estimate or a number; anything else holds none.
        place: where it stands, for what is yielded.
        bounds: between what its numbers lie.
        room: how far values may lie outside their intervals, in widths of these.
    """
    if isinstance(part, BaseModel):
        yield from _of_model(part, place, room)
    elif isinstance(part, Estimate):
        yield from _of_estimate(part, place, bounds, room)
    elif isinstance(part, float):
        yield from _bounded(part, place, bounds)
    elif isinstance(part, int) and not isinstance(part, bool) and part < 0:
        yield f"{place} is {part}; expected 0 or more"
    else:
        for where, value in inside(part, place):
            yield from of_numbers(value, where, bounds, room)


def _of_model(part: BaseModel, place: str, room: float) -> Iterator[str]:
    if isinstance(part, Response):
        yield from of_response(part, place, room)
    elif isinstance(part, FeatureReport):
        yield from _within(Estimate(part.std, part.std_low, part.std_high, 0), f"{place}.std", room)
    own = BOUNDS.get(type(part), {})
    for name in type(part).model_fields:
        # a unit's axis may be counted from the last one
        if name != "unit_axis":
            yield from of_numbers(getattr(part, name), f"{place}.{name}" if place else name, own.get(name), room)


def inside(part: Any, place: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a report's
    """What a mapping, a list or a model holds, each with its place; nothing of anything else."""
    if isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield f"{place}.{name}" if place else name, getattr(part, name)
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield f"{place}[{key!r}]", value
    elif isinstance(part, list | tuple):
        for number, value in enumerate(part):
            yield f"{place}[{number}]", value


def _bounded(number: float, place: str, bounds: tuple[float, float] | None) -> Iterator[str]:
    if not math.isfinite(number):
        yield f"{place} is {number}; expected a finite number"
    elif bounds is not None and not bounds[0] - ROUNDING <= number <= bounds[1] + ROUNDING:
        low, high = bounds
        expected = (
            f"{low:g} or more"
            if high == math.inf
            else f"{high:g} at most"
            if low == -math.inf
            else f"{low:g} to {high:g}"
        )
        yield f"{place} is {number:.9g}; expected {expected}"


def _of_estimate(estimate: Estimate, place: str, bounds: tuple[float, float] | None, room: float) -> Iterator[str]:
    for name in ("value", "low", "high", "null"):
        number = getattr(estimate, name)
        if number is not None:
            yield from _bounded(number, f"{place}.{name}", bounds)
    if estimate.n < 0 or (estimate.n == 0 and estimate.value is not None):
        yield f"{place}.n is {estimate.n}; expected the number of rows that the value was computed from"
    yield from _within(estimate, place, room)


def _within(estimate: Estimate, place: str, room: float) -> Iterator[str]:
    value, low, high = estimate.value, estimate.low, estimate.high
    if (low is None) != (high is None) or (value is None and low is not None):
        yield f"{place} has the value {value} and the interval [{low}, {high}]; expected both ends with a value, or none"
    elif value is not None and low is not None and high is not None and not _ordered(low, value, high, room):
        yield f"{place}.value is {value:.9g} and its interval [{low:.9g}, {high:.9g}]; expected a value within its interval"


def _ordered(low: float, value: float, high: float, widths: float) -> bool:
    room = 1e-8 * max(abs(low), abs(value), abs(high)) + widths * abs(high - low)
    return low <= value + room and value <= high + room and low <= high


def of_response(response: Response, place: str, room: float) -> Iterator[str]:
    """What is wrong with a response: its values and their ends."""
    if not len(response.value) == len(response.low) == len(response.high):
        yield f"{place} has {len(response.value)} values and {len(response.low)} and {len(response.high)} ends of intervals"
        return
    for number, ends in enumerate(zip(response.value, response.low, response.high, strict=True)):
        yield from _within(Estimate(*ends, 1), f"{place}[{number}]", room)
