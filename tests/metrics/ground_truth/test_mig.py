"""MIG: known answers, a plain reference, a pinned value, resamples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from circuitprobe.metrics.ground_truth import mig, mig_gaps
from circuitprobe.metrics.ground_truth.mig import binned

from .known_codes import grid, rotated, seeded, standard


def plain_mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """The formula in loops on scikit-learn's mutual information, bins by hand."""
    gaps = []
    for v in factors.T:
        found = []
        for z in codes.T:
            low, high = z.min(), z.max()
            width = (high - low) / 20
            place = [min(int((x - low) / width), 19) if width > 0 else 0 for x in z]
            found.append(mutual_info_score(place, v))
        found.sort()
        gaps.append((found[-1] - found[-2]) / mutual_info_score(v, v))
    return float(np.mean(gaps))


def test_the_factors_themselves_give_1() -> None:
    factors = grid()
    found = mig(standard(factors), factors)
    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert found.first.tolist() == [0, 1, 2]
    assert np.allclose(found.entropy, np.log([2, 3, 4]))
    assert np.allclose(np.diag(found.information), found.entropy)


def test_twenty_bins_cannot_tell_forty_values_apart() -> None:
    """Two values per bin: I = ln 20 of H = ln 40; the other factor, balanced against it, tells nothing."""
    factors = grid(5, (40, 3))
    found = mig(standard(factors), factors)
    assert found.gap == pytest.approx([np.log(20) / np.log(40), 1.0], abs=1e-12)


def test_a_constant_code_gives_0_also_where_it_is_no_round_number() -> None:
    factors = grid()
    for value in (0.0, 0.1, 1e6 / 3):
        codes = np.full((len(factors), 4), value)
        codes[::2] = np.nextafter(value, 1e9)
        found = mig(codes, factors)
        assert found.value == 0.0
        assert not found.information.any()


def test_a_duplicated_code_gives_0() -> None:
    codes = standard(grid())
    found = mig(np.concatenate([codes, codes], axis=1), grid())
    assert found.value == 0.0
    assert found.first.tolist() == [0, 1, 2]
    assert found.second.tolist() == [3, 4, 5]


def test_one_latent_has_a_rival_that_knows_nothing() -> None:
    factors = grid()
    found = mig(standard(factors)[:, [1]], factors)
    assert found.gap == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)
    assert found.second.tolist() == [-1, -1, -1]


def test_a_rotated_code_scores_lower() -> None:
    factors = grid()
    assert mig(rotated(factors), factors).value < 0.6


def test_order_sign_and_scale_of_latents_do_not_count() -> None:
    codes, factors = seeded()
    moved = (codes * [1.0, 3.0, 0.01, 50.0] + 7.0)[:, [2, 0, 3, 1]]
    assert mig(moved, factors).value == pytest.approx(mig(codes, factors).value, abs=1e-12)


def test_agrees_with_the_formula_in_plain_loops() -> None:
    codes, factors = seeded()
    assert mig(codes, factors).value == pytest.approx(plain_mig(codes, factors), abs=1e-10)


def test_pinned() -> None:
    codes, factors = seeded()
    assert mig(codes, factors).value == pytest.approx(PINNED, abs=1e-12)


PINNED = 0.2881760465383923


def test_codes_that_are_independent_of_the_factors_stay_near_0() -> None:
    codes, factors = seeded()
    shuffled = codes[np.random.default_rng(1).permutation(len(codes))]
    assert 0.0 < mig(shuffled, factors).value < 0.02


def test_bins_are_those_of_numpy_histogram() -> None:
    column = np.random.default_rng(0).normal(size=(500, 1))
    counts = np.bincount(binned(column)[:, 0], minlength=20)
    assert counts.tolist() == np.histogram(column, 20)[0].tolist()


def test_gaps_under_weights_are_those_of_the_rows_drawn() -> None:
    codes, factors = seeded(200)
    found = mig(codes, factors)
    drawn = np.random.default_rng(0).integers(0, 200, size=(3, 200))
    weights = np.stack([np.bincount(rows, minlength=200) for rows in drawn]) / 200
    gaps = mig_gaps(codes, factors, found, np.concatenate([np.full((1, 200), 1 / 200), weights]))
    assert np.allclose(gaps[0], found.gap, atol=1e-12)
    bins = binned(codes)
    for rows, row in zip(drawn, gaps[1:], strict=True):
        for k in range(3):
            v = factors[rows, k]
            top, rival = (mutual_info_score(bins[rows, i], v) for i in (found.first[k], found.second[k]))
            assert row[k] == pytest.approx((top - rival) / mutual_info_score(v, v), abs=1e-10)
