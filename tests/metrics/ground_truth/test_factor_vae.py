"""The FactorVAE score: known answers, a plain reference, masks, a pinned value, resamples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from circuitprobe.metrics.ground_truth import Votes, draw_votes, factor_vae, resampled_scores

from .known_codes import grid, rotated, seeded, standard


def votes_of(factors: np.ndarray, train: int = 600, test: int = 300, members: int = 32) -> Votes:
    return draw_votes(factors, np.random.default_rng(0), train, test, members)


def test_the_factors_themselves_give_1() -> None:
    factors = grid()
    found = factor_vae(standard(factors), votes_of(factors), 3)
    assert found.value == 1.0
    assert found.factor_of.tolist() == [0, 1, 2]
    assert found.right.shape == (300,)


def test_a_constant_code_gives_0() -> None:
    factors = grid()
    found = factor_vae(np.full((len(factors), 3), 0.3), votes_of(factors), 3)
    assert found.value == 0.0
    assert found.factor_of.tolist() == [-1, -1, -1]
    assert not found.active.any()


def test_dead_latents_keep_their_place_and_get_no_vote() -> None:
    """Without being left out the dead latent would have the smallest variance of all; left out, it must not shift the others."""
    factors = grid()
    codes = standard(factors)
    dead = 1e-3 * np.random.default_rng(0).normal(size=(len(codes), 1)) * (factors[:, [0]] == 0)
    found = factor_vae(np.concatenate([dead, codes[:, :1], dead, codes[:, 1:]], axis=1), votes_of(factors), 3)
    assert found.value == 1.0
    assert found.active.tolist() == [False, True, False, True, True]
    assert found.factor_of.tolist() == [-1, 0, -1, 1, 2]
    assert found.counts.sum(axis=0).tolist() == np.bincount(votes_of(factors).factor[:600], minlength=3).tolist()


def test_a_duplicate_does_not_count_and_a_rotated_code_scores_lower() -> None:
    """Which of two equal latents is voted for makes no difference; this score does not ask for one latent per factor."""
    factors = grid()
    codes = standard(factors)
    assert factor_vae(np.concatenate([codes, codes], axis=1), votes_of(factors), 3).value == 1.0
    assert factor_vae(rotated(factors), votes_of(factors), 3).value < 0.95


def test_codes_that_are_independent_of_the_factors_stay_at_chance() -> None:
    factors = grid(100)
    noise = np.random.default_rng(0).normal(size=(len(factors), 5))
    assert factor_vae(noise, votes_of(factors, 3000, 1500), 3).value == pytest.approx(1 / 3, abs=0.06)


def test_agrees_with_the_formula_in_plain_loops() -> None:
    codes, factors = seeded()
    votes = votes_of(factors)
    spread = [np.var(column, ddof=1) for column in codes.T]
    chosen = []
    for rows in votes.members.tolist():
        ratios = [np.var(codes[rows, i], ddof=1) / spread[i] for i in range(4)]
        chosen.append(ratios.index(min(ratios)))
    tables: dict[int, Counter[int]] = {i: Counter() for i in range(4)}
    for latent, factor in zip(chosen[:600], votes.factor[:600].tolist(), strict=True):
        tables[latent][factor] += 1
    best = {latent: max(range(3), key=lambda k, c=counts: (c[k], -k)) for latent, counts in tables.items() if counts}
    hits = [best.get(i) == k for i, k in zip(chosen[600:], votes.factor[600:].tolist(), strict=True)]
    assert factor_vae(codes, votes, 3).value == pytest.approx(np.mean(hits), abs=1e-10)


def test_votes_share_a_value_and_repeat_a_row_only_where_there_are_too_few() -> None:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 2, 200), rng.integers(0, 20, 200)], axis=1)
    factors[0, 1] = 20  # a value of one row: its variance would be 0
    votes = votes_of(factors)
    assert set(votes.factor.tolist()) == {0, 1}
    for factor, value, rows in zip(votes.factor, votes.value, votes.members, strict=True):
        assert (factors[rows, factor] == value).all()
        assert len(set(rows.tolist())) == 32 or factor == 1
        assert (factor, value) != (1, 20)
    again = votes_of(factors)
    assert np.array_equal(votes.members, again.members)


def test_a_latent_without_a_training_vote_is_wrong_in_the_test() -> None:
    """Counted as factor 0, votes for it would be right by accident."""
    factors = grid()
    codes = standard(factors)
    first = np.flatnonzero(votes_of(factors).factor == 0)
    members = votes_of(factors).members[first]
    votes = Votes(np.zeros(len(first), dtype=np.int64), factors[members[:, 0], 0], members, 1)
    assert factor_vae(codes, votes, 3).value == 1.0
    none = Votes(votes.factor, votes.value, members, 0)
    assert factor_vae(codes, none, 3).value == 0.0


def test_pinned() -> None:
    codes, factors = seeded()
    assert factor_vae(codes, votes_of(factors, members=4), 3).value == pytest.approx(PINNED, abs=1e-12)


PINNED = 0.6166666666666667


def test_resamples_spread_as_the_score_does_over_other_rows() -> None:
    """Votes about one value share rows: single votes resampled would give a spread that is too small."""
    values = []
    spreads = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        factors = np.stack([rng.integers(0, size, 400) for size in (12, 9)], axis=1)
        codes = standard(factors) @ np.array([[1.0, 0.9], [-0.9, 1.0]]) + 0.6 * rng.normal(size=(400, 2))
        votes = draw_votes(factors, rng, 2000, 1000)
        found = factor_vae(codes, votes, 2)
        values.append(found.value)
        scores = resampled_scores(found, votes, np.random.default_rng(1), 200)
        assert scores.mean() == pytest.approx(found.value, abs=0.02)
        spreads.append(scores.std())
    single = np.sqrt(np.mean(values) * (1 - np.mean(values)) / 1000)
    assert np.mean(spreads) > 1.3 * single
    assert 0.5 < np.mean(spreads) / np.std(values) < 2.0
