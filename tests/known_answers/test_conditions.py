"""A conditional model: the last columns of a row go to both halves, and nothing moves, scores or reports them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp

from . import paper
from .vaes import linear, signs

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

SIGMA = paper.SIGMA
CONDITION = np.tile([10.0, 20.0], 16)
# x = (a + c, b) with the condition c behind; mu takes c off again, D puts it back
X = np.column_stack([signs(2, repeats=8)[:, 0] + CONDITION, signs(2, repeats=8)[:, 1], CONDITION])
M = paper.two_point_deviation()


def close(value: float | None) -> object:
    return pytest.approx(value, abs=1e-9)


class Conditional(nn.Module):
    """mu = (x_0 - c, x_1), D = (z_0 + c, z_1), each behind a hidden layer of signs; what the decoder saw of c is kept."""

    def __init__(self) -> None:
        super().__init__()
        split, back = np.vstack([np.eye(2), -np.eye(2)]), np.hstack([np.eye(2), -np.eye(2)])
        self.encoder = nn.Sequential(linear(split), nn.ReLU(), linear(back))
        self.decoder = nn.Sequential(linear(split), nn.ReLU(), linear(back))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.encoder(torch.stack([x[:, 0] - x[:, 2], x[:, 1]], 1))
        return mean, torch.full_like(mean, 2 * math.log(SIGMA))

    def decode(self, z: Tensor) -> Tensor:
        assert z.shape[1] == 3
        assert set(z[:, 2].unique().tolist()) <= {10.0, 20.0}, "a condition that no row has"
        out: Tensor = self.decoder(z[:, :2])
        return torch.stack([out[:, 0] + z[:, 2], out[:, 1]], 1)


def conditional() -> Any:
    vae = cp.wrap(Conditional(), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z))
    return replace(vae, condition_width=1)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return cp.audit(conditional(), X, resamples=50, permutations=60, groups={"a": ["x0"], "b": ["x1"]})


def test_no_latent_and_no_feature(report: AuditReport) -> None:
    assert [latent.name for latent in report.latents] == ["z0", "z1"]
    assert [latent.columns for latent in report.latents] == [(0,), (1,)]
    assert [feature.name for feature in report.data.features] == ["x0", "x1"]
    (left,) = report.data.left_out
    assert (left.name, "condition" in left.reason) == ("x2", True)
    assert (report.model.condition_width, report.model.code_columns, report.model.latents) == (1, 2, 2)


def test_effects_are_those_of_the_latents(report: AuditReport) -> None:
    """The condition's size is in none of them; x_0 varies by 1 and by c: s_f = sqrt(1 + 25)."""
    s = X[:, :2].std(axis=0)
    np.testing.assert_allclose(s, [math.sqrt(26), 1])
    assert report.latents[0].effects["x0"].value == close(M / s[0])
    assert report.latents[1].effects["x1"].value == close(M)
    assert report.latents[0].effects["x1"].value == close(0)
    for latent in report.latents:
        assert latent.kl.value == close(paper.two_point_kl())
        assert latent.scale.value == close(paper.two_point_scale())
        # distance in the two latents alone, as without a condition
        assert latent.on_support_rate.value == close(1 / 2)
    assert report.reconstruction.mse.value == close(0)


def test_levels_3_and_4_keep_each_rows_condition(report: AuditReport) -> None:
    """The decoder refuses conditions that no row has; senders and mediators move latents alone."""
    sources = np.arange(len(X)).reshape(-1, 4)[:, ::-1].reshape(1, -1)
    effects = cp.interventions.paths(conditional(), X, sources=sources)
    np.testing.assert_allclose(effects.total, [np.abs(X[:, 0] - CONDITION - (X[:, 0] - CONDITION)[sources[0]]).mean()
                                               / math.sqrt(26) / math.sqrt(2), 2 / math.sqrt(2)], atol=1e-9)  # fmt: skip
    through = cp.interventions.mediation(conditional(), X)
    assert through.latents == ("z0", "z1")
    assert through.proportion[1, 1, 1] == close(1)
    for entry in report.mediation.entries:
        assert entry.mediator in {"z0", "z1"}
        assert entry.interaction.value == close(0)
    assert report.activations.sites[0].half == "encoder"
    assert set(report.inputs.features) == {"x0", "x1"}


def test_blocks_beside_a_condition() -> None:
    vae = replace(conditional(), blocks=(cp.types.Latent("both", (0, 1)),))
    effects = cp.interventions.latents(vae, X)
    np.testing.assert_allclose(effects.effects, [[M / math.sqrt(26), M]], atol=1e-9)
    with pytest.raises(cp.ModelError, match="none of them a condition"):
        cp.interventions.latents(replace(vae, blocks=(cp.types.Latent("c", (2,)),)), X)


def test_drawn_codes_carry_the_rows_conditions() -> None:
    """Without an encoder too."""
    vae = replace(conditional(), prior_only="decoder alone", code_width=3)
    z = np.random.default_rng([0, 8]).standard_normal((len(X), 2))
    effects = cp.interventions.latents(vae, X)
    moved = np.abs(paper.normal_values() - z[:, :1]).mean()
    assert effects.effects[0, 0] == close(moved / math.sqrt(26))


def test_all_features_conditions() -> None:
    vae = replace(conditional(), condition_width=3)
    with pytest.raises(cp.UsageError, match="every feature is a condition"):
        cp.interventions.latents(vae, X)
