"""Latents that carry nothing: zero columns, collapsed posteriors, decoders that ignore z."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import paper
from .vaes import PaperVAE, audit, linear, signs

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

M = paper.two_point_deviation()
SIGMA = paper.SIGMA


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


class TestZeroColumn:
    """Codes mu = (z_0, 0), sigma = (0.2, 1): latent 1 is the prior in every row; W = [[1, 0], [-2, 0]] ignores it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> AuditReport:
        weight = np.array([[1.0, 0], [-2, 0]])
        model = PaperVAE(linear([[1, 0], [0, 0]]), [SIGMA, 1.0], linear(weight))
        return audit(model, signs(2, repeats=4) @ weight.T, groups={"a": ["x0"], "b": ["x1"]})

    def test_collapsed_posterior(self, report: AuditReport) -> None:
        latent = report.latents[1]
        np.testing.assert_allclose(latent.posterior_values, paper.normal_values(), atol=1e-9)
        assert latent.scale.value == close(1)
        assert latent.kl.value == close(0)
        assert not latent.active
        assert report.scores.active_latents == 1

    def test_undefined_is_none_and_never_zero_or_one(self, report: AuditReport) -> None:
        latent = report.latents[1]
        assert latent.ces.value == close(0)
        assert [effect.value for effect in latent.effects.values()] == [close(0), close(0)]
        for estimate in (report.specificity["z1"], latent.inverse_entropy, latent.disentanglement):
            assert estimate.value is None
            assert estimate.low is None
            assert estimate.high is None

    def test_it_counts_in_ces_and_nowhere_else(self, report: AuditReport) -> None:
        """e_0 = (m, m): CES_0 = m. Mean over d = 2: m/2; over the active one: m. Specificity of z0: 0."""
        assert report.scores.ces.value == close(M / 2)
        assert report.scores.ces_active.value == close(M)
        assert report.scores.specificity.value == close(0)
        assert report.scores.inverse_entropy.value == close(1 / (math.log(2) + 1e-6))
        assert report.scores.fgd.value == close(0)
        assert report.scores.fgc.value == close(1)
        assert report.scores.calibration_ratio.value == close((13 / 7) / M)

    def test_on_support(self, report: AuditReport) -> None:
        """Rows: mu = (+-1, 0), squared distance 1 / (1 + s^2). Any v != 0 on latent 1 goes beyond it: rate 0.

        Latent 0: |v| <= 1, 4 of 8 posterior values, 2 of 8 prior values.
        """
        assert [latent.on_support_rate.value for latent in report.latents] == [close(0.5), close(0)]
        assert [latent.on_support_rate_prior.value for latent in report.latents] == [close(0.25), close(0)]
        assert report.scores.on_support_rate.value == close(0.25), "over all latents, not the active ones"
        assert report.scores.on_support_rate_prior.value == close(0.125)


class TestInactiveLatentThatTheDecoderUses:
    """W = [[1, 0], [0, 1/2], [0, 1/2]], x over {-1, 1}^3, mu = (x_0, 0), sigma = (0.2, 1).

    s_f = 1. e_0 = (m, 0, 0); latent 1, with m_1 = mean |Phi^-1((k - 1/2)/8)|: e_1 = (0, m_1/2, m_1/2).
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> AuditReport:
        model = PaperVAE(linear([[1, 0, 0], [0, 0, 0]]), [SIGMA, 1.0], linear([[1, 0], [0, 0.5], [0, 0.5]]))
        return audit(model, signs(3, repeats=2), groups={"a": ["x0"], "b": ["x1", "x2"]})

    def test_ces(self, report: AuditReport) -> None:
        ces_0, ces_1 = M / math.sqrt(3), paper.normal_deviation() / 2 * math.sqrt(2 / 3)
        assert report.ces["z0"].value == close(ces_0)
        assert report.ces["z1"].value == close(ces_1)
        assert report.scores.ces.value == close((ces_0 + ces_1) / 2)
        assert report.scores.ces_active.value == close(ces_0)

    def test_model_specificity_is_over_active_latents(self, report: AuditReport) -> None:
        assert report.specificity["z1"].value == close(1 - math.log(2) / math.log(3))
        assert report.specificity["z0"].value == close(1)
        assert report.scores.specificity.value == close(1)

    def test_groups_count_every_latent(self, report: AuditReport) -> None:
        """R = [[m, 0], [0, m_1/2]]: FGD = FGC = 1."""
        assert report.latents[1].group_effects["b"].value == close(paper.normal_deviation() / 2)
        assert report.scores.fgd.value == close(1)
        assert report.scores.fgc.value == close(1)

    def test_reconstruction(self, report: AuditReport) -> None:
        """D = (x_0, 0, 0): squared errors 0, 1, 1."""
        assert report.reconstruction.mse.value == close(2 / 3)
        assert report.reconstruction.reconstructs
        r2 = [feature.r2.value for feature in report.reconstruction.features.values() if feature.r2 is not None]
        assert r2 == [close(1), close(0), close(0)]

    def test_prior_values_of_a_latent_at_zero(self, report: AuditReport) -> None:
        """Mean |v| over -3, ..., 3 is (3 + 9 + 15 + 21) / 7 / 4 = 12/7."""
        assert report.latents[1].ces_prior.value == close(12 / 7 / 2 * math.sqrt(2 / 3))


def test_mean_away_from_zero_is_active_however_wide() -> None:
    """Constant mu = 1.5, sigma = 2: KL = (1.5^2 + 4 - 1 - ln 4)/2, values 1.5 + 2 Phi^-1, m = 2 mean |Phi^-1|."""
    model = PaperVAE(linear([[0, 0]], [1.5]), [2.0], linear([[1], [1]], [-1.5, -1.5]))
    report = audit(model, signs(2, repeats=4), groups={"all": ["x0", "x1"]})
    latent = report.latents[0]
    np.testing.assert_allclose(latent.posterior_values, 1.5 + 2 * paper.normal_values(), atol=1e-9)
    assert latent.kl.value == close((1.5**2 + 4 - 1 - math.log(4)) / 2)
    assert latent.scale.value == close(2)
    assert latent.active
    assert report.scores.ces.value == close(2 * paper.normal_deviation())
    assert report.scores.fgd.value is None, "one group: ln G = 0"
    assert report.scores.fgc.value is None, "one latent: ln d = 0"
    assert report.scores.modularity.value is None


@pytest.mark.parametrize(("sigma", "active"), [(1.11, True), (1.10, False), (0.93, False), (0.9, True)])
def test_active_means_more_than_a_hundredth_of_a_nat(sigma: float, *, active: bool) -> None:
    """With mu = 0: KL = (s^2 - 1)/2 - ln s is 0.01169 at 1.11, 0.00969 at 1.10, 0.00502 at 0.93 and 0.01036 at 0.9."""
    kl = (sigma**2 - 1) / 2 - math.log(sigma)
    model = PaperVAE(linear([[0, 0]]), [sigma], linear([[1], [1]]))
    report = audit(model, signs(2, repeats=4))
    assert (kl > 0.01) is active
    assert report.latents[0].active is active
    assert report.latents[0].kl.value == close(kl)


def test_decoder_that_ignores_z() -> None:
    """D = 1/2 everywhere on rows of mean 0: MSE = 1 + 1/4 against 1, nothing moves, every ratio is undefined."""
    model = PaperVAE(linear(np.eye(2)), [SIGMA, SIGMA], linear(np.zeros((2, 2)), [0.5, 0.5]))
    report = audit(model, signs(2, repeats=4), groups={"a": ["x0"], "b": ["x1"]})
    assert report.reconstruction.mse.value == close(1.25)
    assert report.reconstruction.mse.null == close(1)
    assert not report.reconstruction.reconstructs
    assert report.scores.ces.value == close(0)
    for estimate in (
        report.scores.calibration_ratio,
        report.scores.specificity,
        report.scores.inverse_entropy,
        report.scores.fgd,
        report.scores.fgc,
        report.scores.modularity,
    ):
        assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert report.scores.fgd_p is None
    assert report.warnings, "a model that does not reconstruct is said"


def test_fully_collapsed_posterior_is_audited() -> None:
    """With mu = 0, sigma = 1 on both latents: no active latent, so no mean over active ones; CES stays defined."""
    model = PaperVAE(linear(np.zeros((2, 2))), [1.0, 1.0], linear(np.eye(2)))
    report = audit(model, signs(2, repeats=4))
    assert report.scores.active_latents == 0
    assert report.scores.ces.value == close(paper.normal_deviation() / math.sqrt(2))
    assert report.scores.ces_active.value is None
    assert report.scores.specificity.value is None
    assert report.warnings
