"""Features of a conditional model: the columns that condition both halves are given, never reconstructed."""

from __future__ import annotations

from collections.abc import Sequence

from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.errors import UsageError
from circuitprobe.types import Feature


def without_condition(
    vae: ProbedVAE, features: Sequence[Feature], width: int
) -> tuple[tuple[Feature, ...], tuple[Feature, ...]]:
    """Features that the decoder gives back, and those that are its condition.

    Args:
        vae: the model; its last ``condition_width`` dimensions are the condition.
        features: of all dimensions.
        width: how many dimensions a row has.

    Raises:
        UsageError: a feature lies on both sides, or nothing else is left.
    """
    first = width - vae.condition_width
    given = tuple(feature for feature in features if min(feature.dims) >= first)
    kept = tuple(feature for feature in features if max(feature.dims) < first)
    torn = [feature.name for feature in features if min(feature.dims) < first <= max(feature.dims)]
    if torn or not kept:
        raise UsageError(
            f"feature {torn[0]!r} is partly a condition" if torn else "every feature is a condition",
            expected=f"features of the dimensions before {first}, which the decoder gives back",
            fix="condition_width, or features, such that the condition is the last whole columns",
        )
    return kept, given
