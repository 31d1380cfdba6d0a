"""Reports as flat mappings of numbers, so that two audits can be compared figure by figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

DRAWN = ("fgd_adjusted", "fgd_p", "null")
"""Figures that depend on the permutations drawn."""


def estimates(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every Estimate of a report or a part of it with its path."""
    if isinstance(part, Estimate):
        yield path, part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from estimates(value, f"{path}.{key}")
    elif isinstance(part, (tuple, list)):
        for index, value in enumerate(part):
            yield from estimates(value, f"{path}.{index}")
    elif hasattr(type(part), "model_fields"):
        for key in type(part).model_fields:
            yield from estimates(getattr(part, key), f"{path}.{key}")


def values(part: BaseModel | tuple[BaseModel, ...]) -> dict[str, float | None]:
    """The values alone, without intervals and nulls."""
    return {path: estimate.value for path, estimate in estimates(part)}


def with_intervals(part: BaseModel | tuple[BaseModel, ...]) -> dict[str, float | None]:
    """Values, both ends and null of every Estimate."""
    found = {}
    for path, estimate in estimates(part):
        for field in ("value", "low", "high", "null"):
            found[f"{path}.{field}"] = getattr(estimate, field)
    return found


def without_draws(figures: dict[str, float | None]) -> dict[str, float | None]:
    """Leave out what depends on the permutations drawn."""
    return {path: value for path, value in figures.items() if not set(path.split(".")) & set(DRAWN)}


def assert_same(found: dict[str, float | None], expected: dict[str, float | None], tolerance: float = 1e-9) -> None:
    """Equal keys, None where None is expected, numbers within a relative or absolute tolerance."""
    assert sorted(found) == sorted(expected)
    wrong = {}
    for path, value in expected.items():
        other = found[path]
        same = other is value if value is None else other == pytest.approx(value, rel=tolerance, abs=tolerance)
        if not same:
            wrong[path] = (other, value)
    assert wrong == {}
    assert found, "nothing to compare"
