"""How much a latent still does what it did: the cosine, its interval, and what noise makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from circuitprobe.gate.decide import Side, limit_test
from circuitprobe.gate.similarity import Entries, entries_of, similarity
from circuitprobe.report.model import Response
from circuitprobe.types import Estimate
from gate.hand_snapshots import HALF, Audit, Z, snapshot

N = 400


def latent(*response: float, noise: float = 0.01) -> Entries:
    return entries_of(snapshot(Audit(latents={"z0": Z(response)}, noise=noise)), "z0")


@pytest.mark.parametrize("paired", [True, False])
def test_the_cosine_by_hand(paired: bool) -> None:
    found, drawn = similarity(latent(3.0, 4.0, 0.0, 0.0), latent(4.0, 3.0, 0.0, 0.0), N, paired=paired)
    assert found.value == pytest.approx(0.96, abs=1e-4)
    assert drawn is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.96 < found.high
    # the angle of (3, 4) has an error of 0.01 * 12/25 * sqrt 2, that of both sqrt 2 of it; d cos = sin * d angle, sin = 0.28
    error = 0.28 * 0.01 * 12 / 25 * np.sqrt(2) * np.sqrt(2)
    assert found.high - found.low == pytest.approx(2 * HALF * error, rel=0.1)
    assert drawn.std() == pytest.approx(error, rel=0.1)


def test_units_are_turned_into_those_of_the_baseline() -> None:
    seen = snapshot(Audit(latents={"z0": Z((0.4, 0.6, 0.1, 0.2))}))
    ratios = {"height": 2.0, "weight": 1.0, "income": 1.0, "city": 1.0}
    found, drawn = similarity(latent(0.8, 0.6, 0.1, 0.2), entries_of(seen, "z0", ratios), N, paired=True)
    assert found.value == pytest.approx(1.0)
    assert drawn is not None
    assert drawn.mean() > 0.999
    without, _ = similarity(latent(0.8, 0.6, 0.1, 0.2), entries_of(seen, "z0"), N, paired=True)
    assert without.value is not None
    assert without.value < 0.97


def test_a_flipped_latent_is_the_same() -> None:
    plain, _ = similarity(latent(0.8, -0.6, 0.1, 0.2), latent(0.7, -0.5, 0.1, 0.2), N, paired=True)
    flipped, drawn = similarity(latent(0.8, -0.6, 0.1, 0.2), latent(-0.7, 0.5, -0.1, -0.2), N, paired=True)
    assert flipped.value == plain.value
    assert drawn is not None
    assert drawn.min() > 0.9


def test_latents_that_change_the_same_columns_in_other_ways_are_told_apart() -> None:
    """Their effects, which have no sign, are those of each other and of any mixture."""
    found, _ = similarity(latent(0.8, 0.6, 0.0, 0.0), latent(0.6, -0.8, 0.0, 0.0), N, paired=True)
    assert found.value == pytest.approx(0.0, abs=1e-12)


def test_a_category_that_one_side_does_not_know_is_answered_by_zero() -> None:
    def seen(names: tuple[str, ...], values: tuple[float, ...]) -> Entries:
        whole = snapshot()
        response = {"city": Response(value=values, low=values, high=values)}
        details = whole.details.model_copy(update={"responses": {"z0": response}, "categories": {"city": names}})
        return entries_of(whole.model_copy(update={"details": details}), "z0")

    before, now = seen(("bern", "oslo"), (0.6, 0.8)), seen(("oslo", "bern", "rome"), (0.8, 0.6, 0.0))
    found, _ = similarity(before, now, N, paired=True)
    assert found.value == pytest.approx(1.0)
    more, _ = similarity(before, seen(("bern", "oslo", "rome"), (0.6, 0.8, 1.0)), N, paired=True)
    assert more.value == pytest.approx(1.0 / np.sqrt(2.0))


def test_latents_that_share_no_feature_are_not_alike() -> None:
    found, _ = similarity(latent(1.0, 1.0, 0.0, 0.0), latent(0.0, 0.0, 1.0, 1.0), N, paired=False)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_there_is_none_without_a_counterpart_or_an_effect() -> None:
    dead, alive = latent(0.0, 0.0, 0.0, 0.0), latent(1.0, 0.0, 0.0, 0.0)
    for before, now in ((alive, None), (dead, alive), (alive, dead)):
        assert similarity(before, now, N, paired=False) == (Estimate(None, None, None, 400), None)


def test_it_never_leaves_zero_to_one() -> None:
    for noise in (0.01, 0.5, 2.0):
        for paired in (True, False):
            a, b = latent(0.8, 0.6, 0.3, 0.2, noise=noise), latent(0.8, 0.6, 0.3, 0.2, noise=noise)
            found, drawn = similarity(a, b, N, paired=paired)
            assert found.value == pytest.approx(1.0)
            assert drawn is not None
            assert np.nanmin(drawn) >= 0.0
            assert np.nanmax(drawn) <= 1.0


def of_rows(rng: np.random.Generator, true: np.ndarray, rows: int) -> Entries:
    """A latent whose responses are means over rows of skewed changes, the standard deviation of which is twice their mean."""
    spread = np.sqrt(np.log(5.0))
    changes = true * np.exp(spread * rng.standard_normal((rows, len(true))) - spread**2 / 2)
    mean, half = changes.mean(axis=0), HALF * changes.std(axis=0) / np.sqrt(rows)
    return {(f"f{i}", "0"): (m, m - h, m + h) for i, (m, h) in enumerate(zip(mean, half, strict=True))}


def rate(rows: int, rotation: float) -> dict[str, float]:
    """How often 0.95 is a regression, a pass or undecided for one latent on other rows, turned towards another profile."""
    rng = np.random.default_rng(5)
    outcomes = []
    for _ in range(120):
        true, other = np.exp(rng.standard_normal((2, 40)))
        now = np.cos(rotation) * true / np.linalg.norm(true) + np.sin(rotation) * other / np.linalg.norm(other)
        pair = of_rows(rng, true, rows), of_rows(rng, now, rows)
        found, drawn = similarity(*pair, rows, paired=False)
        test = limit_test(Side(found, drawn), 0.95, "min")
        outcomes.append(test.outcome(test.p))
    return {outcome: outcomes.count(outcome) / len(outcomes) for outcome in ("regression", "pass", "inconclusive")}


@pytest.mark.parametrize("rows", [30, 100, 400])
def test_noise_is_no_change_however_few_the_rows(rows: int) -> None:
    found = rate(rows, 0.0)
    assert found["regression"] <= 0.05
    assert rows < 400 or found["pass"] >= 0.9


def test_a_latent_mixed_with_another_is_found_out() -> None:
    assert rate(400, np.pi / 3)["regression"] >= 0.95


def test_the_noise_of_other_rows_is_taken_out_of_the_value_that_of_the_same_rows_is_not() -> None:
    rng = np.random.default_rng(6)
    plain, corrected = [], []
    for _ in range(60):
        true = np.exp(rng.standard_normal(40))
        before, now = of_rows(rng, true, 100), of_rows(rng, true, 100)
        a, b = (np.array([value for value, _, _ in side.values()]) for side in (before, now))
        plain.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        assert similarity(before, now, 100, paired=True)[0].value == pytest.approx(plain[-1])
        corrected.append(similarity(before, now, 100, paired=False)[0].value)
    assert 1 - np.mean(plain) > 0.01
    assert 1 - np.mean(corrected) < 0.4 * (1 - np.mean(plain))


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0, 3.0])
def test_a_response_in_its_own_noise_is_no_dissimilarity(share: float) -> None:
    """The same latent, whose response is as long as its noise over ``share``: undecided or alike, not another."""
    rng, outcomes = np.random.default_rng(8), []
    true = np.ones(40) / np.sqrt(40)
    error = share / np.sqrt(40)
    for _ in range(60):
        a, b = (true + error * rng.standard_normal(40) for _ in range(2))
        sides = [
            {(f"f{i}", "0"): (v, v - HALF * error, v + HALF * error) for i, v in enumerate(side)} for side in (a, b)
        ]
        found, drawn = similarity(sides[0], sides[1], 100, paired=False)
        test = limit_test(Side(found, drawn), 0.9, "min")
        outcomes.append(test.outcome(test.p))
    assert outcomes.count("regression") <= 3
    if share > 1:
        assert set(outcomes) == {"inconclusive"}
