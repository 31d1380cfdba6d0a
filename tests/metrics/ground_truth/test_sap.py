"""SAP: known answers, a plain reference, a pinned value."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from circuitprobe.metrics.ground_truth import sap

from .known_codes import grid, halves, rotated, seeded, standard


def test_the_factors_themselves_give_1_where_they_have_two_or_three_values() -> None:
    """The gap is to chance, which a rival that knows nothing reaches."""
    factors = grid(60, (2, 3))
    found = sap(*halves(standard(factors), factors), seed=0)
    assert np.diag(found.accuracy).tolist() == [1.0, 1.0]
    assert found.gap == pytest.approx([1 - 1 / 2, 1 - 1 / 3], abs=0.08)
    assert found.first.tolist() == [0, 1]


def test_one_line_does_not_tell_many_ordered_values_apart() -> None:
    factors = grid(60, (2, 12))
    found = sap(*halves(standard(factors), factors), seed=0)
    assert found.accuracy[1, 1] < 0.5


def test_a_constant_code_gives_0() -> None:
    factors = grid()
    assert sap(*halves(np.full((len(factors), 3), 0.3), factors), seed=0).value == 0.0


def test_a_duplicated_code_gives_0() -> None:
    codes = standard(grid())
    found = sap(*halves(np.concatenate([codes, codes], axis=1), grid()), seed=0)
    assert found.value == 0.0
    assert not found.lead.any()


def test_dead_latents_know_what_chance_knows() -> None:
    """One live latent that tells nothing, beside dead ones: counted as 0 they would leave it a gap of chance."""
    codes, factors = seeded()
    noise = np.zeros((len(codes), 3))
    noise[:, 1] = np.random.default_rng(3).normal(size=len(codes))
    found = sap(*halves(noise, factors), seed=0)
    assert found.value < 0.1
    live = sap(*halves(np.column_stack([standard(factors)[:, 1], noise[:, 0]]), factors), seed=0)
    assert live.gap[1] == pytest.approx(1 - (factors[400:, 1] == np.bincount(factors[:400, 1]).argmax()).mean())
    alone = sap(*halves(standard(factors)[:, [1]], factors), seed=0)
    assert alone.gap[1] == live.gap[1]
    assert alone.second.tolist() == [-1, -1, -1]
    assert (alone.gap >= 0).all()


def test_a_rotated_code_scores_lower() -> None:
    factors = grid()
    own = sap(*halves(standard(factors), factors), seed=0).value
    assert sap(*halves(rotated(factors), factors), seed=0).value < own - 0.1


def test_agrees_with_the_formula_in_plain_loops() -> None:
    """The plain run solves the dual, as scikit-learn once did by default: the same classifiers."""
    codes, factors = seeded()
    gaps = []
    for k in range(3):
        found = []
        for i in range(4):
            model = LinearSVC(C=0.01, class_weight="balanced", dual=True, random_state=0)
            model.fit(codes[:400, i : i + 1], factors[:400, k])
            found.append(np.mean(model.predict(codes[400:, i : i + 1]) == factors[400:, k]))
        found.sort()
        gaps.append(found[-1] - found[-2])
    own = sap(*halves(codes, factors), seed=0)
    assert own.gap == pytest.approx(gaps, abs=0.006)
    assert own.lead.mean(axis=0) == pytest.approx(own.gap, abs=1e-12)


def test_pinned_and_the_same_under_any_seed() -> None:
    codes, factors = seeded()
    assert sap(*halves(codes, factors), seed=0).value == pytest.approx(PINNED, abs=1e-12)
    assert sap(*halves(codes, factors), seed=5).value == pytest.approx(PINNED, abs=1e-12)


PINNED = 0.17


def test_ticks_once_per_factor() -> None:
    codes, factors = seeded()
    ticks: list[int] = []
    sap(*halves(codes, factors), seed=0, tick=lambda: ticks.append(1))
    assert len(ticks) == 3
