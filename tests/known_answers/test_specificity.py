"""Specificity and inverse entropy of effect rows written down by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuitprobe.metrics.specificity import inverse_entropy, model_specificity, specificity

LN2, LN4 = math.log(2), math.log(4)


def test_four_rows() -> None:
    """Shares (1, 0, 0, 0): 1; uniform: 0; (1/2, 1/2, 0, 0): 1/2; (1/2, 1/4, 1/4, 0): H = 1.5 ln 2, 1 - 3/4 = 1/4."""
    effects = np.array([[3.0, 0, 0, 0], [2, 2, 2, 2], [0, 7, 0, 7], [2, 1, 1, 0]])
    np.testing.assert_allclose(specificity(effects), [1, 0, 0.5, 0.25], atol=1e-12)
    expected = [1e6, 1 / (LN4 + 1e-6), 1 / (LN2 + 1e-6), 1 / (1.5 * LN2 + 1e-6)]
    np.testing.assert_allclose(inverse_entropy(effects), expected, rtol=1e-9)


def test_scale_of_a_row_does_not_matter() -> None:
    row = np.array([[0.3, 0.2, 0.5]])
    np.testing.assert_allclose(specificity(1e-9 * row), specificity(1e9 * row), atol=1e-12)


def test_no_effect_is_undefined() -> None:
    effects = np.array([[0.0, 0], [1, 1]])
    result = specificity(effects)
    assert math.isnan(result[0])
    assert result[1] == pytest.approx(0, abs=1e-12)
    assert math.isnan(inverse_entropy(effects)[0])


def test_one_feature_is_undefined() -> None:
    """With F = 1, ln F = 0: nothing to be specific about."""
    assert math.isnan(specificity(np.array([[5.0]]))[0])


def test_leading_axes() -> None:
    effects = np.array([[[1.0, 0], [1, 1]], [[0, 2], [3, 3]]])
    np.testing.assert_allclose(specificity(effects), [[1, 0], [1, 0]], atol=1e-12)


def test_model_value_is_weighted_by_ces_over_active_latents() -> None:
    """(1 x 3 + 0.5 x 1) / 4 = 0.875; the inactive third, however strong, is left out."""
    per_latent, ces = np.array([1.0, 0.5, 0.0]), np.array([3.0, 1.0, 100.0])
    assert model_specificity(per_latent, ces, np.array([True, True, False])) == pytest.approx(0.875, abs=1e-12)


def test_undefined_latent_neither_counts_nor_weighs() -> None:
    """A nan with CES 0 is left out; without any defined latent the model's value is undefined."""
    per_latent, ces = np.array([0.25, np.nan]), np.array([2.0, 0.0])
    assert model_specificity(per_latent, ces, np.array([True, True])) == pytest.approx(0.25, abs=1e-12)
    assert math.isnan(model_specificity(per_latent, ces, np.array([False, True])))
    assert math.isnan(model_specificity(per_latent, ces, np.array([False, False])))
