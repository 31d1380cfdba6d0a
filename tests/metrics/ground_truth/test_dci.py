"""DCI: known answers, a plain reference, dead codes, a pinned value, interruption."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from circuitprobe.metrics.ground_truth import Dci, dci
from circuitprobe.metrics.ground_truth.dci import dci_scores

from .known_codes import grid, halves, rotated, seeded, standard

NO_ROWS = np.zeros((1, 3), dtype=bool)


@pytest.fixture(scope="module")
def mixed() -> Dci:
    """The seeded code."""
    return dci(*halves(*seeded()), seed=0)


def plain(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness in loops."""
    latents, factors = importance.shape
    d = c = 0.0
    for i in range(latents):
        row = [float(r) for r in importance[i] if r > 0]
        h = -sum(r / sum(row) * np.log(r / sum(row)) / np.log(factors) for r in row)
        d += (1 - h) * sum(row) / importance.sum()
    for k in range(factors):
        column = [float(r) for r in importance[:, k] if r > 0]
        h = -sum(r / sum(column) * np.log(r / sum(column)) / np.log(latents) for r in column)
        c += (1 - h) * sum(column) / importance.sum()
    return d, c


def test_the_factors_themselves_give_1() -> None:
    factors = grid(8)
    found = dci(*halves(standard(factors), factors), seed=0)
    assert found.disentanglement == pytest.approx(1.0, abs=1e-6)
    assert found.completeness == pytest.approx(1.0, abs=1e-6)
    assert found.informativeness == 1.0
    assert found.importance.argmax(axis=0).tolist() == [0, 1, 2]


def test_a_constant_code_gives_0_and_tells_the_commonest_class() -> None:
    factors = grid(8)
    (codes, own), test = halves(np.full((len(factors), 3), 0.3), factors)
    found = dci((codes, own), test, seed=0)
    assert found.disentanglement == 0.0
    assert found.completeness == 0.0
    assert not found.importance.any()
    common = [np.bincount(column).argmax() for column in own.T]
    assert found.informativeness == pytest.approx((test[1] == common).mean())


def test_dead_latents_have_no_weight() -> None:
    importance = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = dci_scores(importance, NO_ROWS)
    assert found.disentanglement == 1.0
    assert found.by_latent.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert found.completeness == 1.0


def test_a_duplicated_importance_costs_completeness_only() -> None:
    """Two latents share each factor evenly: D = 1, C = 1 - ln 2 / ln 6."""
    found = dci_scores(np.concatenate([np.eye(3), np.eye(3)]) / 2, NO_ROWS)
    assert found.disentanglement == pytest.approx(1.0)
    assert found.completeness == pytest.approx(1 - np.log(2) / np.log(6))


def test_one_latent_has_no_completeness_and_one_factor_no_disentanglement() -> None:
    assert np.isnan(dci_scores(np.ones((1, 3)), NO_ROWS).completeness)
    assert np.isnan(dci_scores(np.full((3, 1), 1 / 3), NO_ROWS[:, :1]).disentanglement)


def test_a_rotated_code_scores_lower() -> None:
    factors = grid(8)
    found = dci(*halves(rotated(factors), factors), seed=0)
    assert found.disentanglement < 0.8
    assert found.completeness < 0.8


def test_agrees_with_the_formula_in_plain_loops(mixed: Dci) -> None:
    (codes, factors), (held_out, truth) = halves(*seeded())
    columns = []
    hits = []
    for k in range(3):
        model = GradientBoostingClassifier(random_state=0).fit(codes, factors[:, k])
        columns.append(model.feature_importances_)
        hits.append(np.mean(model.predict(held_out) == truth[:, k]))
    d, c = plain(np.stack(columns, axis=1))
    assert mixed.disentanglement == pytest.approx(d, abs=1e-10)
    assert mixed.completeness == pytest.approx(c, abs=1e-10)
    assert mixed.informativeness == pytest.approx(np.mean(hits), abs=1e-10)


def test_pinned_and_the_same_with_any_number_of_workers(mixed: Dci) -> None:
    assert (mixed.disentanglement, mixed.completeness, mixed.informativeness) == pytest.approx(PINNED, abs=1e-6)
    alone = dci(*halves(*seeded()), seed=0, workers=1)
    assert np.array_equal(alone.importance, mixed.importance)
    assert np.array_equal(alone.right, mixed.right)


PINNED = (0.24589944722422574, 0.43701679201375415, 0.9233333333333333)


def test_an_error_in_one_factor_ends_the_others_at_their_next_stage() -> None:
    """Ctrl-C must not wait for minutes of trees."""
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 30, 3000), rng.integers(0, 2, 3000)], axis=1)
    pair = (rng.normal(size=(3000, 4)), factors)
    stages: list[int] = []

    def tick() -> None:
        stages.append(1)
        if len(stages) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dci(pair, pair, seed=0, workers=2, tick=tick)
    assert len(stages) < 100
