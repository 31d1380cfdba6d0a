"""A random nonlinear VAE with mixed features, audited and compared with the slow implementation in ``reference``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

import circuitprobe as cp

from . import reference
from .random_vae import GROUPS, RandomVAE, Rewiring, features, random_rows
from .reference import Column, Subject

COLUMNS = (Column("numeric", (0,)), Column("numeric", (1,)), Column("binary", (2,)), Column("categorical", (3, 4, 5)))
MEMBERSHIP = (0, 0, 1, 1)
K = 5


def close(value: float, tolerance: float = 1e-6) -> Any:
    return pytest.approx(value, abs=tolerance, rel=tolerance)


def subject_of(module: RandomVAE, x: np.ndarray[Any, Any]) -> Subject:
    """Decoder and hidden layers again in numpy from the module's weights."""
    weights = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in module.decoder
        if isinstance(layer, torch.nn.Linear)
    ]

    def hidden(code: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        first = np.tanh(weights[0][0] @ code + weights[0][1])
        return [first, np.maximum(weights[1][0] @ first + weights[1][1], 0)]

    def decode(code: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        out = weights[2][0] @ hidden(code)[1] + weights[2][1]
        return np.concatenate([out[:2], expit(out[2:3]), softmax(out[3:])])

    with torch.no_grad():
        mean, log_var = module.encode(torch.tensor(x))
    return Subject(x, mean.numpy(), log_var.numpy(), decode, hidden, COLUMNS, MEMBERSHIP)


class Compared:
    """One audit and what the reference needs to check it."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.x = random_rows(rng, 21)
        self.module = RandomVAE(rng)
        self.subject = subject_of(self.module, self.x)
        self.report: Any = cp.audit(
            Rewiring().wrap(self.module),
            self.x,
            features=features(),
            groups=GROUPS,
            n_values=K,
            resamples=200,
            permutations=400,
            twin=False,
        )
        self.values = reference.posterior_quantiles(self.subject, K)
        self.level = reference.latent_level(self.subject, self.values)
        prior = np.tile(np.linspace(-3, 3, K), (3, 1))
        self.prior_values = prior
        self.prior = reference.latent_level(self.subject, prior)
        self.kl = reference.kl(self.subject)
        self.active = self.kl > 0.01
        self.r = reference.group_matrix(self.level.effects, MEMBERSHIP, 2)


@pytest.fixture(scope="module", params=[11, 12], ids=["first", "second"])
def compared(request: pytest.FixtureRequest) -> Compared:
    return Compared(request.param)


def test_posterior(compared: Compared) -> None:
    latents = compared.report.latents
    np.testing.assert_allclose([latent.posterior_values for latent in latents], compared.values, atol=1e-8)
    assert [latent.kl.value for latent in latents] == [close(kl) for kl in compared.kl]
    assert [latent.scale.value for latent in latents] == [close(s) for s in reference.scales(compared.subject)]
    assert [latent.active for latent in latents] == list(compared.active)


def test_effects(compared: Compared) -> None:
    frame = compared.report.to_frame("effects")
    names = [feature.name for feature in features()]
    np.testing.assert_allclose(frame[names].to_numpy(dtype=float), compared.level.effects, atol=1e-6)


def test_ces(compared: Compared) -> None:
    scores = compared.report.scores
    assert [latent.ces.value for latent in compared.report.latents] == [close(c) for c in compared.level.ces]
    assert [latent.ces_prior.value for latent in compared.report.latents] == [close(c) for c in compared.prior.ces]
    assert scores.ces.value == close(compared.level.ces.mean())
    assert scores.ces_prior.value == close(compared.prior.ces.mean())
    assert scores.calibration_ratio.value == close(compared.prior.ces.mean() / compared.level.ces.mean())
    assert scores.ces_active.value == close(compared.level.ces[compared.active].mean())


def test_specificity(compared: Compared) -> None:
    per_latent = reference.specificity(compared.level.effects)
    inverse = [1 / (reference.entropy(row) + 1e-6) for row in compared.level.effects]
    scores, ces, active = compared.report.scores, compared.level.ces, compared.active
    assert [latent.specificity.value for latent in compared.report.latents] == [close(s) for s in per_latent]
    assert [latent.inverse_entropy.value for latent in compared.report.latents] == [close(s) for s in inverse]
    assert scores.specificity.value == close(reference.weighted_over_active(per_latent, ces, active))
    assert scores.inverse_entropy.value == close(reference.weighted_over_active(inverse, ces, active))


def test_groups(compared: Compared) -> None:
    report, r = compared.report, compared.r
    for latent, row, d in zip(report.latents, r, reference.disentanglement(r), strict=True):
        assert [latent.group_effects[name].value for name in GROUPS] == [close(value) for value in row]
        assert latent.disentanglement.value == close(d)
    assert report.scores.fgd.value == close(reference.fgd(r))
    assert report.scores.fgc.value == close(reference.fgc(r))
    assert [report.scores.completeness[name].value for name in GROUPS] == [close(c) for c in reference.completeness(r)]


def test_group_null(compared: Compared) -> None:
    """Against all 24 permutations; 400 draws have a standard error of std / 20."""
    everything = reference.enumerate_fgd_null(compared.level.effects, MEMBERSHIP, 2)
    scores, value = compared.report.scores, reference.fgd(compared.r)
    assert scores.fgd.null == pytest.approx(everything.mean(), abs=5 * everything.std() / math.sqrt(400))
    assert scores.fgd_adjusted.value == close((value - scores.fgd.null) / (1 - scores.fgd.null))
    share = np.mean(everything >= value - 1e-12)
    assert scores.fgd_p == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 400) + 1 / 401)


def test_modularity(compared: Compared) -> None:
    first, second = reference.unit_profiles(compared.subject, compared.values)
    layers = compared.report.scores.modularity_by_layer
    assert sorted(layers) == ["decoder.1", "decoder.3"]
    assert layers["decoder.1"].value == close(reference.modularity(first, compared.active))
    assert layers["decoder.3"].value == close(reference.modularity(second, compared.active))
    both = reference.modularity(np.hstack([first, second]), compared.active)
    assert compared.report.scores.modularity.value == close(both)


def test_on_support(compared: Compared) -> None:
    rates = reference.on_support_rates(compared.subject, compared.values)
    prior = reference.on_support_rates(compared.subject, compared.prior_values)
    report = compared.report
    assert [latent.on_support_rate.value for latent in report.latents] == [close(rate) for rate in rates]
    assert [latent.on_support_rate_prior.value for latent in report.latents] == [close(rate) for rate in prior]
    assert report.scores.on_support_rate.value == close(float(np.mean(rates)))
    assert report.scores.on_support_rate_prior.value == close(float(np.mean(prior)))


def test_reconstruction(compared: Compared) -> None:
    expected = reference.reconstruction(compared.subject)
    part = compared.report.reconstruction
    for feature, answer in zip(features(), expected, strict=True):
        found = part.features[feature.name]
        assert found.mse.value == close(answer.mse)
        assert found.mse.null == close(answer.baseline)
        assert (found.r2.value if found.r2 else None) == (None if answer.r2 is None else close(answer.r2))
        if answer.accuracy is None or answer.commonest is None:
            assert found.accuracy is None
        else:
            assert found.accuracy is not None
            assert found.accuracy.value == close(answer.accuracy)
            assert found.accuracy.null == close(answer.commonest)
    assert part.mse.value == close(sum(answer.mse for answer in expected) / 4)
    assert part.mse.null == close(sum(answer.baseline for answer in expected) / 4)
    assert part.reconstructs is (part.mse.value < part.mse.null)


def test_intervals_match_a_bootstrap_of_the_per_row_values(compared: Compared) -> None:
    """CES is a mean over rows, so its 95 % interval is about 1.96 standard errors of the per-row values each way."""
    for i, latent in enumerate(compared.report.latents):
        rows = compared.level.ces_rows[:, i]
        half = 1.96 * rows.std() / math.sqrt(len(rows))
        assert (latent.ces.high - latent.ces.low) / 2 == pytest.approx(half, rel=0.35)
        assert latent.ces.low <= latent.ces.value <= latent.ces.high


def test_values_from_the_caller_replace_the_quantiles() -> None:
    rng = np.random.default_rng(5)
    x, module = random_rows(rng, 9), RandomVAE(rng)
    values = np.array([[-1.0, 0.5], [0.0, 2.0], [0.1, 0.2]])
    report = cp.audit(
        Rewiring().wrap(module), x, features=features(), groups=GROUPS, values=values, twin=False, resamples=10
    )
    level = reference.latent_level(subject_of(module, x), values)
    assert [latent.ces.value for latent in report.latents] == [close(c) for c in level.ces]
    assert [latent.posterior_values for latent in report.latents] == [tuple(row) for row in values]
