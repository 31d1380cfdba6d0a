"""Numeric columns that a mixture encodes: value in, most probable mode and scalar inside, mean of the decoded mixture out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture

from circuitprobe.adapters.families.mixture_columns import Mixture, MixtureColumn, MixtureTable, category_names

TWO = Mixture(
    means=np.array([0.0, 100.0]),
    stds=np.array([1.0, 5.0]),
    weights=np.array([0.0, 0.0]),
    precisions=np.array([1.0, 0.04]),
)
TABLE = MixtureTable((MixtureColumn("wage", TWO), MixtureColumn("city", categories=("Bonn", "Rome"))))


def rows(*wages: float) -> torch.Tensor:
    """Wages in the rows of an audit, all in Rome."""
    value = (torch.tensor(wages, dtype=torch.float64) - TWO.center) / TWO.scale
    return torch.stack([value, torch.zeros_like(value), torch.ones_like(value)], 1)


def test_scale_and_center_by_hand() -> None:
    assert TWO.center == 50.0
    assert pytest.approx(np.sqrt(50.0**2 + (1 + 25) / 2)) == TWO.scale


def test_a_value_becomes_its_mode_and_scalar() -> None:
    inside = TABLE.to_model(rows(2.0, 110.0, -5.0))
    wanted = [[0.5, 1, 0, 0, 1], [0.5, 0, 1, 0, 1], [-0.99, 1, 0, 0, 1]]
    np.testing.assert_allclose(inside.numpy(), wanted, atol=1e-12)


def test_what_comes_out_is_the_mean_of_the_mixture() -> None:
    output = torch.tensor([[np.arctanh(0.5), np.log(3.0), 0.0, 0.0, np.log(4.0)]])
    wage, bonn, rome = TABLE.to_rows(output)[0].tolist()
    # 3/4 of 0 + 4 * 1 * 0.5, 1/4 of 100 + 4 * 5 * 0.5
    assert wage * TWO.scale + TWO.center == pytest.approx(0.75 * 2 + 0.25 * 110)
    assert (bonn, rome) == (pytest.approx(0.2), pytest.approx(0.8))


def test_values_stay_within_the_range_of_training() -> None:
    narrow = MixtureTable(
        (MixtureColumn("wage", Mixture(TWO.means, TWO.stds, TWO.weights, TWO.precisions, 0.0, 105.0)),)
    )
    output = torch.tensor([[np.arctanh(0.5), 0.0, 0.0]])
    wage = float(narrow.to_rows(output)[0, 0]) * TWO.scale + TWO.center
    assert wage == pytest.approx((2 + 105) / 2)


def test_modes_are_chosen_as_the_fitted_mixture_does() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 300), rng.normal(6, 2, 300), rng.gamma(2, 5, 200)])[:, None]
    fitted = BayesianGaussianMixture(n_components=6, weight_concentration_prior=1e-3, random_state=0, max_iter=300).fit(
        values
    )
    kept = fitted.weights_ > 0.005
    mixture = Mixture.of(fitted, kept)
    table = MixtureTable((MixtureColumn("value", mixture),))
    asked = np.linspace(-10, 60, 500)[:, None]
    inside = table.to_model(torch.tensor((asked - mixture.center) / mixture.scale)).numpy()
    likeliest = fitted.predict_proba(asked)[:, kept].argmax(1)
    assert len(np.unique(likeliest)) > 2
    assert np.array_equal(inside[:, 1:].argmax(1), likeliest)
    alpha = (asked[:, 0] - mixture.means[likeliest]) / (4 * mixture.stds[likeliest])
    np.testing.assert_allclose(inside[:, 0], alpha.clip(-0.99, 0.99), atol=1e-9)


def test_a_value_comes_back_from_what_it_became() -> None:
    inside = TABLE.to_model(rows(1.5, 97.0))
    output = torch.cat([torch.atanh(inside[:, :1]), 200 * inside[:, 1:3], 200 * inside[:, 3:]], 1)
    np.testing.assert_allclose(TABLE.to_rows(output).numpy(), rows(1.5, 97.0).numpy(), atol=1e-9)


def test_categories_are_spelled_as_tables_spell_them() -> None:
    assert category_names([1.0, np.int64(2), "x", True, None, float("nan")]) == (
        "1",
        "2",
        "x",
        "True",
        "(missing)",
        "(missing)",
    )
