"""Path-specific patching worked out by hand on the networks of ``hand_nets``.

``kinked``, sender z_0 (negated): u_0 carries +-3 to D_0, u_1 carries +-1 to D_0 in the same direction, u_2 carries
0 +4 0 -4 to D_1. Total t = (4, 0) (4, 4) (-4, 0) (-4, -4), sum <t, t> = 96. Sender z_1: u_2 alone, 0 0 4 -4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from torch import nn

import circuitprobe as cp

from .hand_nets import REVERSED, ROWS, Reused, Skip, both_needed, identity_case, kinked, kinked_case, layers, two_steps
from .two_ways import Case, Package, both, close, spots, unit_names
from .vaes import PaperVAE, linear, wrap

ROOT2, NAN = math.sqrt(2), math.nan


def circuits(found: Any) -> dict[str, Any]:
    """The circuits of a one-layer case by sender."""
    return {c.sender: c for c in found.circuits}


@both
class TestKinkedDecoder:
    def test_paths(self, way: Any) -> None:
        found = way.paths(kinked_case())
        assert unit_names(found.units) == [("decoder", "decoder.1", u) for u in range(4)]
        assert (tuple(found.senders), tuple(found.ends), tuple(found.layers)) == (
            ("z0", "z1"),
            ("x0", "x1"),
            ("decoder.1",),
        )
        close(found.changes, [[[3, 0], [1, 0], [0, 2], [0, 0]], [[0, 0], [0, 0], [0, 2], [0, 0]]])
        close(found.strength, np.array([[3, 1, 2, 0], [0, 0, 2, 0]]) / ROOT2)

    def test_total(self, way: Any) -> None:
        """z_0: E = sqrt(16/2), sqrt(32/2) in two rows each: sqrt(2) + 2. z_1: 4/sqrt(2) in two rows of four."""
        close(way.paths(kinked_case()).total, [ROOT2 + 2, ROOT2])

    def test_recovered(self, way: Any) -> None:
        """<b, t>: u_0 12 in every row: 48/96; u_1 4: 16/96; u_2 16 in two rows: 32/96. They add up to 1."""
        close(way.paths(kinked_case()).recovered, [[1 / 2, 1 / 6, 1 / 3, 0], [0, 0, 1, 0]])

    def test_the_layer_cuts_every_path(self, way: Any) -> None:
        close(way.paths(kinked_case()).additivity, [[1], [1]])

    @pytest.mark.parametrize(
        ("share", "units", "faithfulness"),
        [(0.4, (0,), 1 / 2), (0.8, (0, 2), 5 / 6), (0.9, (0, 2, 1), 1), (0.01, (0,), 1 / 2)],
    )
    def test_circuit(self, way: Any, share: float, units: tuple[int, ...], faithfulness: float) -> None:
        """By strength: u_0, u_2, u_1. Shares 1/2, 5/6, 1; what is left is the rest, as D is linear in u."""
        found = circuits(way.paths(kinked_case(), share=share))["z0"]
        assert (found.site, tuple(found.units), found.size) == ("decoder.1", units, len(units))
        close([found.faithfulness, found.completeness], [faithfulness, 1 - faithfulness])
        assert found.complete

    def test_circuit_of_the_other_latent_and_overlap(self, way: Any) -> None:
        """z_1: {u_2}. Jaccard with {u_0, u_2, u_1}: 1/3, with {u_0, u_2}: 1/2, with {u_0}: 0."""
        found = way.paths(kinked_case())
        assert tuple(circuits(found)["z1"].units) == (2,)
        close([circuits(found)["z1"].faithfulness, circuits(found)["z1"].completeness], [1, 0])
        close(found.overlap("decoder.1"), [[1, 1 / 3], [1 / 3, 1]])
        close(way.paths(kinked_case(), share=0.8).overlap("decoder.1"), [[1, 1 / 2], [1 / 2, 1]])
        close(way.paths(kinked_case(), share=0.4).overlap("decoder.1"), [[1, 0], [0, 1]])

    def test_chosen_senders(self, way: Any) -> None:
        found = way.paths(kinked_case(), senders=["z1"])
        assert tuple(found.senders) == ("z1",)
        close(found.strength, np.array([[0, 0, 2, 0]]) / ROOT2)

    def test_half_of_the_sources_are_the_row_itself(self, way: Any) -> None:
        """Means are halved, shares are not: their rows weigh <t, t> = 0."""
        found, whole = way.paths(kinked_case().but(sources=[REVERSED[0], range(4)])), way.paths(kinked_case())
        for name in ("strength", "changes", "total"):
            close(getattr(found, name), getattr(whole, name) / 2)
        for name in ("recovered", "additivity"):
            close(getattr(found, name), getattr(whole, name))
        assert [tuple(c.units) for c in found.circuits] == [tuple(c.units) for c in whole.circuits]

    def test_identity_sources(self, way: Any) -> None:
        """Nothing moves: effects are 0, shares are undefined, circuits empty."""
        found = way.paths(kinked_case().but(sources=[range(4)]))
        assert not np.any(found.strength)
        assert not np.any(found.total)
        assert np.isnan(found.recovered).all()
        assert np.isnan(found.additivity).all()
        assert [(c.size, c.complete) for c in found.circuits] == [(0, False)] * 2
        assert np.isnan(found.overlap("decoder.1")).all()


@both
class TestSkipConnection:
    """z_0 times a number also reaches D_0 past the layer; paths through units stay as they are."""

    def test_a_skip_in_the_same_direction(self, way: Any) -> None:
        """2 z_0: t_0 = 8: E = sqrt(64/2) and sqrt(80/2): additivity (sqrt(2) + 2) / (2 sqrt(2) + sqrt(10)) = 0.570.

        sum <t, t> = 4 * 64 + 2 * 16 = 288; <b, t>: u_0 4 * 24, u_1 4 * 8, u_2 2 * 16: 1/3, 1/9, 1/9.
        """
        found, without = way.paths(kinked_case(skip=2)), way.paths(kinked_case())
        close(found.changes, without.changes)
        close(found.total, [2 * ROOT2 + math.sqrt(10), ROOT2])
        close(found.additivity, [[(ROOT2 + 2) / (2 * ROOT2 + math.sqrt(10))], [1]])
        close(found.recovered, [[1 / 3, 1 / 9, 1 / 9, 0], [0, 0, 1, 0]])

    def test_no_set_recovers_what_goes_round(self, way: Any) -> None:
        """All live units, by strength, recover 5/9; the dead one is none of them and carries nothing."""
        found = circuits(way.paths(kinked_case(skip=2)))["z0"]
        assert (tuple(found.units), found.complete) == ((0, 2, 1), False)
        close([found.faithfulness, found.completeness], [5 / 9, 0])

    def test_a_layer_that_hears_nothing_of_the_sender(self, way: Any) -> None:
        """The units read z_1 alone and 2 z_0 goes round them: z_0 has an effect, of which they carry 0, not an undefined share.

        No unit is live for it: the set is empty, its share 0, and 0 is left when it is frozen.
        """
        decoder = Skip(layers([[0, 1], [0, -1]], [[1, 0], [0, 3]]), [[2, 0], [0, 0]])
        found = way.paths(identity_case(decoder, "decoder.body.1"))
        close(found.total[0], 4 / ROOT2)
        close(found.recovered[0], [0, 0])
        close(found.additivity[0], [0])
        empty = circuits(found)["z0"]
        assert (tuple(empty.units), empty.size, empty.complete) == ((), 0, False)
        close([empty.faithfulness, empty.completeness], [0, 0])
        assert np.isnan(found.overlap("decoder.body.1")[0, 1])

    def test_a_skip_that_cancels(self, way: Any) -> None:
        """-2 z_0: t_0 = 4 - 4 = 0, t = (0, 0 4 0 -4): additivity (sqrt(2) + 2) / sqrt(2) = 1 + sqrt(2), above 1.

        u_0 moves D_0, which does not move in all: share 0. {u_0}: 0, {u_0, u_2}: 1.
        """
        found = way.paths(kinked_case(skip=-2))
        close(found.additivity, [[1 + ROOT2], [1]])
        close(found.recovered[0], [0, 0, 1, 0])
        chosen = circuits(found)["z0"]
        assert (tuple(chosen.units), chosen.complete) == ((0, 2), True)
        close([chosen.faithfulness, chosen.completeness], [1, 0])


@both
class TestUnitsThatWorkTogether:
    """A layer after the units that is not linear: shares do not add up."""

    def test_both_are_needed(self, way: Any) -> None:
        """D = relu(h_0 + h_1 - 1), h = (z, z). z = -1: one h at 1 gives 0 as before; z = 1: one h at -1 gives 0, a fall of 1.

        t = 1, -1; b = 0, -1: share 1/2 each, equally strong: unit 0 first. Together 1.
        """
        found = way.paths(both_needed())
        close(found.strength, [[1 / 2, 1 / 2]])
        close(found.recovered, [[1 / 2, 1 / 2]])
        (chosen,) = found.circuits
        assert (tuple(chosen.units), chosen.complete) == ((0, 1), True)
        close([chosen.faithfulness, chosen.completeness], [1, 0])

    def test_either_is_enough(self, way: Any) -> None:
        """D = 1 - relu(1 - h_0 - h_1), h = relu(z) twice: 0 at z = -1, 1 at z = 1, 1 with one h = 1.

        b = 1, 0 against t = 1, -1: share 1/2. Share 0.4 asked for: {u_0} has 1/2, and frozen it leaves 1/2.
        """
        decoder = layers([[1], [1]], [[-1, -1]], [[-1]], bias=[None, [1], [1]])
        found = way.paths(identity_case(decoder, "decoder.1", width=1), share=0.4)
        (chosen,) = found.circuits
        assert (tuple(chosen.units), chosen.complete) == ((0,), True)
        close([chosen.faithfulness, chosen.completeness], [0.5, 0.5])

    def test_ties_go_to_the_lower_number(self, way: Any) -> None:
        """Four equal units of share 1/4: three of them are the first to reach 0.7."""
        decoder = layers(np.ones((4, 1)), np.ones((1, 4)) / 4)
        (chosen,) = way.paths(identity_case(decoder, "decoder.1", width=1), share=0.7).circuits
        assert tuple(chosen.units) == (0, 1, 2)
        close([chosen.faithfulness, chosen.completeness], [0.75, 0.25])

    def test_units_against_the_total(self, way: Any) -> None:
        """D = 3 h_0 - h_1 + 0 h_2, h = z: t = 4, shares 3/2 and -1/2; {u_0} goes beyond 1 and is enough.

        Frozen: u_1 alone, -1/2.
        """
        decoder = nn.Sequential(linear([[1], [1], [1]]), linear([[3, -1, 0]]))
        found = way.paths(identity_case(decoder, "decoder.0", width=1))
        close(found.recovered, [[3 / 2, -1 / 2, 0]])
        (chosen,) = found.circuits
        assert (tuple(chosen.units), chosen.complete) == ((0,), True)
        close([chosen.faithfulness, chosen.completeness], [3 / 2, -1 / 2])

    def test_overlap_of_sets_that_share_a_part(self, way: Any) -> None:
        """D = (h_0 + h_1, h_1 + h_2), h = (z_0, z_0 + z_1, z_1). z_0: h_1 carries (2, 2) of t = (4, 2), 12/20, h_0 8/20.

        z_1 mirrors it: {1, 0} and {1, 2}, one unit of three in both.
        """
        decoder = nn.Sequential(linear([[1, 0], [1, 1], [0, 1]]), linear([[1, 1, 0], [0, 1, 1]]))
        found = way.paths(identity_case(decoder, "decoder.0"))
        close(found.recovered, [[0.4, 0.6, 0], [0, 0.6, 0.4]])
        assert [tuple(c.units) for c in found.circuits] == [(1, 0), (1, 2)]
        close(found.overlap("decoder.0"), [[1, 1 / 3], [1 / 3, 1]])


@both
def test_calls_of_one_module_are_places_of_their_own(way: Any) -> None:
    """``Reused``: D = 2, 1, t = -1, 1. The first call moves a, and b with it: all of t. The second moves b alone: -2, 2.

    x = z has deviation 1. Share of the second: (2 + 2) / 2 = 2, additivity 2, as a goes round it and against it.
    """
    found = way.paths(identity_case(Reused(), "decoder.act", "decoder.act#1", width=1))
    assert tuple(found.layers) == ("decoder.act", "decoder.act#1")
    close(found.total, [1])
    close(found.strength, [[1, 2]])
    close(found.recovered, [[1, 2]])
    close(found.additivity, [[1, 2]])
    close(way.path(identity_case(Reused(), "decoder.act#1", width=1), ("z0", "decoder.act#1:0")).changes, [2])
    patched = way.activations(identity_case(Reused(), "decoder.act", "decoder.act#1", width=1))
    close(patched.effect, [1, 2])


@both
class TestCollapsedLatent:
    """A decoder that ignores z_1: no effect, no share, no circuit, and never 0 or 1 instead."""

    def test_undefined(self, way: Any) -> None:
        found = way.paths(identity_case(layers([[1, 0], [-1, 0]], [[1, -1], [2, 0]]), "decoder.1"))
        close(found.total[1], 0)
        close(found.strength[1], [0, 0])
        assert np.isnan(found.recovered[1]).all()
        assert np.isnan(found.additivity[1]).all()
        empty = circuits(found)["z1"]
        assert (tuple(empty.units), empty.size, empty.complete) == ((), 0, False)
        assert math.isnan(empty.faithfulness)
        assert math.isnan(empty.completeness)
        overlap = found.overlap("decoder.1")
        assert overlap[0, 0] == 1
        assert np.isnan(overlap[[0, 1, 1], [1, 0, 1]]).all()


@both
class TestTwoLayers:
    """``two_steps``: PSE of a layer-2 unit counts every way to it, a path only the named one."""

    def test_units_of_both_layers(self, way: Any) -> None:
        """z_0 negated, one unit at a time. a_0 (0 0 1 1 -> 1 1 0 0): b_0 by 1 1 -1 -1, b_1 = 0 0 1 0 -> 1 0 0 0.

        a_1 (1 1 0 0 -> 0 0 1 1): b_0 by 2. b in the run of z_0: b_0 = 2 2 1 1 -> 1 1 2 2, b_1 0 0 1 0 -> 1 0 0 0.
        """
        found = way.paths(two_steps())
        assert [name for _, name, _ in unit_names(found.units)] == ["decoder.1"] * 3 + ["decoder.3"] * 2
        close(found.changes[0], [[1, 1], [2, 0], [0, 0], [1, 0], [0, 1]])
        close(found.additivity, np.ones((2, 2)))
        assert [(c.sender, c.site) for c in found.circuits] == [
            (sender, site) for sender in ("z0", "z1") for site in ("decoder.1", "decoder.3")
        ]

    @pytest.mark.parametrize(
        ("steps", "changes", "rows"),
        [
            (("z0", "decoder.1:0", "decoder.3:0"), [1, 0], [1, 1, 1, 1]),
            (("z0", "decoder.1:1", "decoder.3:0"), [2, 0], [2, 2, 2, 2]),
            (("z0", "decoder.1:0", "decoder.3:1"), [0, 1], [2, 0, 2, 0]),
            (("z1", "decoder.1:2", "decoder.3:1"), [0, 1], [0, 0, 2, 2]),
            (("z1", "decoder.1:2", "decoder.3:0"), [0, 0], [0, 0, 0, 0]),
            (("z1", "decoder.1:0", "decoder.3:0"), [0, 0], [0, 0, 0, 0]),
            (("z0", "decoder.1:0"), [1, 1], [math.sqrt(5), 1, math.sqrt(5), 1]),
            (("z0", "decoder.3:0"), [1, 0], [1, 1, 1, 1]),
        ],
    )
    def test_path(self, way: Any, steps: tuple[str, ...], changes: list[float], rows: list[float]) -> None:
        """Changes as above, those of b_0 and of b_1 apart; ``rows`` is E times sqrt(2).

        z_1 moves a_2 = 0 1 0 1 -> 1 0 1 0: b_1 = relu(a_0 - a_2) = 0 0 1 0 -> 0 0 0 1, and counts twice in D_1.
        """
        found = way.path(two_steps(), steps)
        assert tuple(found.ends) == ("x0", "x1")
        close(found.changes, changes)
        close(found.strength_rows, np.array(rows) / ROOT2)
        close(found.strength, np.mean(rows) / ROOT2)


def encoder_case() -> Case:
    """Hidden e = relu(x_0), relu(x_0 + x_1); mu = (2 e_0, e_0 + 3 e_1): mu_0 = 0 0 2 2, mu_1 = 0 0 1 7.

    s_0^2 = 1 + 0.04, s_1^2 = (1 + 49)/4 - 2^2 + 0.04 = 8.54.
    """
    model = PaperVAE(layers([[1, 0], [1, 1]], [[2, 0], [1, 3]]), [0.2, 0.2], kinked())
    return Case(model, ROWS, REVERSED, spots("mean.1", half="encoder"))


S0, S1 = math.sqrt(1.04), math.sqrt(8.54)


@both
class TestEncoderSide:
    """Sender x_0 negated: e_0 changes by 1 1 -1 -1, e_1 = 0 0 0 2 -> 0 2 0 0. Sender x_1: e_1 -> 0 0 2 0."""

    def test_changes(self, way: Any) -> None:
        """e_0 carries 2 to mu_0 and 1 to mu_1; e_1 carries 6 to mu_1 in two rows of four."""
        found = way.paths(encoder_case(), side="encoder")
        assert (tuple(found.senders), tuple(found.ends)) == (("x0", "x1"), ("z0", "z1"))
        assert unit_names(found.units) == [("encoder", "mean.1", 0), ("encoder", "mean.1", 1)]
        close(found.changes, [[[2 / S0, 1 / S1], [0, 3 / S1]], [[0, 0], [0, 3 / S1]]])
        close(found.strength, [[math.sqrt((4 / S0**2 + 1 / S1**2) / 2), 3 / S1 / ROOT2], [0, 3 / S1 / ROOT2]])

    def test_total_and_shares(self, way: Any) -> None:
        """Total of x_0: (2, 1), (2, 7), (-2, -1), (-2, -7) over (s_0, s_1)."""
        found = way.paths(encoder_case(), side="encoder")
        small, large = 4 / S0**2 + 1 / S1**2, 4 / S0**2 + 49 / S1**2
        close(found.total, [(math.sqrt(small / 2) + math.sqrt(large / 2)) / 2, 3 / S1 / ROOT2])
        through_e0 = 2 * small + 2 * (4 / S0**2 + 7 / S1**2)
        close(found.recovered, [np.array([through_e0, 2 * 42 / S1**2]) / (2 * small + 2 * large), [0, 1]])
        close(found.additivity, [[1], [1]])

    def test_circuits(self, way: Any) -> None:
        """x_0: E of e_0 is 1.407, of e_1 0.726; neither alone has 0.9 of the total."""
        found = way.paths(encoder_case(), side="encoder")
        assert [tuple(c.units) for c in found.circuits] == [(0, 1), (1,)]
        close(found.overlap("mean.1"), [[1, 0.5], [0.5, 1]])

    def test_groups_send_together(self, way: Any) -> None:
        """Both columns: e_0 as above, e_1 = 0 0 0 2 -> 2 0 0 0."""
        found = way.paths(encoder_case().but(groups={"both": ["x0", "x1"]}), side="encoder")
        assert tuple(found.senders) == ("both",)
        close(found.changes, [[[2 / S0, 1 / S1], [0, 3 / S1]]])

    def test_path(self, way: Any) -> None:
        for sender, case in (("x0", encoder_case()), ("x0", encoder_case().but(groups={"both": ["x0", "x1"]}))):
            found = way.path(case, (sender, "mean.1:1"))
            assert tuple(found.ends) == ("z0", "z1")
            close(found.changes, [0, 3 / S1])
            close(found.strength_rows, np.array([0, 6, 0, 6]) / S1 / ROOT2)
        both_columns = way.path(encoder_case().but(groups={"both": ["x0", "x1"]}), ("both", "mean.1:1"))
        close(both_columns.strength_rows, np.array([6, 0, 0, 6]) / S1 / ROOT2)


def test_frames() -> None:
    """One row per (sender, unit); of a single path one row per end."""
    found = Package().paths(kinked_case())
    frame = found.to_frame()
    assert len(frame) == 8
    close(frame["strength"], found.strength.ravel())
    close(frame["recovered"], found.recovered.ravel())
    close(frame[["x0", "x1"]], found.changes.reshape(8, 2))
    single = Package().path(two_steps(), ("z0", "decoder.1:0", "decoder.3:1")).to_frame()
    close(single.select_dtypes("number").to_numpy().sum(), 1)


def test_without_circuits() -> None:
    case = kinked_case()
    found = cp.interventions.paths(wrap(case.model), case.x, sources=np.array(case.sources), circuits=False)
    assert tuple(found.circuits) == ()
    close(found.strength, np.array([[3, 1, 2, 0], [0, 0, 2, 0]]) / ROOT2)


@pytest.mark.parametrize(
    ("steps", "word"),
    [
        (("z7", "decoder.1:0"), "z7"),
        (("z0", "decoder.9:0"), "decoder.9"),
        (("z0", "decoder.1:44"), "44"),
        (("z0", "decoder.1"), "decoder.1"),
    ],
)
def test_a_path_that_is_none_is_refused(steps: tuple[str, ...], word: str) -> None:
    with pytest.raises(cp.UsageError, match=word.replace(".", r"\.")):
        Package().path(two_steps(), steps)
