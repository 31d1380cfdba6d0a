"""The aggregate posterior on paper: quantiles, latent scales, KL to the prior, support."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from circuitprobe.interventions import posterior_values, prior_values
from circuitprobe.metrics.posterior import kl_to_prior, latent_scales
from circuitprobe.metrics.support import on_support

from . import paper


def log_var(sigma: float, shape: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.full(shape, 2 * math.log(sigma))


class TestQuantiles:
    """v_ik is the (k - 1/2)/K quantile of the mixture (1/n) sum_x N(mu_i(x), sigma_i^2(x))."""

    @pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (3.0, 0.5), (-100.0, 1e-3), (1e4, 7.0)])
    def test_one_normal(self, mu: float, sigma: float) -> None:
        """All rows alike: mu + sigma Phi^-1((k - 1/2)/K)."""
        values = posterior_values(np.full((9, 1), mu), log_var(sigma, (9, 1)), 5)
        expected = mu + sigma * norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
        np.testing.assert_allclose(values[0], expected, atol=1e-6 * sigma)

    def test_two_normals_far_apart(self) -> None:
        """+-1 with sigma 0.2: see ``paper.two_point_values``."""
        mean = np.array([[-1.0], [1.0]])
        values = posterior_values(mean, log_var(paper.SIGMA, (2, 1)), 8)
        np.testing.assert_allclose(values[0], paper.two_point_values(), atol=1e-9)

    def test_median_in_an_empty_gap(self) -> None:
        """K = 1 asks for the median: 0 by symmetry for +-1 with sigma 0.2, where the density is 2e-5 of its peak."""
        values = posterior_values(np.array([[-1.0], [1.0]]), log_var(paper.SIGMA, (2, 1)), 1)
        np.testing.assert_allclose(values, [[0.0]], atol=1e-6)

    def test_unequal_widths(self) -> None:
        """N(0, 1) and N(0, 9), K = 2: v solves Phi(v)/2 + Phi(v/3)/2 = 3/4, the cdf itself is the judge."""
        lv = np.array([[0.0], [math.log(9.0)]])
        low, high = posterior_values(np.zeros((2, 1)), lv, 2)[0]
        assert (norm.cdf(high) + norm.cdf(high / 3)) / 2 == pytest.approx(0.75, abs=1e-9)
        assert low == pytest.approx(-high, abs=1e-9)

    def test_unequal_weights(self) -> None:
        """Three rows at 0 and one at 10, sigma 0.1, K = 4: quantiles 1/8, 3/8, 5/8 lie in the first, 7/8 in the second.

        3/4 Phi(q/0.1) = p gives q = 0.1 Phi^-1(1/6), 0, 0.1 Phi^-1(5/6); 3/4 + 1/4 Phi((q - 10)/0.1) = 7/8: q = 10.
        """
        mean = np.array([[0.0], [0.0], [10.0], [0.0]])
        values = posterior_values(mean, log_var(0.1, (4, 1)), 4)
        expected = [0.1 * norm.ppf(1 / 6), 0, 0.1 * norm.ppf(5 / 6), 10]
        np.testing.assert_allclose(values[0], expected, atol=1e-7)

    def test_without_variance_values_are_codes(self) -> None:
        """Smallest mu with empirical cdf >= (k - 1/2)/K: mu = 1..4, K = 8: 1/16 .. 15/16 give 1,1,2,2,3,3,4,4."""
        values = posterior_values(np.array([[3.0], [1.0], [4.0], [2.0]]), None, 8)
        np.testing.assert_array_equal(values, [[1, 1, 2, 2, 3, 3, 4, 4]])

    def test_without_variance_on_a_step(self) -> None:
        """K = 2, n = 4: cdf(mu_1) = 1/4 >= 1/4 and cdf(mu_3) = 3/4 >= 3/4: the step itself is taken."""
        values = posterior_values(np.array([[10.0], [20.0], [30.0], [40.0]]), None, 2)
        np.testing.assert_array_equal(values, [[10, 30]])

    def test_latents_are_treated_apart(self) -> None:
        mean = np.array([[0.0, -1.0], [0.0, 1.0]])
        sigma = np.array([1.0, paper.SIGMA])
        values = posterior_values(mean, np.tile(2 * np.log(sigma), (2, 1)), 8)
        np.testing.assert_allclose(values, [paper.normal_values(), paper.two_point_values()], atol=1e-9)

    def test_prior_values(self) -> None:
        np.testing.assert_allclose(prior_values(2, 4), [[-3, -1, 1, 3], [-3, -1, 1, 3]], atol=1e-12)


class TestScalesAndKl:
    """s_i = sqrt(Var_x mu_i + mean_x sigma_i^2), variances with divisor n; KL in nats."""

    def test_scales(self) -> None:
        """With mu = 0, 2, 4, 6: variance 5; sigma^2 = 1, 3, 5, 7: mean 4: s = 3. A constant latent: s = sigma."""
        mean = np.array([[0.0, 1], [2, 1], [4, 1], [6, 1]])
        lv = np.log(np.array([[1.0, 0.25], [3, 0.25], [5, 0.25], [7, 0.25]]))
        np.testing.assert_allclose(latent_scales(mean, lv), [3, 0.5], atol=1e-12)

    def test_scales_without_variance(self) -> None:
        np.testing.assert_allclose(latent_scales(np.array([[-2.0], [2.0]]), None), [2], atol=1e-12)

    def test_kl(self) -> None:
        """(mu^2 + s^2 - 1 - ln s^2)/2: (1, 1): 1/2; (0, e): (e^2 - 3)/2; (0, 1): 0; (2, 1/e): (4 + e^-2 + 1)/2."""
        mean = np.array([[1.0, 0], [0, 2]])
        lv = np.array([[0.0, 2], [0, -2]])
        expected = [[0.5, (math.e**2 - 3) / 2], [0, (5 + math.e**-2) / 2]]
        np.testing.assert_allclose(kl_to_prior(mean, lv), expected, atol=1e-12)


class TestSupport:
    """A code is on support while its Mahalanobis distance is within the 99 % quantile of the rows' own."""

    def test_correlated_latents(self) -> None:
        """With mu = +-(1, 1), sigma^2 = 1/2: covariance [[1.5, 1], [1, 1.5]], inverse [[1.2, -0.8], [-0.8, 1.2]].

        Rows: 1.2 + 1.2 - 1.6 = 0.8. (1, -1): 4; (0.5, 0.5): 0.2; (0.7, 0): 0.588; (0.9, 0): 0.972.
        """
        mean = np.array([[1.0, 1], [-1, -1]])
        codes = np.array([[1.0, -1], [0.5, 0.5], [0.7, 0], [0.9, 0], [-0.7, 0]])
        inside = on_support(codes, mean, log_var(math.sqrt(0.5), (2, 2)))
        assert inside.tolist() == [False, True, True, False, True]

    def test_centre_is_the_mean(self) -> None:
        """The same figure moved to (10, -5)."""
        shift = np.array([10.0, -5])
        codes = np.array([[1.0, -1], [0.7, 0], [0.9, 0]]) + shift
        mean = np.array([[1.0, 1], [-1, -1]]) + shift
        assert on_support(codes, mean, log_var(math.sqrt(0.5), (2, 2))).tolist() == [False, True, False]

    def test_ninety_nine_per_cent(self) -> None:
        """With mu = -100..100: distances 0, 1, 1, ..., 100, 100; the quantile at rank 0.99 x 200 = 198 is 99."""
        mean = np.arange(-100.0, 101).reshape(-1, 1)
        codes = np.array([[98.9], [-98.9], [99.1], [-100.0]])
        assert on_support(codes, mean, log_var(1.0, (201, 1))).tolist() == [True, True, False, False]

    def test_linear_quantile(self) -> None:
        """With mu = -3, 0, 0, 1, 2: distances 0, 0, 1, 2, 3; rank 0.99 x 4 = 3.96 gives 2 + 0.96 (3 - 2) = 2.96.

        The quantile is of the distances; that of their squares would lie at sqrt(4 + 0.96 x 5) = 2.9665.
        """
        mean = np.array([[-3.0], [0], [0], [1], [2]])
        codes = np.array([[2.959], [2.961], [-2.959], [-2.961]])
        assert on_support(codes, mean, log_var(1.0, (5, 1))).tolist() == [True, False, True, False]

    def test_codes_that_never_vary_together(self) -> None:
        """No variance stated and mu_0 = mu_1: the aggregate posterior lies on a line, any code beside it is outside.

        Also a latent that is constant: one value of it is on support, no other.
        """
        line = np.array([[-1.0, -1], [1, 1], [0, 0]])
        codes = np.array([[0.5, 0.5], [1, -1], [0, 0.1], [-1, -1]])
        assert on_support(codes, line, None).tolist() == [True, False, False, True]
        constant = np.array([[-1.0, 3], [1, 3], [0, 3]])
        codes = np.array([[0.5, 3.0], [0.5, 3.1], [0, 0]])
        assert on_support(codes, constant, None).tolist() == [True, False, False]

    def test_leading_axes(self) -> None:
        mean = np.array([[1.0, 1], [-1, -1]])
        codes = np.array([[[1.0, -1], [0.5, 0.5]], [[0.7, 0], [0.9, 0]]])
        inside = on_support(codes, mean, log_var(math.sqrt(0.5), (2, 2)))
        assert inside.tolist() == [[False, True], [True, False]]

    def test_wide_posteriors_widen_the_support_only_through_the_shape(self) -> None:
        """A common factor on both variances scales every distance alike: rows (+-1, 0), sigma 0.1 against 10.

        Code (0, 0.5), sigma 0.1: 0.25/0.01 = 25 against 1/1.01: off. sigma 10: 0.25/100 against 1/101: on.
        """
        mean = np.array([[1.0, 0], [-1, 0]])
        code = np.array([[0, 0.5]])
        assert on_support(code, mean, log_var(0.1, (2, 2))).tolist() == [False]
        assert on_support(code, mean, log_var(10.0, (2, 2))).tolist() == [True]
