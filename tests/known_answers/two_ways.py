"""One case, solved by the slow reference or by the package, so that every answer worked out by hand judges both."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import circuitprobe as cp
from circuitprobe.types import Decode, Feature, FeatureKind, Link

from . import intervention_reference, path_reference
from .intervention_reference import Column, Spot, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    Array = np.ndarray[Any, Any]


def stated(model: Any, x: Tensor) -> Any:
    """Mean and log-variance of a module with ``encode``."""
    return model.encode(x)


def decoded(model: Any, z: Tensor) -> Any:
    return model.decode(z)


def spots(*names: str, half: str = "decoder", axis: int = -1) -> tuple[Spot, ...]:
    """Sites from names such as ``decoder.1``, ``act#1`` or ``rnn[0]``."""
    found = []
    for name in names:
        rest, _, call = name.partition("#")
        module, *picked = rest.replace("]", "").split("[")
        found.append(Spot(half, module, int(call or 0), axis, tuple(int(key) for key in picked)))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Case:
    """A model, its rows, where the interventions come from, and the sites.

    Attributes:
        model: the network.
        x: rows in its space.
        sources: shape (R, rows).
        sites: in execution order, the encoder's first.
        columns: features; None for the default.
        groups: feature groups; None for singletons.
        encode: (model, x) -> (mean, log_var) or mean.
        decode: (model, z) -> output.
        options: ``chunk``, ``memory``, ``backend`` for the package.
    """

    model: nn.Module
    x: Array
    sources: Sequence[Sequence[int]] | Array
    sites: tuple[Spot, ...] = ()
    columns: tuple[Column, ...] | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    encode: Callable[[Any, Tensor], Any] = stated
    decode: Callable[[Any, Tensor], Any] = decoded
    options: Mapping[str, Any] = field(default_factory=dict)

    def at(self, half: str) -> tuple[Spot, ...]:
        return tuple(spot for spot in self.sites if spot.half == half)

    def but(self, **changed: Any) -> Case:
        """The same case with something changed."""
        return replace(self, **changed)


@functools.lru_cache(maxsize=8)
def subject_of(case: Case) -> Subject:
    """The reference's own copy of the model, one per case, so that runs can be remembered."""
    return intervention_reference.subject(
        case.model, case.x, case.encode, case.decode, case.sources, case.columns, case.groups
    )


class Reference:
    """The slow implementation."""

    name = "reference"

    def subject(self, case: Case) -> Subject:
        return subject_of(case)

    def inputs(self, case: Case) -> Any:
        return intervention_reference.inputs(self.subject(case))

    def activations(self, case: Case) -> Any:
        return intervention_reference.activations(self.subject(case), case.sites)

    def paths(self, case: Case, side: str = "decoder", **options: Any) -> Any:
        return path_reference.paths(self.subject(case), case.at(side), side, **options)

    def path(self, case: Case, steps: tuple[str, ...]) -> Any:
        by_name = {spot.name: spot for spot in case.sites}
        walked = [(by_name[step.rpartition(":")[0]], int(step.rpartition(":")[2])) for step in steps[1:]]
        return path_reference.path(self.subject(case), steps[0], walked)

    def mediation(self, case: Case) -> Any:
        return path_reference.mediation(self.subject(case))

    def unit_mediation(self, case: Case) -> Any:
        return path_reference.unit_mediation(self.subject(case), case.at("decoder"))


class Package:
    """circuitprobe."""

    name = "package"

    def settings(self, case: Case) -> tuple[tuple[Any, Any], dict[str, Any]]:
        vae = cp.wrap(case.model, encode=case.encode, decode=case.decode)
        features = None if case.columns is None else tuple(feature(column) for column in case.columns)
        sources = np.atleast_2d(np.asarray(case.sources))
        return (vae, case.x), {"features": features, "groups": case.groups, "sources": sources, **case.options}

    def inputs(self, case: Case) -> Any:
        subject, options = self.settings(case)
        return cp.interventions.inputs(*subject, **options)

    def activations(self, case: Case) -> Any:
        subject, options = self.settings(case)
        return cp.interventions.activations(*subject, sites=[spot.name for spot in case.sites], **options)

    def paths(self, case: Case, side: str = "decoder", **more: Any) -> Any:
        subject, options = self.settings(case)
        chosen: dict[str, Any] = {"sites": [spot.name for spot in case.at(side)], "side": side} | options | more
        return cp.interventions.paths(*subject, **chosen)

    def path(self, case: Case, steps: tuple[str, ...]) -> Any:
        subject, options = self.settings(case)
        return cp.interventions.path(*subject, steps, **options)

    def mediation(self, case: Case) -> Any:
        subject, options = self.settings(case)
        return cp.interventions.mediation(*subject, **options)

    def unit_mediation(self, case: Case) -> Any:
        subject, options = self.settings(case)
        return cp.interventions.unit_mediation(*subject, sites=[spot.name for spot in case.at("decoder")], **options)


def feature(column: Column) -> Feature:
    """The package's noun for a column."""
    return Feature(column.name, FeatureKind(column.kind), column.dims, Decode(column.dims, Link(column.link)))


both = pytest.mark.parametrize("way", [Reference(), Package()], ids=lambda way: way.name)
"""Runs a test once with the reference and once with the package."""


def unit_names(units: Any) -> list[tuple[str, str, int]]:
    """Units as (half, site, number), whichever of the two they come from."""
    return [unit if isinstance(unit, tuple) else (str(unit.half), unit.site, unit.unit) for unit in units]


def close(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """Same shape, nan where nan is expected, the rest equal within a relative or absolute tolerance."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
