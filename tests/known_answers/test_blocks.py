"""Latents of several code columns: a spatial code (2 channels x 2 x 2), against the same model with one column per latent."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.types import Latent

from . import paper
from .random_vae import RandomVAE, Rewiring, features, random_rows
from .vaes import PaperVAE, linear, signs, wrap

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

WEIGHT = np.array([[2.0, 0], [1, 0], [0, 3], [0, -1]])
ENCODE = np.array([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]])
HIDDEN = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1], [1, 1]])
OUT = np.array([[2.0, -2, 0, 0, 0], [1, -1, 0, 0, 0], [0, 0, 3, -3, 0], [0, 0, -1, 1, 0]])
GROUPS = {"left": ["x0", "x1"], "right": ["x2", "x3"]}
SETTINGS: dict[str, Any] = {"twin": False, "resamples": 50, "permutations": 60, "groups": GROUPS}
MEMBERS = 4


def close(value: float | None) -> object:
    return pytest.approx(value, abs=1e-9)


class Flat(nn.Module):
    """mu = (a, b) through a hidden layer of the encoder, sigma constant; D through a hidden layer that splits signs."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(linear(np.vstack([ENCODE, -ENCODE])), nn.ReLU())
        self.mean = linear([[1, 0, -1, 0], [0, 1, 0, -1]])
        self.decoder = nn.Sequential(linear(HIDDEN), nn.ReLU(), linear(OUT))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(self.trunk(x))
        return mean, torch.full_like(mean, 2 * math.log(paper.SIGMA))

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z)
        return out


class Spatial(Flat):
    """The same with a code (2, 2, 2): every position of a channel holds its value, and the decoder reads their mean."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = super().encode(x)
        return tuple(t[:, :, None, None].expand(-1, -1, 2, 2) for t in (mean, log_var))  # type: ignore[return-value]

    def decode(self, z: Tensor) -> Tensor:
        assert z.shape[1:] == (2, 2, 2)
        return super().decode(z.mean((2, 3)))


ROWS = signs(2, repeats=4) @ WEIGHT.T


class TestSpatialCode:
    """Moving all positions of a channel is moving the latent: every figure is that of the flat model but for sums of nats."""

    @pytest.fixture(scope="class")
    @staticmethod
    def flat() -> AuditReport:
        return cp.audit(wrap(Flat()), ROWS, **SETTINGS)

    @pytest.fixture(scope="class")
    @staticmethod
    def spatial() -> AuditReport:
        return cp.audit(wrap(Spatial()), ROWS, **SETTINGS)

    def test_latents_are_channels(self, spatial: AuditReport) -> None:
        assert [latent.name for latent in spatial.latents] == ["z0", "z1"]
        assert [latent.columns for latent in spatial.latents] == [(0, 1, 2, 3), (4, 5, 6, 7)]
        assert (spatial.model.latents, spatial.model.code_columns, spatial.model.code_shape) == (2, 8, (2, 2, 2))

    def test_terminal(self, spatial: AuditReport) -> None:
        console = Console(width=140, file=io.StringIO(), record=True)
        console.print(spatial)
        assert "shape 2 x 2 x 2; 8 columns in 2 latents" in " ".join(console.export_text().split())

    def test_hand_solved(self, spatial: AuditReport) -> None:
        """As in test_linear_decoders: e = (m, m, 0, 0), CES = m / sqrt 2; four members: four times the nats."""
        m = paper.two_point_deviation()
        assert spatial.latents[0].effects["x0"].value == close(m)
        assert spatial.latents[0].effects["x2"].value == close(0)
        assert spatial.ces["z1"].value == close(m / math.sqrt(2))
        for latent in spatial.latents:
            np.testing.assert_allclose(latent.posterior_values, paper.two_point_values(), atol=1e-9)
            assert latent.scale.value == close(paper.two_point_scale())
            assert latent.kl.value == close(MEMBERS * paper.two_point_kl())

    def test_on_support(self, spatial: AuditReport) -> None:
        """A channel at (v, v, v, v) has distance^2 4 v^2 / (4 + sigma^2), the rows 4 / (4 + sigma^2): inside while |v| <= 1."""
        assert [latent.on_support_rate.value for latent in spatial.latents] == [close(1 / 2), close(1 / 2)]
        assert [latent.on_support_rate_prior.value for latent in spatial.latents] == [close(1 / 4), close(1 / 4)]

    @pytest.mark.parametrize("name", ["ces", "specificity", "fgd", "fgc", "modularity", "calibration_ratio"])
    def test_scores(self, spatial: AuditReport, flat: AuditReport, name: str) -> None:
        own, other = getattr(spatial.scores, name), getattr(flat.scores, name)
        assert (own.value, own.low, own.high) == (close(other.value), close(other.low), close(other.high))

    def test_level_1(self, spatial: AuditReport, flat: AuditReport) -> None:
        for name, row in spatial.inputs.features.items():
            for latent, shift in row.shift.items():
                assert shift.value == close(flat.inputs.features[name].shift[latent].value)
                assert row.info[latent].value == close(MEMBERS * flat.inputs.features[name].info[latent].value)

    def test_level_3(self, spatial: AuditReport, flat: AuditReport) -> None:
        """Units of both halves, paths from channels, and circuits from groups to channels."""
        assert spatial.activations is not None
        assert len(spatial.activations.sites) == 2
        for own, other in zip(spatial.activations.sites, flat.activations.sites, strict=True):
            assert [unit.effect.value for unit in own.effects] == [close(u.effect.value) for u in other.effects]
            for one, two in zip(own.effects, other.effects, strict=True):
                shifts = {k: e.value for k, e in (two.shift or {}).items()}
                assert {k: e.value for k, e in (one.shift or {}).items()} == {k: close(v) for k, v in shifts.items()}
        for side in ("decoder", "encoder"):
            for own, other in zip(getattr(spatial.paths, side), getattr(flat.paths, side), strict=True):
                assert (own.sender, own.total.value) == (other.sender, close(other.total.value))
                one, two = own.circuits[0], other.circuits[0]
                assert [unit.unit for unit in one.units] == [unit.unit for unit in two.units]
                assert one.units[0].end_effects.keys() == two.units[0].end_effects.keys()
                assert one.faithfulness.value == close(two.faithfulness.value)

    def test_level_4(self, spatial: AuditReport, flat: AuditReport) -> None:
        assert len(spatial.mediation.entries) == 2 * 2 * 2
        for own, other in zip(spatial.mediation.entries, flat.mediation.entries, strict=True):
            assert (own.treatment, own.mediator, own.outcome) == (other.treatment, other.mediator, other.outcome)
            assert (own.nie.value, own.nde.value) == (close(other.nie.value), close(other.nde.value))
            assert own.p_corrected == other.p_corrected

    def test_unit_mediation(self) -> None:
        own, other = (cp.interventions.unit_mediation(wrap(m), ROWS, groups=GROUPS) for m in (Spatial(), Flat()))
        np.testing.assert_allclose(own.nie, other.nie, atol=1e-9)


class TestUnequalMembers:
    """Code (a, 3 b), one latent "pair" of both columns and no posterior spread: s = (1, 3), root mean square sqrt 5."""

    VAE = replace(wrap(PaperVAE(linear([[1, 0], [0, 3]]), [1, 1], linear([[1, 0], [0, 1]])), variance=False))
    BLOCK = replace(VAE, blocks=(Latent("pair", (0, 1)),))
    X = signs(2, repeats=2)

    def test_report(self) -> None:
        report = cp.audit(self.BLOCK, self.X, n_values=2, **SETTINGS | {"groups": None})
        (latent,) = report.latents
        assert latent.name == "pair"
        assert latent.scale.value == close(math.sqrt(5))
        assert latent.posterior_values == (close(-2), close(2)), "means of (-1, -3) and of (1, 3)"
        assert latent.kl.value is None
        # both columns go to +-1 and +-3: each output changes by 0 or 2, 0 or 6 of s_f = 1
        assert latent.effects["x0"].value == close(1)
        assert latent.effects["x1"].value == close(3)
        # x0 moves a by |2| = 2 s where it moves: the mean over the members halves it
        single = cp.interventions.inputs(self.VAE, self.X)
        both = cp.interventions.inputs(self.BLOCK, self.X)
        np.testing.assert_allclose(both.shift[:, 0], single.shift.mean(axis=1), atol=1e-12)
        assert both.shift[0, 0] > 0

    def test_values_given(self) -> None:
        """One row per latent sets all members alike, one row per column each to its own."""
        alike = cp.interventions.latents(self.BLOCK, self.X, values=[[0.0]])
        apart = cp.interventions.latents(self.BLOCK, self.X, values=[[1.0], [3.0]])
        np.testing.assert_allclose(alike.effects, [[1, 3]], atol=1e-12)
        np.testing.assert_allclose(apart.effects, [[1, 3]], atol=1e-12)
        np.testing.assert_allclose(alike.values, [[0], [0]])
        with pytest.raises(cp.UsageError, match=r"\(1, K\) or \(2, K\)"):
            cp.interventions.latents(self.BLOCK, self.X, values=[[1.0]] * 3)

    def test_a_member_that_never_varies_has_no_scale(self) -> None:
        """With mu = (a, 0) shifts are those of a alone; a latent of the second column alone has none."""
        vae = wrap(PaperVAE(linear([[1, 0], [0, 0]]), [1, 1], linear(np.eye(2))), variance=False)
        both = cp.interventions.inputs(replace(vae, blocks=(Latent("pair", (0, 1)),)), self.X)
        single = cp.interventions.inputs(vae, self.X)
        np.testing.assert_allclose(both.shift[:, 0], single.shift[:, 0], atol=1e-12)
        assert np.isnan(single.shift[:, 1]).all()

    def test_latents_need_columns_of_their_own(self) -> None:
        for blocks in (((0, 1), (1,)), ((0, 2),), ((),)):
            vae = replace(self.VAE, blocks=tuple(Latent(f"b{i}", dims) for i, dims in enumerate(blocks)))
            with pytest.raises(cp.ModelError, match="has columns"):
                cp.interventions.latents(vae, self.X)


def test_latents_need_names_of_their_own() -> None:
    vae = replace(wrap(Flat()), blocks=(Latent("z", (0,)), Latent("z", (1,))))
    with pytest.raises(cp.ModelError, match="two latents are called 'z'"):
        cp.interventions.latents(vae, ROWS)


def test_inspect_says_what_the_code_is() -> None:
    found = cp.inspect(wrap(Spatial()), ROWS)
    assert (found.latents, found.code_columns, found.code_shape) == (2, 8, (2, 2, 2))
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(found)
    assert "8 columns in 2 latents, each moved as a whole" in " ".join(console.export_text().split())


def test_singleton_blocks_give_the_same_bytes() -> None:
    """Said or not, one column per latent is the same audit."""
    vae = wrap(Flat())
    said = replace(vae, blocks=(Latent("z0", (0,)), Latent("z1", (1,))))
    one, two = (cp.audit(each, ROWS, **SETTINGS | {"twin": True}).to_json() for each in (vae, said))
    assert one == two


def test_blocks_in_another_order_keep_their_figures() -> None:
    """Names and order are the caller's; what they stand for is not."""
    plain = cp.audit(wrap(Flat()), ROWS, **SETTINGS)
    turned = cp.audit(replace(wrap(Flat()), blocks=(Latent("right", (1,)), Latent("left", (0,)))), ROWS, **SETTINGS)
    assert [latent.name for latent in turned.latents] == ["right", "left"]
    for own, other in zip(reversed(turned.latents), plain.latents, strict=True):
        for name in ("kl", "scale", "ces", "on_support_rate", "specificity"):
            assert getattr(own, name).value == close(getattr(other, name).value)
        assert own.posterior_values == other.posterior_values
    assert {entry.mediator for entry in turned.mediation.entries} == {"left", "right"}


def test_too_many_columns_for_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """The on-support rate is null, with the reason beside it, where the covariance would cost too much."""
    monkeypatch.setattr("circuitprobe.metrics.support.MOST_COLUMNS", 7)
    report = cp.audit(wrap(Spatial()), ROWS, **SETTINGS | {"levels": (2,)})
    assert report.scores.on_support_rate.value is None
    assert [latent.on_support_rate_prior.value for latent in report.latents] == [None, None]
    assert report.ces["z0"].value is not None
    (left,) = report.not_run
    assert (left.part, "8 columns" in left.reason) == ("on-support rate", True)
    assert any(warning.code == "not_run" and "on-support" in warning.message for warning in report.warnings)


def test_blocks_of_different_sizes() -> None:
    """Latents of columns (2, 0) and (1,) of a random model: means of shifts, sums of nats, in levels 1 and 3."""
    rng = np.random.default_rng(7)
    x, module = random_rows(rng, 24), RandomVAE(rng)
    vae = Rewiring().wrap(module)
    block = replace(vae, blocks=(Latent("two", (2, 0)), Latent("one", (1,))))
    own, other = (cp.interventions.inputs(v, x, features=features()) for v in (block, vae))
    np.testing.assert_allclose(own.shift, np.stack([other.shift[:, [2, 0]].mean(1), other.shift[:, 1]], 1), atol=1e-12)
    np.testing.assert_allclose(own.info, np.stack([other.info[:, [2, 0]].sum(1), other.info[:, 1]], 1), atol=1e-12)
    units, plain = (cp.interventions.activations(v, x, "encoder:*", features=features()) for v in (block, vae))
    means = np.stack([plain.shift[:, [2, 0]].mean(1), plain.shift[:, 1]], 1)
    np.testing.assert_allclose(units.shift, means, atol=1e-12)
    np.testing.assert_allclose(units.strength, plain.strength, atol=1e-12)
    routes, apart = (cp.interventions.paths(v, x, side="encoder", features=features()) for v in (block, vae))
    assert routes.ends == ("two", "one")
    means = np.stack([apart.changes[..., [2, 0]].mean(-1), apart.changes[..., 1]], -1)
    np.testing.assert_allclose(routes.changes, means, atol=1e-12)
    # the signed vectors stay those of the code columns, so that shares do too
    np.testing.assert_allclose(routes.recovered, apart.recovered, atol=1e-12)
