"""Linear decoders D(z) = W z: every score of METHOD.md section 2 follows from |W|, m_i and s_f (see paper.py)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

import circuitprobe as cp

from . import paper
from .vaes import PaperVAE, audit, linear, signs, wrap

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

M = paper.two_point_deviation()
M_PRIOR = paper.two_point_prior_deviation()
SIGMA = paper.SIGMA


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


class TestBlockDiagonal:
    """W = [[2, 0], [1, 0], [0, 3], [0, -1]], rows x = W z over z in {-1, 1}^2, mu(x) = z exactly.

    s_f = |W_f| (z has variance 1), hence delta_f = |v - mu_i| inside a latent's block and 0 outside:
    e_0 = (m, m, 0, 0), e_1 = (0, 0, m, m), CES_i = m sqrt(2/4).
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> AuditReport:
        weight = np.array([[2.0, 0], [1, 0], [0, 3], [0, -1]])
        model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]]), [SIGMA, SIGMA], linear(weight))
        groups = {"left": ["x0", "x1"], "right": ["x2", "x3"]}
        return audit(model, signs(2, repeats=4) @ weight.T, groups=groups)

    def test_effects(self, report: AuditReport) -> None:
        expected = [[M, M, 0, 0], [0, 0, M, M]]
        np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), expected, atol=1e-6)

    def test_effect_frame_is_latents_by_features(self, report: AuditReport) -> None:
        frame = report.to_frame("effects")
        assert frame.shape == (2, 4)
        assert report.latents[0].effects["x1"].value == close(M)
        assert report.latents[0].effects["x2"].value == close(0)

    def test_ces(self, report: AuditReport) -> None:
        for name in ("z0", "z1"):
            assert report.ces[name].value == close(M / math.sqrt(2))
        assert report.scores.ces.value == close(M / math.sqrt(2))
        assert report.scores.ces_active.value == close(M / math.sqrt(2))

    def test_prior_scale(self, report: AuditReport) -> None:
        assert report.scores.ces_prior.value == close(M_PRIOR / math.sqrt(2))
        assert report.latents[1].ces_prior.value == close(M_PRIOR / math.sqrt(2))
        assert report.scores.calibration_ratio.value == close(M_PRIOR / M)
        expected = [-3, -15 / 7, -9 / 7, -3 / 7, 3 / 7, 9 / 7, 15 / 7, 3]
        np.testing.assert_allclose(report.latents[0].prior_values, expected, atol=1e-12)

    def test_posterior(self, report: AuditReport) -> None:
        for latent in report.latents:
            np.testing.assert_allclose(latent.posterior_values, paper.two_point_values(), atol=1e-9)
            assert latent.scale.value == close(paper.two_point_scale())
            assert latent.kl.value == close(paper.two_point_kl())
            assert latent.active
        assert report.scores.active_latents == 2

    def test_specificity(self, report: AuditReport) -> None:
        """Shares p = (1/2, 1/2, 0, 0): H = ln 2, 1 - ln 2 / ln 4 = 1/2."""
        assert report.specificity["z0"].value == close(0.5)
        assert report.scores.specificity.value == close(0.5)
        assert report.latents[1].inverse_entropy.value == close(1 / (math.log(2) + 1e-6))
        assert report.scores.inverse_entropy.value == close(1 / (math.log(2) + 1e-6))

    def test_groups(self, report: AuditReport) -> None:
        """R = [[m, 0], [0, m]]: one group per latent and one latent per group."""
        assert report.latents[0].group_effects["left"].value == close(M)
        assert report.latents[0].group_effects["right"].value == close(0)
        assert [latent.disentanglement.value for latent in report.latents] == [close(1), close(1)]
        assert report.scores.fgd.value == close(1)
        assert report.scores.fgc.value == close(1)
        assert {name: c.value for name, c in report.scores.completeness.items()} == {
            "left": close(1),
            "right": close(1),
        }

    def test_on_support(self, report: AuditReport) -> None:
        """All rows have mu = (+-1, +-1): the same distance. A code (v, +-1) is inside while |v| <= 1.

        Posterior values -1 + t_j and 1 + t_j: t_j > 0 in the lower half, t_j < 0 in the upper: 4 of 8.
        Prior values: -3/7 and 3/7, 2 of 8.
        """
        for latent in report.latents:
            assert latent.on_support_rate.value == close(1 / 2)
            assert latent.on_support_rate_prior.value == close(1 / 4)
        assert report.scores.on_support_rate.value == close(1 / 2)
        assert report.scores.on_support_rate_prior.value == close(1 / 4)

    def test_rows_that_agree_give_an_interval_without_width(self, report: AuditReport) -> None:
        for estimate in (report.scores.ces, report.scores.specificity, report.scores.ces_prior):
            assert (estimate.low, estimate.high) == (close(estimate.value or 0), close(estimate.value or 0))
            assert estimate.n == 16

    def test_no_hidden_layer_no_modularity(self, report: AuditReport) -> None:
        assert report.scores.modularity.value is None
        assert report.scores.modularity_by_layer == {}

    def test_perfect_reconstruction(self, report: AuditReport) -> None:
        assert report.reconstruction.mse.value == close(0)
        assert report.reconstruction.mse.null == close(1)
        assert report.reconstruction.reconstructs
        for feature in report.reconstruction.features.values():
            assert feature.r2 is not None
            assert feature.r2.value == close(1)
            assert feature.accuracy is None


class TestDuplicatedColumn:
    """Latents 0 and 1 carry the same mu; D_0 = (z_0 + z_1)/2, D_1 = z_2; x = z' over {-1, 1}^2.

    e_0 = e_1 = (m/2, 0), e_2 = (0, m).
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> AuditReport:
        model = PaperVAE(linear([[1, 0], [1, 0], [0, 1]]), [SIGMA] * 3, linear([[0.5, 0.5, 0], [0, 0, 1]]))
        return audit(model, signs(2, repeats=4), groups={"a": ["x0"], "b": ["x1"]})

    def test_effects_and_ces(self, report: AuditReport) -> None:
        expected = [[M / 2, 0], [M / 2, 0], [0, M]]
        np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), expected, atol=1e-6)
        assert report.ces["z0"].value == close(M / 2 / math.sqrt(2))
        assert report.ces["z1"].value == close(M / 2 / math.sqrt(2))
        assert report.ces["z2"].value == close(M / math.sqrt(2))
        assert report.scores.ces.value == close(2 / 3 * M / math.sqrt(2))

    def test_each_latent_moves_one_feature(self, report: AuditReport) -> None:
        """H = 0: specificity 1, inverse entropy 1 / 1e-6."""
        assert [report.specificity[f"z{i}"].value for i in range(3)] == [close(1)] * 3
        assert report.scores.specificity.value == close(1)
        assert report.scores.inverse_entropy.value == pytest.approx(1e6, rel=1e-6)
        assert report.scores.fgd.value == close(1)

    def test_completeness_shows_the_duplicate(self, report: AuditReport) -> None:
        """Group a: shares (1/2, 1/2, 0), C = 1 - ln 2 / ln 3. Group b: C = 1. Both weigh m of 2 m."""
        c_a = 1 - math.log(2) / math.log(3)
        assert report.scores.completeness["a"].value == close(c_a)
        assert report.scores.completeness["b"].value == close(1)
        assert report.scores.fgc.value == close((c_a + 1) / 2)

    def test_singleton_groups_have_no_null(self, report: AuditReport) -> None:
        assert report.scores.fgd.null is None
        assert report.scores.fgd_adjusted.value is None
        assert report.scores.fgd_p is None

    def test_on_support_sees_the_correlation(self, report: AuditReport) -> None:
        """mu_0 = mu_1: along (1, 1) the aggregate variance is 2 + s^2, along (1, -1) only s^2 = 0.04.

        Row z_0 = z_1 = 1, do(z_0 := 1 + t): squared distance changes by (4 t + t^2) / (2 (2 + s^2)) + t^2 / (2 s^2).
        t = -0.0637: -0.0615 + 0.0508 < 0, inside; t = -0.2301: -0.213 + 0.662 > 0, outside; t > 0: outside; the far
        half (t - 2 in place of t): outside. So 1 of 8; latent 2 as in the uncorrelated case 1/2.
        """
        rates = [latent.on_support_rate.value for latent in report.latents]
        assert rates == [close(1 / 8), close(1 / 8), close(1 / 2)]
        assert report.scores.on_support_rate.value == close(1 / 4)


class TestRotation:
    """W = rotation by 30 degrees, x = W z, mu = W^T x = z: s_f = 1, |W| = [[c, s], [s, c]], c = sqrt(3)/2, s = 1/2.

    A rotation leaves every CES as it is (m / sqrt(2)) and costs specificity: p = (sqrt(3), 1) / (sqrt(3) + 1).
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> AuditReport:
        c, s = math.sqrt(3) / 2, 0.5
        rotation = np.array([[c, -s], [s, c]])
        model = PaperVAE(linear(rotation.T), [SIGMA, SIGMA], linear(rotation))
        return audit(model, signs(2, repeats=4) @ rotation.T, groups={"a": ["x0"], "b": ["x1"]})

    def test_effects_and_ces(self, report: AuditReport) -> None:
        c, s = math.sqrt(3) / 2, 0.5
        expected = [[M * c, M * s], [M * s, M * c]]
        np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), expected, atol=1e-6)
        assert report.scores.ces.value == close(M / math.sqrt(2))

    def test_specificity_equals_disentanglement_for_singletons(self, report: AuditReport) -> None:
        answer = 1 - paper.entropy(math.sqrt(3), 1) / math.log(2)
        assert report.specificity["z0"].value == close(answer)
        assert report.scores.specificity.value == close(answer)
        assert report.latents[1].disentanglement.value == close(answer)
        assert report.scores.fgd.value == close(answer)
        assert report.scores.fgc.value == close(answer)
        assert report.scores.inverse_entropy.value == close(1 / (paper.entropy(math.sqrt(3), 1) + 1e-6))


def test_full_rotation_has_no_specificity() -> None:
    """45 degrees: p = (1/2, 1/2): specificity 0, FGD 0, FGC 0; 0 is a value, not undefined."""
    rotation = np.array([[1.0, -1], [1, 1]]) / math.sqrt(2)
    model = PaperVAE(linear(rotation.T), [SIGMA, SIGMA], linear(rotation))
    report = audit(model, signs(2, repeats=4) @ rotation.T, groups={"a": ["x0"], "b": ["x1"]})
    assert report.scores.specificity.value == close(0)
    assert report.scores.fgd.value == close(0)
    assert report.scores.fgc.value == close(0)
    assert report.scores.ces.value == close(M / math.sqrt(2))


def test_recognised_without_callables() -> None:
    """``wrap`` without callables recognises encode and decode of the same model and gives the same scores."""
    weight = np.array([[2.0, 0], [1, 0], [0, 3], [0, -1]])
    model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]]), [SIGMA, SIGMA], linear(weight))
    report = cp.audit(cp.wrap(model), signs(2, repeats=4) @ weight.T, twin=False, resamples=20, permutations=20)
    assert report.scores.ces.value == close(M / math.sqrt(2))
    assert report.specificity["z1"].value == close(0.5)


@pytest.mark.parametrize(("values", "deviation"), [("posterior", M), ("prior", M_PRIOR), ([[-1, 1], [0, 0]], None)])
def test_level_on_its_own(values: object, deviation: float | None) -> None:
    """``interventions.latents`` on the block-diagonal decoder; values -1, 1 and 0, 0 give m = (1, 1)."""
    weight = np.array([[2.0, 0], [1, 0], [0, 3], [0, -1]])
    model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0]]), [SIGMA, SIGMA], linear(weight))
    found = cp.interventions.latents(wrap(model), signs(2, repeats=4) @ weight.T, values=values)  # type: ignore[arg-type]
    m = 1 if deviation is None else deviation
    np.testing.assert_allclose(found.effects, [[m, m, 0, 0], [0, 0, m, m]], atol=1e-6)
    np.testing.assert_allclose(found.ces, [m / math.sqrt(2)] * 2, atol=1e-6)


def test_single_precision() -> None:
    """The same decoder in float32, behind a zero column: answers to 1e-5, and the zero stays a zero."""
    weight = np.array([[2.0, 0, 0], [1, 0, 0], [0, 3, 0], [0, -1, 0]])
    model = PaperVAE(linear([[0.5, 0, 0, 0], [0, 0, 1 / 3, 0], [0.1, 0, 0, 0]]), [SIGMA] * 3, linear(weight)).float()
    report = audit(model, signs(2, repeats=9) @ weight[:, :2].T, chunk=7)
    assert report.ces["z0"].value == pytest.approx(M / math.sqrt(2), abs=1e-5)
    assert report.specificity["z1"].value == pytest.approx(0.5, abs=1e-5)
    assert report.ces["z2"].value == 0
    assert report.specificity["z2"].value is None
