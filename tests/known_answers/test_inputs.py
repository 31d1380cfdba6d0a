"""Level 1 worked out by hand: shift in latent standard deviations and information in nats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp

from .hand_nets import REVERSED, ROWS, TwoHeads
from .intervention_reference import Column
from .two_ways import Case, Package, both, close
from .vaes import PaperVAE, linear, signs, wrap

LN4 = math.log(4)


def two_heads() -> Case:
    """Encoder mu = (2 x_0, x_0 + 3 x_1), sigma^2 = (2^{x_0}, 1), rows {-1, 1}^2, every column negated.

    s_0^2 = Var + mean sigma^2 = 4 + (2 + 1/2) / 2 = 21/4, s_1^2 = 10 + 1 = 11.
    """
    model = TwoHeads(linear([[2, 0], [1, 3]]), linear([[math.log(2), 0], [0, 0]]), linear(np.eye(2)))
    return Case(model, ROWS, REVERSED, groups={"both": ["x0", "x1"]})


S0, S1 = math.sqrt(21 / 4), math.sqrt(11)


@both
class TestTwoHeads:
    def test_shift(self, way: Any) -> None:
        """x_0 changes by 2: mu by (4, 2). x_1: by (0, 6)."""
        found = way.inputs(two_heads())
        close(found.shift, [[4 / S0, 2 / S1], [0, 6 / S1]])
        close(found.shift_rows, np.broadcast_to(found.shift, (4, 2, 2)))

    def test_info_with_a_variance_that_depends_on_x(self, way: Any) -> None:
        """KL = (ln(old/new) + (new + d^2)/old - 1) / 2 of the two variances.

        x_0 on z_0, d = 4: x_0 = 1: old 2, new 1/2: (ln 4 + 16.5/2 - 1) / 2; x_0 = -1: (-ln 4 + 18 * 2 - 1) / 2.
        On z_1, variance 1: d^2 / 2 = 2. x_1: nothing on z_0, 6^2 / 2 = 18 on z_1.
        """
        found = way.inputs(two_heads())
        down, up = (LN4 + 7.25) / 2, (35 - LN4) / 2
        close(found.info, [[(down + up) / 2, 2], [0, 18]])
        close(found.info_rows[:, 0, 0], [up, up, down, down])

    def test_groups_move_together(self, way: Any) -> None:
        """Both columns: mu_1 changes by 2 (x_0 + 3 x_1), 8 4 4 8: mean 6; info (64 + 16) / 2 / 2 = 20."""
        found = way.inputs(two_heads())
        close(found.group_shift, [[4 / S0, 6 / S1]])
        close(found.group_shift_rows[:, 0, 1], np.array([8, 4, 4, 8]) / S1)
        close(found.group_info, [[(42.25) / 4, 20]])
        close(found.group_info_rows[:, 0, 1], [32, 8, 8, 32])

    def test_identity_sources_change_nothing(self, way: Any) -> None:
        found = way.inputs(two_heads().but(sources=[range(4), range(4)]))
        for name in ("shift", "info", "group_shift", "group_info", "shift_rows", "info_rows"):
            assert not np.any(getattr(found, name)), name

    def test_mean_over_sources(self, way: Any) -> None:
        """Rows that are their own source in one run of two count half; row 0 alone keeps its place in the first."""
        half = way.inputs(two_heads().but(sources=[REVERSED[0], range(4)]))
        whole = way.inputs(two_heads())
        close(half.shift, whole.shift / 2)
        close(half.info_rows, whole.info_rows / 2)
        own = way.inputs(two_heads().but(sources=[[0, 2, 1, 3]]))
        close(own.shift_rows[[0, 3]], np.zeros((2, 2, 2)))
        close(own.shift_rows[[1, 2]], whole.shift_rows[[1, 2]])


def one_hot() -> Case:
    """z_0 reads the category: 1, 4, 9 for A, B, C; z_1 = x_0. Rows (-1, A), (0, B), (1, C); sources B, C, A."""
    rows = np.column_stack([[-1.0, 0, 1], np.eye(3)])
    model = PaperVAE(linear([[0, 1, 4, 9], [1, 0, 0, 0]]), [0.2, 0.2], linear(np.ones((4, 2))))
    columns = (Column("size", "numeric", (0,)), Column("kind", "categorical", (1, 2, 3)))
    return Case(model, rows, [[1, 2, 0]], columns=columns)


@both
def test_a_one_hot_block_moves_as_a_whole(way: Any) -> None:
    """A -> B changes z_0 by 3, B -> C by 5, C -> A by 8. Var (1, 4, 9) = 98/9; Var (-1, 0, 1) = 2/3.

    x_0 changes by 1, 1, 2 and moves z_1 alone. Information: d^2 / (2 * 0.04).
    """
    found = way.inputs(one_hot())
    kind, size = math.sqrt(98 / 9 + 0.04), math.sqrt(2 / 3 + 0.04)
    close(found.shift_rows[:, 1, 0], np.array([3, 5, 8]) / kind)
    close(found.shift, [[0, 4 / 3 / size], [16 / 3 / kind, 0]])
    close(found.info, [[0, 6 / 3 / 0.08], [98 / 3 / 0.08, 0]])
    close(found.group_shift, found.shift)


@both
def test_an_encoder_without_variance_has_shifts_and_no_information(way: Any) -> None:
    """Encoder mu = (2 x_0, x_0 + 3 x_1): s = (2, sqrt(10)), shifts 4/2 = 2 and so on."""
    model = PaperVAE(linear([[2, 0], [1, 3]]), [0.2, 0.2], linear(np.eye(2)))
    found = way.inputs(Case(model, ROWS, REVERSED, encode=lambda m, x: m.encode(x)[0]))
    close(found.shift, [[2, 2 / math.sqrt(10)], [0, 6 / math.sqrt(10)]])
    assert np.isnan(found.info).all()
    assert np.isnan(found.group_info).all()
    assert np.isnan(found.info_rows).all()


class Parity(nn.Module):
    """The product of the two columns, and the first of them."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0] * x[:, 1], x[:, 0]], dim=1)


@both
def test_a_shift_without_a_scale_is_undefined(way: Any) -> None:
    """Rows (1, 1) and (-1, -1): mu_0 = 1 in all of them, without a variance s_0 = 0; x_0 from the other row makes it -1.

    A change of 2 in units of nothing has no value, and 0 it is not. mu_1 = x_0: 2 / 1.
    """
    model = PaperVAE(Parity(), [0.2, 0.2], linear(np.eye(2)))
    rows = np.array([[1.0, 1], [-1, -1], [1, 1], [-1, -1]])
    found = way.inputs(Case(model, rows, [[1, 0, 3, 2]], encode=lambda m, x: m.encode(x)[0]))
    assert not np.isfinite(found.shift[:, 0]).any()
    close(found.shift[:, 1], [2, 0])


def test_names_and_frame() -> None:
    found = Package().inputs(one_hot())
    assert (tuple(found.features), tuple(found.groups), tuple(found.latents)) == (
        ("size", "kind"),
        ("size", "kind"),
        ("z0", "z1"),
    )
    frame = found.to_frame()
    assert list(frame.index) == ["size", "kind"]
    assert list(frame.columns) == ["shift_z0", "shift_z1", "info_z0", "info_z1"]
    close(frame[["shift_z0", "shift_z1"]], found.shift)
    close(frame[["info_z0", "info_z1"]], found.info)


def test_a_constant_column_is_no_feature() -> None:
    rows = np.column_stack([ROWS, np.full(4, 7.0)])
    model = PaperVAE(linear([[1, 0, 0], [0, 1, 1]]), [0.2, 0.2], linear(np.ones((3, 2))))
    found = cp.interventions.inputs(wrap(model), rows, sources=np.array(REVERSED))
    assert tuple(found.features) == ("x0", "x1")
    close(found.shift, np.diag([2, 2]) / math.sqrt(1.04))


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_no_row_is_its_own_source(rows: int) -> None:
    """All rows differ and mu = x: a row that drew itself would have shift 0. One source at a time."""
    x = np.arange(1.0, rows + 1)[:, None] ** 2
    model = PaperVAE(linear([[1]]), [0.2], linear([[1]]))
    for seed in range(12):
        found = cp.interventions.inputs(wrap(model), x, sources=1, seed=seed)
        assert (found.shift_rows > 0).all()


def test_draws_come_from_the_seed() -> None:
    model, x = PaperVAE(linear([[1]]), [0.2], linear([[1]])), np.arange(20.0)[:, None] ** 2
    first, again, other = (cp.interventions.inputs(wrap(model), x, seed=seed).shift_rows for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_default_is_four_sources() -> None:
    """Distances are even numbers: half their mean over four sources is a quarter of a whole number, and not always a half."""
    x = signs(3) @ np.array([[1.0], [10], [100]])
    model = PaperVAE(linear([[1]]), [0.2], linear([[1]]))
    found = cp.interventions.inputs(wrap(model), x, seed=1).shift_rows * math.sqrt(float(x.var()) + 0.04) / 2
    close(4 * found, np.round(4 * found), 1e-6)
    assert np.any(np.abs(2 * found - np.round(2 * found)) > 0.1)
