"""What only renames or reorders a model permutes results, and nothing more; and mixed features against the reference."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitprobe as cp

from . import comparing
from .intervention_reference import Column
from .random_vae import GROUPS, LATENTS, RandomVAE, Rewiring, random_rows
from .two_ways import Case, close, spots

ROWS = 11
SOURCES = np.stack([np.roll(np.arange(ROWS), 1), np.roll(np.arange(ROWS), 4)])
DECODER = ["decoder.1", "decoder.3"]
few = settings(max_examples=5)


@cache
def subject() -> tuple[RandomVAE, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(42)
    x = random_rows(rng, ROWS)
    return RandomVAE(rng), x


def options(wiring: Rewiring, **changed: Any) -> dict[str, Any]:
    return {"features": wiring.features(), "groups": GROUPS, "sources": SOURCES} | changed


def solved(level: str, wiring: Rewiring, rows: np.ndarray[Any, Any] | None = None, **changed: Any) -> Any:
    module, x = subject()
    x = wiring.rows(x if rows is None else rows)
    return getattr(cp.interventions, level)(wiring.wrap(module), x, **options(wiring, **changed))


def test_mixed_features_against_the_reference() -> None:
    """Numeric, binary behind a sigmoid, categorical behind a softmax, in groups; encoder and decoder units."""
    module, x = subject()
    columns = (
        Column("income", "numeric", (0,)),
        Column("age", "numeric", (1,)),
        Column("flag", "binary", (2,), "sigmoid"),
        Column("kind", "categorical", (3, 4, 5), "softmax"),
    )
    sites = (*spots("trunk.1", half="encoder"), *spots(*DECODER))
    comparing.everything(Case(module, x, SOURCES, sites, columns=columns, groups=GROUPS), 1e-9)


def test_pixels_in_patches_against_the_reference() -> None:
    """Six pixels as three patches of one, two and three."""
    module, x = subject()
    columns = tuple(Column(f"patch{number}", "pixel", dims) for number, dims in enumerate([(0,), (1, 5), (2, 3, 4)]))
    comparing.everything(Case(module, x, SOURCES, spots(*DECODER), columns=columns), 1e-9)


@few
@given(st.permutations(range(LATENTS)), st.lists(st.sampled_from([-1.0, 1.0]), min_size=LATENTS, max_size=LATENTS))
def test_order_and_sign_of_latents(order: list[int], signs: list[float]) -> None:
    """Latents carry their results with them; features, units and groups stay where they are."""
    wiring, plain = Rewiring(latents=order, signs=signs), Rewiring()
    found, expected = solved("inputs", wiring), solved("inputs", plain)
    close(found.shift, expected.shift[:, order])
    close(found.group_info, expected.group_info[:, order])
    found, expected = solved("activations", wiring), solved("activations", plain)
    close(found.strength, expected.strength)
    close(found.shift, np.asarray(expected.shift)[:, order])
    found, expected = solved("paths", wiring, sites=DECODER), solved("paths", plain, sites=DECODER)
    for name in ("strength", "changes", "recovered", "total", "additivity"):
        close(getattr(found, name), getattr(expected, name)[order])
    close(found.overlap("decoder.1"), expected.overlap("decoder.1")[np.ix_(order, order)])
    found, expected = solved("mediation", wiring), solved("mediation", plain)
    close(found.te, expected.te)
    for name in ("nie", "nde", "interaction", "proportion", "p"):
        close(getattr(found, name), getattr(expected, name)[:, order])
    found, expected = solved("unit_mediation", wiring), solved("unit_mediation", plain)
    close(found.nie, expected.nie[order])


@few
@given(st.permutations(range(6)))
def test_order_of_dimensions(dims: list[int]) -> None:
    """Features keep their results under their names; groups and latents stay."""
    wiring, plain = Rewiring(dims=dims), Rewiring()
    names = [feature.name for feature in plain.features()]
    order = [names.index(feature.name) for feature in wiring.features()]
    close(solved("inputs", wiring).shift, solved("inputs", plain).shift[order])
    close(solved("activations", wiring).changes, solved("activations", plain).changes[:, order])
    found, expected = solved("paths", wiring), solved("paths", plain)
    close(found.changes, expected.changes[:, :, order])
    close(found.strength, expected.strength)
    close(found.recovered, expected.recovered)
    found, expected = solved("mediation", wiring), solved("mediation", plain)
    for name in ("te", "nie", "nde", "interaction", "proportion", "p_corrected"):
        close(getattr(found, name), getattr(expected, name))


@few
@given(st.permutations(range(ROWS)))
def test_order_of_rows(rows: list[int]) -> None:
    """Rows reordered, and their sources with them: per-row values move along, means stay."""
    back = np.argsort(rows)
    sources = back[SOURCES[:, rows]]
    _, x = subject()
    found = solved("activations", Rewiring(), x[rows], sources=sources)
    expected = solved("activations", Rewiring())
    close(found.strength, np.asarray(expected.strength)[rows])
    close(found.changes, expected.changes)
    close(solved("paths", Rewiring(), x[rows], sources=sources).recovered, solved("paths", Rewiring()).recovered)
    close(
        solved("mediation", Rewiring(), x[rows], sources=sources).agreement,
        solved("mediation", Rewiring()).agreement[rows],
    )


def test_units_of_measurement_do_not_matter() -> None:
    """Numeric columns in other units, outputs with them: changes are in standard deviations."""
    wiring, plain = Rewiring(units=(100.0, 0.01, 1, 1, 1, 1)), Rewiring()
    for level, names in (
        ("activations", ("strength", "changes")),
        ("paths", ("strength", "recovered")),
        ("mediation", ("te", "nie", "proportion")),
    ):
        found, expected = solved(level, wiring), solved(level, plain)
        for name in names:
            close(getattr(found, name), getattr(expected, name), 1e-7)


def test_latents_that_nothing_reads() -> None:
    """Two more latents that carry columns of x and that the decoder ignores: no effect of theirs, no change elsewhere."""
    wiring, plain = Rewiring(extra=2), Rewiring()
    found, expected = solved("mediation", wiring), solved("mediation", plain)
    close(found.te, expected.te)
    close(found.nie[:, :LATENTS], expected.nie)
    assert not np.any(found.nie[:, LATENTS:])
    close(found.nde[:, LATENTS:], np.broadcast_to(found.te[:, None], found.nde[:, LATENTS:].shape))
    assert (found.p[:, LATENTS:] == 1).all()
    found = solved("paths", wiring)
    assert not np.any(found.total[LATENTS:])
    assert [c.size for c in found.circuits if c.sender in {"z3", "z4"}] == [0] * 4


def test_sources_as_a_number_are_derangements_that_can_be_handed_back() -> None:
    """Twice the same seed gives the same draws for every level: level 4 and level 1 agree on one source each."""
    one = solved("mediation", Rewiring(), sources=3, seed=8)
    two = solved("mediation", Rewiring(), sources=3, seed=8)
    np.testing.assert_array_equal(one.agreement, two.agreement)
    assert not np.allclose(one.agreement, solved("mediation", Rewiring(), sources=3, seed=9).agreement)


@pytest.mark.parametrize(
    "sources",
    [np.zeros((2, ROWS + 1), dtype=int), np.full((1, ROWS), ROWS), np.full((1, ROWS), -1), np.zeros((1, ROWS)), 0],
)
@pytest.mark.parametrize("level", ["inputs", "activations", "paths", "mediation", "unit_mediation"])
def test_sources_that_are_none_are_refused(level: str, sources: Any) -> None:
    """Another width, rows that do not exist, numbers that are no integers, no source at all."""
    with pytest.raises(cp.UsageError):
        solved(level, Rewiring(), sources=sources)
