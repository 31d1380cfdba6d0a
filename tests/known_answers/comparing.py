"""Every field of every result of levels 1, 3 and 4 against the slow reference."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import path_reference
from .two_ways import Package, Reference, unit_names

if TYPE_CHECKING:
    from .two_ways import Case

    Array = np.ndarray[Any, Any]

REFERENCE, PACKAGE = Reference(), Package()


def same(found: Any, expected: Any, tolerance: float, what: str, where: Any = True) -> None:
    """Equal within ``tolerance`` of the largest value; nan exactly where nan is expected; elsewhere than ``where`` anything.

    Values that are all below the floor are compared in units of it: they are differences of numbers of size 1, which have
    lost their digits.
    """
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    asked = np.broadcast_to(where, expected.shape)
    found, expected = found[asked], expected[asked]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=f"{what}: what is undefined")
    finite = expected[~np.isnan(expected)]
    size = max(floor(tolerance), float(np.abs(finite).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * size, err_msg=what)


def floor(tolerance: float) -> float:
    """1e-4 in double precision, 0.05 in single."""
    return 1e-4 if tolerance < 1e-5 else 0.05


LEVELS = ("inputs", "activations", "decoder paths", "encoder paths", "mediation", "unit_mediation")


def one_level(case: Case, level: str, tolerance: float) -> None:
    """Levels 1 and 4, and level 3 as units, as paths of either half, and as mediators."""
    half, _, name = level.rpartition(" ")
    if half:
        paths(case, half, tolerance)
    else:
        {"inputs": inputs, "activations": activations, "mediation": mediation, "unit_mediation": unit_mediation}[name](
            case, tolerance
        )


def everything(case: Case, tolerance: float) -> None:
    """All of them."""
    for level in LEVELS:
        one_level(case, level, tolerance)


def inputs(case: Case, tolerance: float) -> None:
    found, expected = PACKAGE.inputs(case), REFERENCE.inputs(case)
    for name in ("shift", "info", "group_shift", "group_info"):
        same(getattr(found, name), getattr(expected, name), tolerance, name)
        same(getattr(found, f"{name}_rows"), getattr(expected, f"{name}_rows"), tolerance, f"{name}_rows")


def activations(case: Case, tolerance: float) -> None:
    found, expected = PACKAGE.activations(case), REFERENCE.activations(case)
    assert unit_names(found.units) == expected.units
    for name in ("strength", "effect", "changes", "shift"):
        same(getattr(found, name), getattr(expected, name), tolerance, f"activations.{name}")


def paths(case: Case, side: str, tolerance: float, share: float = 0.9) -> None:
    if not case.at(side):
        return
    found, expected = PACKAGE.paths(case, side, share=share), REFERENCE.paths(case, side, share=share)
    for name in ("senders", "ends", "layers"):
        assert tuple(getattr(found, name)) == getattr(expected, name)
    assert unit_names(found.units) == expected.units
    for name in ("strength", "changes", "total"):
        same(getattr(found, name), getattr(expected, name), tolerance, f"{side} paths.{name}")
    moved = defined(expected.total, tolerance)
    same(found.recovered, expected.recovered, tolerance * 100, f"{side} paths.recovered", moved[:, None])
    same(found.additivity, expected.additivity, tolerance * 100, f"{side} paths.additivity", moved[:, None])
    assert [(c.sender, c.site) for c in found.circuits] == [(c.sender, c.site) for c in expected.circuits]
    for chosen in found.circuits:
        if moved[expected.senders.index(chosen.sender)]:
            circuit(case, side, chosen, expected, tolerance, share)
    for site in expected.layers:
        sets = {c.sender: set(c.units) for c in found.circuits if c.site == site}
        jaccard = [
            [
                len(sets[a] & sets[b]) / len(sets[a] | sets[b]) if sets[a] and sets[b] else math.nan
                for b in expected.senders
            ]
            for a in expected.senders
        ]
        same(found.overlap(site), jaccard, 1e-12, "overlap")


def defined(total: Any, tolerance: float) -> Array:
    """Where a share of this total can be compared: where it is 0 (undefined), or well above the rounding of the largest."""
    total = np.asarray(total)
    return np.asarray((total == 0) | (total > floor(tolerance) * max(0.1, float(total.max(initial=0)))))


def circuit(case: Case, side: str, chosen: Any, expected: Any, tolerance: float, share: float) -> None:
    """The chosen set is a prefix of the units by strength, the first to reach the share, and its two shares are right.

    Units whose strengths differ by rounding may stand in either order, and a share may be reached by rounding.
    """
    units, sender = tuple(int(u) for u in chosen.units), expected.senders.index(chosen.sender)
    assert chosen.size == len(units) == len(set(units))
    if expected.total[sender] == 0:
        assert (units, chosen.complete) == ((), False)
        assert math.isnan(chosen.faithfulness)
        assert math.isnan(chosen.completeness)
        return
    subject = REFERENCE.subject(case)
    spot = next(spot for spot in case.at(side) if spot.name == chosen.site)
    here = [number for number, unit in enumerate(expected.units) if unit[1] == chosen.site]
    strength = expected.strength[sender, here]
    slack = 100 * tolerance * max(1.0, float(strength.max()))

    def recovered(members: tuple[int, ...]) -> float:
        return path_reference.joint(subject, side, chosen.sender, spot, members).recovered

    for earlier, later in itertools.pairwise(units):
        assert strength[earlier] >= strength[later] - slack, "largest first"
        if strength[earlier] == strength[later]:
            assert earlier < later, "ties go to the lower number"
    rest = tuple(u for u in range(len(here)) if u not in units)
    if units and rest:
        assert min(strength[list(units)]) >= max(strength[list(rest)]) - slack, "a prefix"
    loose = 1000 * tolerance
    same(chosen.faithfulness, recovered(units), loose, "faithfulness")
    same(chosen.completeness, recovered(rest), loose, "completeness")
    for size in range(1, len(units)):
        assert recovered(units[:size]) < share + loose, "the shortest prefix"
    if chosen.complete:
        assert recovered(units) >= share - loose
    else:
        assert recovered(units) < share + loose
        assert not np.any(strength[list(rest)] > slack), "all live units"


def mediation(case: Case, tolerance: float) -> None:
    found, expected = PACKAGE.mediation(case), REFERENCE.mediation(case)
    for name in ("te", "nie", "nde", "interaction", "agreement"):
        same(getattr(found, name), getattr(expected, name), tolerance, f"mediation.{name}")
    moved = defined(expected.te, tolerance)
    same(found.proportion, expected.proportion, tolerance * 100, "mediation.proportion", moved[:, None, :])


def unit_mediation(case: Case, tolerance: float) -> None:
    if not case.at("decoder"):
        return
    found, expected = PACKAGE.unit_mediation(case), REFERENCE.unit_mediation(case)
    for name in ("te", "nie", "nde", "interaction"):
        same(getattr(found, name), getattr(expected, name), tolerance, f"unit_mediation.{name}")
    moved = defined(expected.te, tolerance)
    same(found.proportion, expected.proportion, tolerance * 100, "unit_mediation.proportion", moved[:, None, :])
