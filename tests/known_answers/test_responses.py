"""How each output column answers a latent, with its sign: what tells latents apart that change the same columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.types import Decode, Feature, FeatureKind

from . import paper
from .vaes import PaperVAE, audit, linear, signs

WEIGHT = np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [1.0, -1.0]])


def wrapped(model: nn.Module) -> cp.ProbedVAE:
    return cp.wrap(model, encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z))


def report_of(weight: np.ndarray) -> cp.AuditReport:
    model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]]), [paper.SIGMA, paper.SIGMA], linear(weight))
    return audit(model, signs(2, repeats=4) @ WEIGHT.T, groups={"all": ["x0", "x1", "x2", "x3"]})


def response(report: cp.AuditReport, latent: int) -> list[float]:
    return [entry for feature in report.data.features for entry in report.latents[latent].response[feature.name].value]


def test_of_a_linear_decoder_is_its_column_times_the_spread_of_the_values() -> None:
    """D(do z_i = v)_f = W_fi v + what the others give: the mean of w_k v_k is the standard deviation of v over the inner k."""
    report = report_of(WEIGHT)
    for i in range(2):
        spread = np.std(report.latents[i].posterior_values[1:-1])
        s = np.array([feature.std for feature in report.data.features])
        assert response(report, i) == pytest.approx(WEIGHT[:, i] * spread / s, abs=1e-6)
        for entry in report.latents[i].response.values():
            # every row answers alike
            assert entry.low == pytest.approx(entry.value, abs=1e-6)
            assert entry.high == pytest.approx(entry.value, abs=1e-6)


def test_of_a_flipped_latent_has_the_other_sign_where_effects_have_none() -> None:
    plain, flipped = report_of(WEIGHT), report_of(-WEIGHT)
    assert response(flipped, 0) == pytest.approx([-entry for entry in response(plain, 0)], abs=1e-6)
    for name, effect in plain.latents[0].effects.items():
        assert flipped.latents[0].effects[name].value == pytest.approx(effect.value, abs=1e-6)


class Softmax(nn.Module):
    """One categorical and one binary column from one latent, which is the first model dimension's log-odds."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2.0 * x[:, :1] - x[:, 1:2], torch.full((len(x), 1), -2.0)

    def decode(self, z: Tensor) -> Tensor:
        block = torch.softmax(torch.cat([z, -z, 0.5 * z], 1), 1)
        return torch.cat([block, torch.sigmoid(3.0 * z)], 1)


def test_of_categories_and_shares_weighs_as_their_change_does() -> None:
    rng = np.random.default_rng(0)
    category = rng.integers(0, 3, 60)
    x = np.concatenate([np.eye(3)[category], rng.integers(0, 2, (60, 1))], axis=1).astype(np.float32)
    features = [
        Feature("kind", FeatureKind.CATEGORICAL, (0, 1, 2), Decode((0, 1, 2)), ("a", "b", "c")),
        Feature("flag", FeatureKind.BINARY, (3,), Decode((3,)), ("0", "1")),
    ]
    report = cp.audit(
        wrapped(Softmax()),
        x,
        features=features,
        groups={"kind": ["kind"], "flag": ["flag"]},
        levels=(2,),
        twin=False,
        resamples=50,
    )
    v = np.array(report.latents[0].posterior_values[1:-1])
    w = (v - v.mean()) / v.std()
    decoded = Softmax().decode(torch.as_tensor(v[:, None])).numpy()
    by_hand = (w[:, None] * decoded).mean(axis=0)
    found = report.latents[0].response
    assert found["kind"].value == pytest.approx(0.5 * by_hand[:3], abs=1e-6)
    assert found["flag"].value == pytest.approx(by_hand[3:], abs=1e-6)


class Stripes(nn.Module):
    """Images of 8 x 8 pixels whose left half one latent lights and whose right half it darkens."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left = x[:, 0, :, :4].mean(dim=(1, 2))
        return (left - 0.5)[:, None], torch.full((len(x), 1), -4.0)

    def decode(self, z: Tensor) -> Tensor:
        left = (0.5 + z)[:, :, None].expand(-1, 8, 4)
        return torch.cat([left, 1.0 - left], 2)[:, None]


def test_of_a_patch_is_the_mean_over_its_pixels() -> None:
    rng = np.random.default_rng(1)
    left = rng.uniform(0.2, 0.8, 40).astype(np.float32)
    images = np.concatenate(
        [np.tile(left[:, None, None], (1, 8, 4)), np.tile(1 - left[:, None, None], (1, 8, 4))], axis=2
    )
    report = cp.audit(wrapped(Stripes()), images[:, None], grid=2, levels=(2,), twin=False, resamples=50)
    spread = np.std(report.latents[0].posterior_values[1:-1])
    assert sorted(response(report, 0)) == pytest.approx([-spread, -spread, spread, spread], abs=1e-6)


def test_standard_deviations_have_the_interval_of_their_resamples() -> None:
    report = report_of(WEIGHT)
    x = signs(2, repeats=4) @ WEIGHT.T
    drawn = np.random.default_rng([report.settings.seed, 2]).integers(0, len(x), (report.settings.resamples, len(x)))
    expected = np.quantile(x[drawn].std(axis=1), [0.025, 0.975], axis=0)
    for feature, low, high in zip(report.data.features, *expected, strict=True):
        assert feature.std_low == pytest.approx(low, rel=1e-6)
        assert feature.std_high == pytest.approx(high, rel=1e-6)


def test_of_three_values_all_count() -> None:
    model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]]), [paper.SIGMA, paper.SIGMA], linear(WEIGHT))
    report = audit(
        model, signs(2, repeats=4) @ WEIGHT.T, groups={"all": ["x0", "x1", "x2", "x3"]}, values=[[0.0, 1.0, 5.0]] * 2
    )
    s = np.array([feature.std for feature in report.data.features])
    assert response(report, 0) == pytest.approx(WEIGHT[:, 0] * np.std([0.0, 1.0, 5.0]) / s, abs=1e-6)
