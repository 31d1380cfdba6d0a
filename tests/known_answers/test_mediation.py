"""Mediation worked out by hand: feature group -> latent -> feature group, and latent -> decoder unit -> feature group."""

from __future__ import annotations

import math
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests
from torch import Tensor, nn

import circuitprobe as cp

from .hand_nets import REVERSED, ROWS, Product, both_needed, identity_case, kinked_case, layers
from .intervention_reference import Column
from .two_ways import Case, Package, both, close, spots
from .vaes import PaperVAE, linear, wrap

ROOT2, NAN = math.sqrt(2), math.nan


def linear_case() -> Case:
    """Encoder mu = A x, D = W z with A = [[1, 0], [1, 1]], W = [[1, 2], [0, 1]]; every column is negated, by 2."""
    return Case(PaperVAE(linear([[1, 0], [1, 1]]), [0.2, 0.2], linear([[1, 2], [0, 1]])), ROWS, REVERSED)


@both
class TestLinear:
    """Treatment x_0: mu by (1, 1) * 2, D by (3, 1) * 2: (1, 0) * 2 of it by z_0 and (2, 1) * 2 by z_1.

    Treatment x_1: mu by (0, 1) * 2, D by (2, 1) * 2, all of it by z_1.
    """

    def test_effects(self, way: Any) -> None:
        found = way.mediation(linear_case())
        close(found.te, [[6, 2], [4, 2]])
        close(found.nie, [[[2, 0], [4, 2]], [[0, 0], [4, 2]]])
        close(found.nde, [[[4, 2], [2, 0]], [[4, 2], [0, 0]]])

    def test_no_interaction_in_a_linear_model(self, way: Any) -> None:
        close(way.mediation(linear_case()).interaction, np.zeros((2, 2, 2)))

    def test_proportion(self, way: Any) -> None:
        close(way.mediation(linear_case()).proportion, [[[1 / 3, 0], [2 / 3, 1]], [[0, 0], [1, 1]]])

    def test_agreement(self, way: Any) -> None:
        """<NIE, TE> = 4 * (1 * 3, 0), 4 * (2 * 3, 1 * 1); 4 * (2 * 2, 1 * 1) in every row."""
        expected = [[[12, 0], [24, 4]], [[0, 0], [16, 4]]]
        close(way.mediation(linear_case()).agreement, np.broadcast_to(expected, (4, 2, 2, 2)))

    def test_groups(self, way: Any) -> None:
        """Both columns negated: mu by 2 (x_0, x_0 + x_1), D by 2 (3 x_0 + 2 x_1, x_0 + x_1).

        TE: (3 x_0 + 2 x_1)^2 = 25 1 1 25, (x_0 + x_1)^2 = 4 0 0 4; 4 * (52 + 8) / 4 rows / 2 features = 30.
        NIE_0 = 2 (x_0, 0): 4 / 2 = 2. NIE_1 = 2 (x_0 + x_1) (2, 1): 4 * 4 * 5 / 2 / 2 = 20.
        <NIE_0, TE> = 4 x_0 (3 x_0 + 2 x_1) = 4 (5 1 1 5): 48 of 4 * 60 = 240: 1/5.
        """
        found = way.mediation(linear_case().but(groups={"all": ["x0", "x1"]}))
        close(found.te, [[math.sqrt(30)]])
        close(found.nie, [[[ROOT2], [math.sqrt(20)]]])
        close(found.interaction, np.zeros((1, 2, 1)))
        close(found.proportion, [[[0.2], [0.8]]])
        close(found.agreement[:, 0, 0, 0], [20, 4, 4, 20])

    def test_half_of_the_sources_are_the_row_itself(self, way: Any) -> None:
        """RMS over rows and sources: 1/sqrt(2) of it; agreement a half; the share as before."""
        found = way.mediation(linear_case().but(sources=[range(4), REVERSED[0]]))
        whole = way.mediation(linear_case())
        for name in ("te", "nie", "nde"):
            close(getattr(found, name), getattr(whole, name) / ROOT2)
        close(found.agreement, whole.agreement / 2)
        close(found.proportion, whole.proportion)

    def test_identity_sources(self, way: Any) -> None:
        found = way.mediation(linear_case().but(sources=[range(4)]))
        for name in ("te", "nie", "nde", "interaction", "agreement"):
            assert not np.any(getattr(found, name)), name
        assert np.isnan(found.proportion).all()


@both
class TestLatentsThatInteract:
    def test_product(self, way: Any) -> None:
        """D = (z_0 z_1, z_1), mu = (x_0, x_0), x_0 negated: z_0 z_1 = 1 stays 1: TE = 0 on D_0, 2 in size on D_1.

        Either latent alone turns D_0 by -2, in either order: interaction 0 + 2 + 2 = 4; a share of no effect is
        undefined. D_1 is moved by z_1 alone.
        """
        found = way.mediation(Case(PaperVAE(linear([[1, 0], [1, 0]]), [0.2, 0.2], Product()), ROWS, REVERSED))
        close(found.te, [[0, 2], [0, 0]])
        close(found.nie[0], [[2, 0], [2, 2]])
        close(found.nde[0], [[2, 2], [2, 0]])
        close(found.interaction[0], [[4, 0], [4, 0]])
        close(found.proportion[0], [[NAN, 0], [NAN, 1]])
        assert np.isnan(found.proportion[1]).all()

    def test_rectified_sum(self, way: Any) -> None:
        """D_0 = relu(z_0 + z_1) = 0 0 0 2, both negated 2 0 0 0: TE = 2 0 0 -2.

        NIE_0 (z_0 negated): 0 2 0 0: 0 2 0 -2. NDE_0 (z_1 negated): 0 0 2 0: 0 0 2 -2. Interaction 2 -2 -2 2.
        <NIE, TE> = 0 0 0 4 of 8.
        """
        decoder = layers([[1, 1]], [[1], [0]])
        found = way.mediation(identity_case(decoder).but(groups={"all": ["x0", "x1"]}))
        # D_1 = 0: squares are halved by the second feature of the group
        close(found.te, [[1]])
        close(found.nie, [[[1], [1]]])
        close(found.nde, [[[1], [1]]])
        close(found.interaction, [[[ROOT2], [ROOT2]]])
        close(found.proportion, [[[0.5], [0.5]]])
        close(found.agreement[:, 0, :, 0], [[0, 0], [0, 0], [0, 0], [4, 4]])


@both
def test_probabilities_are_signed_and_counted_over_all_categories(way: Any) -> None:
    """Of p = softmax(z_1, 0) both categories change by t = tanh(1/2) as z_1 = +-1 is negated: squares 2 t^2, no 1/2.

    Of the binary sigmoid(z_0): t^2. Numeric 3 z_0 in units of 3: 2^2. A patch of two pixels (z_1, 3 z_1) / 8 changes by
    (2/8, 6/8) over sqrt(2): squares 40/64 / 2 = 5/16.
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
    groups = {"first": ["amount", "flag"], "kind": ["kind"], "patch": ["patch"]}
    encoder = linear([[1 / 3, 0, 0, 0, 0, 0], [0, 0, 1, -1, 0, 0]])
    head = linear([[3, 0], [1, 0], [0, 1], [0, 0], [0, 1 / 8], [0, 3 / 8]], [0, 0, 0, 0, 0.5, 0.5])
    found = way.mediation(Case(PaperVAE(encoder, [0.2, 0.2], head), rows, REVERSED, columns=columns, groups=groups))
    t = math.tanh(0.5)
    close(found.te, [[math.sqrt((4 + t * t) / 2), 0, 0], [0, ROOT2 * t, math.sqrt(5 / 16)], [0, 0, 0]])
    close(found.agreement[0, 0], [[4 + t * t, 0, 0], [0, 0, 0]])
    close(found.agreement[0, 1], [[0, 0, 0], [0, 2 * t * t, 5 / 16]])


@both
class TestUnitMediation:
    def test_units_of_the_kinked_decoder(self, way: Any) -> None:
        """D is linear in the units: NIE of a unit is its path (RMS), NDE the rest, interaction 0.

        z_0: TE = 4 on x0, 0 4 0 -4 on x1: RMS 4, 4/sqrt(2). u_0: 3, u_1: 1, u_2: 4/sqrt(2) on x1.
        """
        found = way.unit_mediation(kinked_case())
        r = 4 / ROOT2
        close(found.te, [[4, r], [0, r]])
        close(found.nie, [[[3, 0], [1, 0], [0, r], [0, 0]], [[0, 0], [0, 0], [0, r], [0, 0]]])
        close(found.nde, [[[1, r], [3, r], [4, 0], [4, r]], [[0, r], [0, r], [0, 0], [0, r]]])
        close(found.interaction, np.zeros((2, 4, 2)))
        close(found.proportion[0], [[3 / 4, 0], [1 / 4, 0], [0, 1], [0, 0]])
        close(found.proportion[1], [[NAN, 0], [NAN, 0], [NAN, 1], [NAN, 0]])

    def test_the_skip_is_direct(self, way: Any) -> None:
        """2 z_0 past the layer: TE 8; held units leave 8 - 3 and 8 - 1."""
        found = way.unit_mediation(kinked_case(skip=2))
        close(found.te[0], [8, 4 / ROOT2])
        close(found.nie[0, :, 0], [3, 1, 0, 0])
        close(found.nde[0, :, 0], [5, 7, 8, 8])
        close(found.proportion[0, :, 0], [3 / 8, 1 / 8, 0, 0])

    def test_units_that_are_both_needed(self, way: Any) -> None:
        """relu(h_0 + h_1 - 1): TE = 1, -1. NIE = 0, -1. NDE (other h moves, this one held): 0, -1. Interaction 1, 1.

        <NIE, TE> = 0, 1 of 2.
        """
        found = way.unit_mediation(both_needed())
        close(found.te, [[1]])
        close(found.nie, np.full((1, 2, 1), 1 / ROOT2))
        close(found.nde, np.full((1, 2, 1), 1 / ROOT2))
        close(found.interaction, np.ones((1, 2, 1)))
        close(found.proportion, np.full((1, 2, 1), 0.5))

    def test_collapsed_latent(self, way: Any) -> None:
        """z_1 is not read: 0, and no share."""
        found = way.unit_mediation(identity_case(layers([[1, 0], [-1, 0]], [[1, -1], [2, 0]]), "decoder.1"))
        assert not np.any(found.te[1])
        assert not np.any(found.nie[1])
        assert not np.any(found.nde[1])
        assert np.isnan(found.proportion[1]).all()
        assert np.isfinite(found.proportion[0]).all()

    def test_nie_is_the_path_of_level_3(self, way: Any) -> None:
        """One outcome group per feature and rows that all move alike: RMS and mean agree on u_0 and u_1."""
        close(way.unit_mediation(kinked_case()).nie[:, :2], way.paths(kinked_case()).changes[:, :2])


class Switched(nn.Module):
    """mu = (x_0, -x_0 x_1): the second latent answers to x_0 in proportion to -x_1. D = (z_0 + z_1, x_1 unread)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = linear([[1, 1], [0, 0]])

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.stack([x[:, 0], -x[:, 0] * x[:, 1]], dim=1)
        return mean, torch.full_like(mean, -3.0)

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.head(z)
        return out


class TestSignificance:
    """p of the mean of the per-row <NIE, TE>, two-sided bootstrap; Holm-Sidak over all (g, i, h)."""

    @pytest.fixture(scope="class")
    @staticmethod
    def found() -> Any:
        """Linear, n = 64, A = [[1, 0], [1, 1], [0, 0]], W = [[1, 2, 5], [0, 1, 5]]: z_2 carries nothing."""
        model = PaperVAE(linear([[1, 0], [1, 1], [0, 0]]), [0.2, 0.2, 1], linear([[1, 2, 5], [0, 1, 5]]))
        return cp.interventions.mediation(wrap(model), np.random.default_rng(0).normal(size=(64, 2)))

    def test_an_effect_that_is_there_is_significant(self, found: Any) -> None:
        present = np.array([[[1, 0], [1, 1], [0, 0]], [[0, 0], [1, 1], [0, 0]]], dtype=bool)
        assert (found.p_corrected[present] < 0.05).all()
        assert (found.p[present] <= 0.01).all()

    def test_a_mediator_that_carries_nothing_is_not(self, found: Any) -> None:
        absent = np.array([[[0, 1], [0, 0], [1, 1]], [[1, 1], [0, 0], [1, 1]]], dtype=bool)
        assert (found.p[absent] == 1).all()
        assert (found.p_corrected[absent] == 1).all()

    def test_holm_sidak(self, found: Any) -> None:
        assert np.shape(found.p) == np.shape(found.p_corrected) == (2, 3, 2)
        close(found.p_corrected.ravel(), _holm_sidak(found.p.ravel()))

    def test_p_lies_between_0_and_1(self, found: Any) -> None:
        assert ((found.p > 0) & (found.p <= 1)).all(), "a bootstrap of finitely many resamples never shows p = 0"

    @pytest.mark.parametrize(("mean", "sign"), [(0.88, 1), (0.94, 1), (1.0, 0), (1.1, -1)])
    def test_doubtful_effects_have_the_p_of_their_mean(self, mean: float, sign: int) -> None:
        """x_0 = +-1 negated by 2: NIE_0 = 2, TE = 2 (1 - x_1): agreement 4 (1 - x_1), mean 4 (1 - mean x_1).

        x_1 has deviation 0.6, so z = (1 - mean) / (0.6 / sqrt(n)), p about 2 Phi(-|z|).
        """
        n = 100
        x1 = norm.ppf((np.random.default_rng(5).permutation(n) + 0.5) / n)
        x1 = mean + 0.6 * x1 / x1.std()
        x = np.column_stack([np.repeat([-1.0, 1.0], n // 2), x1])
        sources = (np.arange(n) + n // 2) % n
        found = cp.interventions.mediation(wrap(Switched()), x, sources=sources[None])
        close(found.agreement[:, 0, 0, 0], 4 * (1 - x1))
        agreement = found.agreement[:, 0, 0, 0]
        assert np.sign(np.round(agreement.mean(), 12)) == sign
        expected = 2 * norm.cdf(-abs(agreement.mean()) / (agreement.std() / math.sqrt(n)))
        assert found.p[0, 0, 0] == pytest.approx(expected, abs=0.07 if sign else 0.15)

    def test_p_is_calibrated_under_chance(self) -> None:
        """Forty draws of 60 agreements with mean 0: p scatters over the unit interval, about one in ten below 0.1."""
        values = np.array([_chance_p(seed) for seed in range(40)])
        assert (values < 0.1).sum() <= 11
        assert 0.3 < values.mean() < 0.7

    def test_the_seed_decides(self) -> None:
        assert _chance_p(1) == _chance_p.__wrapped__(1)


def _holm_sidak(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As statsmodels has it; it takes log(1 - p) at p = 1 too, and says so."""
    with np.errstate(divide="ignore"):
        return np.asarray(multipletests(p, method="holm-sidak")[1])


@cache
def _chance_p(seed: int) -> float:
    rng = np.random.default_rng(1000 + seed)
    x = np.column_stack([np.repeat([-1.0, 1.0], 30), 1 + rng.normal(size=60)])
    sources = (np.arange(60) + 30) % 60
    return float(cp.interventions.mediation(wrap(Switched()), x, sources=sources[None]).p[0, 0, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("chunk", [None, 5, 7])
def test_rounding_is_no_effect(chunk: int | None, dtype: torch.dtype) -> None:
    """A decoder whose first layer is dead gives the same output for every code: TE 0, shares undefined, p = 1.

    The layers behind it work on a constant, whose matrix products round by the number of rows in a run: a baseline of 5
    rows against an intervention of 6 differs in the last digit, and a share of that is anything up to 1.
    """
    for width, rows in ((10, 13), (10, 26), (9, 37), (33, 26)):
        torch.manual_seed(width)
        tail = (nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Softmax(dim=1), nn.Linear(width, 2))
        model = PaperVAE(nn.Linear(2, 3), [0.2] * 3, nn.Sequential(nn.Linear(3, 5), nn.ReLU(), *tail)).to(dtype)
        with torch.no_grad():
            model.decoder[0].bias.fill_(-99)  # type: ignore[index]
        x = np.random.default_rng(width).normal(size=(rows, 2))
        for found in (
            cp.interventions.mediation(wrap(model), x, chunk=chunk),
            cp.interventions.unit_mediation(wrap(model), x, chunk=chunk),
        ):
            assert np.max(found.te) < 1e-6
            assert np.isnan(found.proportion).all()
        assert (cp.interventions.mediation(wrap(model), x, chunk=chunk).p == 1).all()
        paths = cp.interventions.paths(wrap(model), x, chunk=chunk)
        assert np.max(paths.total) < 1e-6
        assert [c.size for c in paths.circuits] == [0] * len(paths.circuits)


@pytest.mark.parametrize("chunk", [None, 5, 7])
def test_rounding_is_no_mediation(chunk: int | None) -> None:
    """Latent 1 does not read group a: it carries nothing of it, p = 1, however the rows are cut.

    An encoder that runs on other batches than at baseline rounds mu_1 differently, and a difference that has a sign of its
    own is significant, small as it is.
    """
    for number in range(6):
        torch.manual_seed(number)
        rng = np.random.default_rng(number)
        columns, rows = int(rng.integers(8, 40)), int(rng.integers(10, 200))
        half = columns // 2
        encoder = nn.Linear(columns, 4)
        with torch.no_grad():
            encoder.weight[1, :half] = 0
        model = PaperVAE(encoder, [0.2] * 4, nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, columns))).float()
        names = [f"x{j}" for j in range(columns)]
        groups = {"a": names[:half], "b": names[half:]}
        found = cp.interventions.mediation(wrap(model), rng.normal(size=(rows, columns)), groups=groups, chunk=chunk)
        assert (found.p[0, 1] == 1).all()
        assert (found.p_corrected[0, 1] == 1).all()
        assert np.max(found.nie[0, 1]) < 1e-6


def test_no_warning_reaches_the_user() -> None:
    """A mediator with p = 1, a treatment without effect, a collapsed latent."""
    dead = linear([[1, 0], [0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Package().mediation(Case(PaperVAE(dead, [0.2, 1], dead), ROWS, REVERSED))
        Package().unit_mediation(identity_case(layers([[1, 0], [-1, 0]], [[1, -1], [2, 0]]), "decoder.1"))
        Package().paths(identity_case(layers([[1, 0], [-1, 0]], [[1, -1], [2, 0]]), "decoder.1"))


def test_names_and_frame() -> None:
    """One row per (treatment, mediator, outcome)."""
    found = Package().mediation(linear_case())
    assert (tuple(found.groups), tuple(found.latents)) == (("x0", "x1"), ("z0", "z1"))
    frame = found.to_frame()
    assert len(frame) == 8
    for name in ("nie", "nde", "interaction", "p", "p_corrected"):
        close(frame[name], getattr(found, name).ravel())
    close(frame["proportion_mediated"], found.proportion.ravel())
    flat = frame.reset_index()
    assert list(flat["treatment"]) == ["x0"] * 4 + ["x1"] * 4
    assert list(flat["mediator"]) == ["z0", "z0", "z1", "z1"] * 2
    assert list(flat["outcome"]) == ["x0", "x1"] * 4


def test_names_of_unit_mediation() -> None:
    found = Package().unit_mediation(kinked_case())
    assert (tuple(found.groups), tuple(found.latents)) == (("x0", "x1"), ("z0", "z1"))
    assert [(str(u.half), u.site, u.unit) for u in found.units] == [("decoder", "decoder.1", u) for u in range(4)]


def test_te_is_nie_plus_nde_for_any_linear_model() -> None:
    """A random linear VAE with linear hidden layers, 5 latents, groups: interaction 0 to rounding, at every level."""
    rng = np.random.default_rng(2)
    body = nn.Sequential(
        linear(rng.normal(size=(6, 5))), linear(rng.normal(size=(4, 6))), linear(rng.normal(size=(4, 4)))
    )
    model = PaperVAE(linear(rng.normal(size=(5, 4))), [0.3] * 5, body)
    case = Case(model, rng.normal(size=(9, 4)), np.roll(np.arange(9), 2), spots("decoder.0", "decoder.1"))
    for groups in (None, {"a": ["x0", "x3"], "b": ["x1", "x2"]}):
        found = Package().mediation(case.but(groups=groups))
        assert np.abs(found.interaction).max() < 1e-12 * found.te.max()
        close(found.proportion.sum(axis=1), np.ones_like(found.te))
    units = Package().unit_mediation(case)
    assert np.abs(units.interaction).max() < 1e-12 * units.te.max()
