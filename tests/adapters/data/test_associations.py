"""Association measures, against values worked out by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from circuitprobe.adapters.data.associations import association_matrix, correlation_ratio, cramers_v, spearman


def test_spearman_by_hand() -> None:
    """Ranks 1 2 3 4 5 against 2 1 4 3 5: sum of squared differences 4, rho = 1 - 6 * 4 / (5 * 24) = 0.8."""
    numeric = np.array([[1, 20], [2, 10], [3, 40], [4, 30], [500, 50]], dtype=float)
    assert spearman(numeric)[0, 1] == pytest.approx(0.8)
    assert spearman(numeric * [1, -1])[0, 1] == pytest.approx(0.8)


def test_spearman_with_ties_and_constants() -> None:
    numeric = np.array([[1, 1, 5], [1, 2, 5], [2, 3, 5], [3, 3, 5]], dtype=float)
    # Mid-ranks 1.5 1.5 3 4 against 1 2 3.5 3.5: centred products 1.5 + 0.5 + 0.5 + 1.5 = 4, norms 4.5 and 4.5.
    assert spearman(numeric)[0, 1] == pytest.approx(4 / 4.5)
    assert spearman(numeric)[0, 2] == 0
    assert spearman(numeric)[2, 2] == 0


def test_cramers_v_by_hand() -> None:
    """Table [[30, 10], [10, 30]]: chi2 = 20, n = 80, phi2 = 1/4; phi2+ = 1/4 - 1/79, r+ - 1 = 1 - 1/79."""
    first = np.repeat([0, 0, 1, 1], [30, 10, 10, 30])
    second = np.repeat([0, 1, 0, 1], [30, 10, 10, 30])
    expected = np.sqrt((1 / 4 - 1 / 79) / (1 - 1 / 79))
    assert cramers_v([first, second])[0, 1] == pytest.approx(expected)


def test_cramers_v_of_a_two_by_three_table() -> None:
    """Counts [[20, 10, 0], [0, 10, 20]]: expected 10 in every cell, chi2 = 40, n = 60, phi2 = 2/3.

    phi2+ = 2/3 - 2/59; r+ = 2 - 1/59, c+ = 3 - 4/59; min(r+ - 1, c+ - 1) = 58/59.
    """
    first = np.repeat([0, 0, 1, 1], [20, 10, 10, 20])
    second = np.repeat([0, 1, 1, 2], [20, 10, 10, 20])
    expected = np.sqrt((2 / 3 - 2 / 59) / (58 / 59))
    assert cramers_v([first, second])[0, 1] == pytest.approx(expected)


def test_cramers_v_at_its_ends() -> None:
    codes = np.repeat([0, 1, 2], 20)
    renamed = np.array([9, 4, 7])[codes]
    independent = np.tile([0, 1], 30)
    constant = np.zeros(60, dtype=int)
    values = cramers_v([codes, renamed, independent, constant])
    assert values[0, 1] == pytest.approx(1.0)
    assert values[0, 2] == 0.0
    assert values[0, 3] == 0.0
    assert values[3, 3] == 0.0


def test_the_bias_correction_takes_chance_away() -> None:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 20, 400) for _ in range(2)]
    table = np.histogram2d(codes[0], codes[1], bins=20)[0]
    assert np.sqrt(stats.chi2_contingency(table).statistic / 400 / 19) > 0.2
    assert cramers_v(codes)[0, 1] < 0.1


def test_correlation_ratio_by_hand() -> None:
    """Values 1 3 | 5 7 | 6 8, means 2, 6, 7, overall 5: between 2 (9 + 1 + 4) = 28, total 34."""
    codes = [np.array([0, 0, 1, 1, 2, 2])]
    numeric = np.array([[1, 3, 5, 7, 6, 8], [1, 1, 2, 2, 4, 4], [0.1] * 6], dtype=float).T
    assert correlation_ratio(codes, numeric)[0] == pytest.approx([np.sqrt(28 / 34), 1.0, 0.0])


def test_the_matrix_puts_numeric_columns_first() -> None:
    rng = np.random.default_rng(1)
    numeric = rng.normal(size=(200, 2))
    codes = [(numeric[:, 0] > 0).astype(int), rng.integers(0, 3, 200)]
    matrix = association_matrix(numeric, codes)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 1)
    assert matrix[0, 1] == pytest.approx(abs(stats.spearmanr(numeric[:, 0], numeric[:, 1]).statistic))
    assert matrix[0, 2] == pytest.approx(correlation_ratio(codes, numeric)[0, 0])
    assert matrix[2, 3] == pytest.approx(cramers_v(codes)[0, 1])
    assert matrix[0, 2] > 0.7 > matrix[1, 2]


@settings(max_examples=40)
@given(
    hnp.arrays(np.float64, (15, 3), elements=st.integers(-3, 3).map(float)),
    hnp.arrays(np.int64, (2, 15), elements=st.integers(0, 3)),
    st.permutations(range(15)),
)
def test_associations_are_shares_and_do_not_know_the_order_of_rows(
    numeric: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    codes: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    order: list[int],
) -> None:
    matrix = association_matrix(numeric, list(codes))
    assert np.isfinite(matrix).all()
    assert ((matrix >= 0) & (matrix <= 1)).all()
    np.testing.assert_allclose(association_matrix(numeric[order], list(codes[:, order])), matrix, atol=1e-9)
    np.testing.assert_allclose(association_matrix(3 * numeric + 7, list(5 - codes)), matrix, atol=1e-9)


def test_five_hundred_columns_cost_a_twentieth_of_scipy_pair_by_pair() -> None:
    """CPU time of one run, so that the machine's speed and load do not count; a hundredth and less was measured."""
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(2048, 250))
    codes = [rng.integers(0, 8, 2048) for _ in range(250)]
    began = time.process_time()
    assert association_matrix(numeric, codes).shape == (500, 500)
    ours = (time.process_time() - began) / (500 * 499 / 2)
    began = time.process_time()
    for i in range(50):
        stats.spearmanr(numeric[:, i], numeric[:, i + 1])
        stats.contingency.association(stats.contingency.crosstab(codes[i], codes[i + 1]).count)
    assert ours < (time.process_time() - began) / 100 / 20
