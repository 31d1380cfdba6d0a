"""Interchange interventions worked out by hand on the networks of ``hand_nets``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import circuitprobe as cp

from .hand_nets import REVERSED, ROWS, both_needed, identity_case, kinked, kinked_case, layers
from .intervention_reference import Column
from .two_ways import Case, Package, both, close, spots, unit_names
from .vaes import PaperVAE, linear, signs, wrap

ROOT2 = math.sqrt(2)


@both
class TestKinkedDecoder:
    """The source row is the row negated: u_0 and u_1 change by 1 everywhere, u_2 = 0 0 0 2 becomes 2 0 0 0, u_3 stays 0."""

    def test_changes(self, way: Any) -> None:
        """u_0 carries 3 to D_0, u_1 carries 1; u_2 moves D_1 by 4 in two rows of four."""
        found = way.activations(kinked_case())
        close(found.changes, [[3, 0], [1, 0], [0, 2], [0, 0]])

    def test_strength(self, way: Any) -> None:
        """E = sqrt(delta^2 / 2): 3/sqrt(2), 1/sqrt(2), and 4/sqrt(2) in the first and the last row."""
        found = way.activations(kinked_case())
        rows = np.array([[3, 1, 4, 0], [3, 1, 0, 0], [3, 1, 0, 0], [3, 1, 4, 0]]) / ROOT2
        close(found.strength, rows)
        close(found.effect, np.array([3, 1, 2, 0]) / ROOT2)

    def test_units_are_named_and_dead_ones_included(self, way: Any) -> None:
        found = way.activations(kinked_case())
        assert unit_names(found.units) == [("decoder", "decoder.1", u) for u in range(4)]

    def test_decoder_units_shift_no_latent(self, way: Any) -> None:
        found = way.activations(kinked_case())
        assert np.asarray(found.shift).shape == (4, 2)
        assert np.isnan(found.shift).all()

    def test_a_way_round_the_layer_does_not_move(self, way: Any) -> None:
        """Only the unit takes the source value; z itself stays, so a skip connection changes nothing."""
        close(way.activations(kinked_case(skip=2)).changes, way.activations(kinked_case()).changes)

    def test_means_over_sources(self, way: Any) -> None:
        """One source row is the row itself: half of everything."""
        halved = way.activations(kinked_case().but(sources=[range(4), REVERSED[0]]))
        whole = way.activations(kinked_case())
        close(halved.strength, whole.strength / 2)
        close(halved.changes, whole.changes / 2)

    def test_identity_sources_change_nothing(self, way: Any) -> None:
        found = way.activations(kinked_case().but(sources=[range(4)]))
        assert not np.any(found.strength)
        assert not np.any(found.changes)


def encoder_case(decoder: nn.Module | None = None) -> Case:
    """Hidden units e = relu(x_0), relu(-x_0), relu(x_1); mu = (e_0 - e_1, 2 e_2 - 1) = x. s_i = sqrt(1.04)."""
    body = nn.Sequential(linear([[1, 0], [-1, 0], [0, 1]]), nn.ReLU(), linear([[1, -1, 0], [0, 0, 2]], [0.0, -1.0]))
    model = PaperVAE(body, [0.2, 0.2], decoder or kinked())
    return Case(model, ROWS, REVERSED, (*spots("mean.1", half="encoder"), *spots("decoder.1")))


@both
class TestEncoderUnits:
    """Unit e_0 from the negated row: 0 -> 1 where x_0 = -1, 1 -> 0 where x_0 = 1: mu_0 becomes 0 in every row.

    e_1 likewise. e_2: 0 -> 1 and 1 -> 0: mu_1 = -1 and 1 change sides.
    """

    def test_shift(self, way: Any) -> None:
        s = math.sqrt(1.04)
        found = way.activations(encoder_case())
        close(found.shift[:3], np.array([[1, 0], [1, 0], [0, 2]]) / s)
        assert np.isnan(found.shift[3:]).all()
        assert unit_names(found.units)[:3] == [("encoder", "mean.1", u) for u in range(3)]
        assert unit_names(found.units)[3:] == [("decoder", "decoder.1", u) for u in range(4)]

    def test_output(self, way: Any) -> None:
        """D(0, z_1) against D(z): D_0 = -1 -1 3 3 becomes 0; D_1 = 0 0 0 4 becomes 0 2 0 2.

        D(z_0, -z_1): D_0 stays, D_1 = 0 0 0 4 becomes 0 0 4 0.
        """
        found = way.activations(encoder_case())
        close(found.changes[:3], [[2, 1], [2, 1], [0, 2]])
        squares = np.array([[1 + 0, 1 + 4, 9 + 0, 9 + 4], [0, 0, 16, 16]])
        close(found.strength[:, 0], np.sqrt(squares[0] / 2))
        close(found.strength[:, 2], np.sqrt(squares[1] / 2))

    def test_decoder_units_as_without_an_encoder_site(self, way: Any) -> None:
        close(way.activations(encoder_case()).changes[3:], [[3, 0], [1, 0], [0, 2], [0, 0]])


@both
def test_later_layers_run_on(way: Any) -> None:
    """relu(h_0 + h_1 - 1) with h = (z, z): one h from the other row gives relu(-1) = 0: the row z = 1 falls by 1."""
    found = way.activations(both_needed())
    close(found.strength, [[0, 0], [1, 1]])
    close(found.effect, [0.5, 0.5])


@both
def test_channels_of_a_convolution_move_as_whole_maps(way: Any) -> None:
    """Channels (z_0 in every place, z_1 in every place) of length 3; the output is their places side by side.

    A channel from the negated row changes its three places by 2: delta = 2 on three of six columns of deviation 1.
    """
    spread = nn.Conv1d(2, 2, 1, dtype=torch.float64)
    out = nn.Conv1d(2, 2, 1, dtype=torch.float64)
    with torch.no_grad():
        for layer in (spread, out):
            layer.weight.copy_(torch.eye(2)[:, :, None])
            layer.bias.zero_()  # type: ignore[union-attr]
    places = linear(np.kron(np.eye(2), np.ones((3, 1))))
    decoder = nn.Sequential(places, nn.Unflatten(1, (2, 3)), spread, nn.Identity(), out, nn.Flatten())
    model = PaperVAE(linear(np.kron(np.eye(2), np.full((1, 3), 1 / 3))), [0.2, 0.2], decoder)
    case = Case(model, np.repeat(ROWS, 3, axis=1), REVERSED, spots("decoder.2", axis=1))
    found = way.activations(case)
    close(found.changes, [[2, 2, 2, 0, 0, 0], [0, 0, 0, 2, 2, 2]])
    close(found.effect, [ROOT2, ROOT2])


@both
def test_kinds_of_features(way: Any) -> None:
    """One hidden unit per latent, outputs: numeric 3 h_0 (s_f = 3), binary sigmoid(h_0), categorical softmax(h_1, 0), patch.

    Rows of x: numeric 3 z_0, binary and one-hot as it likes, patch of two pixels. h from the negated row:
    numeric 6 / 3 = 2; binary sigmoid(1) - sigmoid(-1) = tanh(1/2); categorical the same, as both categories change by
    tanh(1/2) and half of the sum is taken; patch (h_1, 3 h_1) / 8: mean of 2/8 and 6/8.
    """
    rows = np.column_stack([3 * ROWS[:, 0], ROWS[:, 0] > 0, ROWS[:, 1] > 0, ROWS[:, 1] < 0, ROWS / 8 + 0.5]).astype(
        float
    )
    columns = (
        Column("amount", "numeric", (0,)),
        Column("flag", "binary", (1,), "sigmoid"),
        Column("kind", "categorical", (2, 3), "softmax"),
        Column("patch", "pixel", (4, 5)),
    )
    encoder = linear([[1 / 3, 0, 0, 0, 0, 0], [0, 0, 1, -1, 0, 0]])
    head = linear([[3, 0], [1, 0], [0, 1], [0, 0], [0, 1 / 8], [0, 3 / 8]], [0, 0, 0, 0, 0.5, 0.5])
    decoder = nn.Sequential(linear(np.eye(2)), nn.Identity(), head)
    case = Case(PaperVAE(encoder, [0.2, 0.2], decoder), rows, REVERSED, spots("decoder.0"), columns=columns)
    found = way.activations(case)
    t = math.tanh(0.5)
    close(found.changes, [[2, t, 0, 0], [0, 0, t, 0.5]])
    close(found.effect, [math.sqrt((4 + t * t) / 4), math.sqrt((t * t + 0.25) / 4)])


@pytest.mark.parametrize("chosen", [None, "decoder.*", ["decoder.1"], "*"])
def test_sites_are_chosen_by_name(chosen: Any) -> None:
    """The units of decoder.1 have the answers above whatever else is asked for; by default nothing else is."""
    case = kinked_case()
    found = cp.interventions.activations(wrap(case.model), case.x, chosen, sources=np.array(case.sources))
    here = [number for number, unit in enumerate(found.units) if unit.site == "decoder.1"]
    close(found.changes[here], [[3, 0], [1, 0], [0, 2], [0, 0]])
    if chosen is None or isinstance(chosen, list):
        assert len(found.units) == 4
    else:
        # decoder.0 and the output head decoder.2 are places too, and decoder.0 runs first
        assert [unit.site for unit in found.units if unit.half == "decoder"][:4] == ["decoder.0"] * 4


def test_default_sites_are_the_hidden_activations_of_both_halves() -> None:
    case = encoder_case(layers([[1, 0], [0, 1]], [[1, 1], [1, -1]], [[1, 0], [0, 1]]))
    found = cp.interventions.activations(wrap(case.model), case.x, sources=np.array(case.sources))
    sites = list(dict.fromkeys((str(unit.half), unit.site) for unit in found.units))
    assert sites == [("encoder", "mean.1"), ("decoder", "decoder.1"), ("decoder", "decoder.3")]
    assert np.asarray(found.strength).shape == (4, 7)


def test_frame() -> None:
    """One row per unit, in the order of ``units``."""
    found = Package().activations(encoder_case())
    frame = found.to_frame()
    assert len(frame) == 7
    assert list(frame["half"]) == ["encoder"] * 3 + ["decoder"] * 4
    assert list(frame["site"]) == ["mean.1"] * 3 + ["decoder.1"] * 4
    assert list(frame["unit"]) == [0, 1, 2, 0, 1, 2, 3]
    close(frame["effect"], found.effect)
    close(frame[["x0", "x1"]], found.changes)
    close(frame[["shift_z0", "shift_z1"]], found.shift)


def test_a_unit_patched_from_every_row_of_a_larger_table() -> None:
    """D = relu pairs of z, n = 64 rows, R = 5 drawn sources: |change of z_0| is 0 or 2, half of it by each of two units."""
    pairs = identity_case(layers([[1, 0], [-1, 0]], [[1, -1], [0, 0]]), "decoder.1")
    found = cp.interventions.activations(
        wrap(pairs.model), signs(2, repeats=16), sites="decoder.1", sources=5, seed=9, chunk=7
    )
    close(found.changes[:, 1], [0, 0])
    close(found.changes[0], found.changes[1])
    close(np.asarray(found.strength)[:, 0] * ROOT2 * 5, np.round(np.asarray(found.strength)[:, 0] * ROOT2 * 5))


def test_the_head_of_the_body_is_a_place_before_the_sum() -> None:
    """decoder.body.2 holds 3 u_0 - u_1 = -1 -1 3 3: the negated row's value changes it by 4; 2 z_0 past it stays."""
    case = kinked_case(skip=2)
    found = cp.interventions.activations(
        wrap(case.model), case.x, sites="decoder.body.2", sources=np.array(case.sources)
    )
    close(found.changes, [[4, 0], [0, 2]])
