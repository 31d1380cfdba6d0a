"""Which latent is which: by effects, whatever the latents' order, sign, scale and number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuitprobe.gate.matching import cosines, match_latents, unit_ratios
from circuitprobe.gate.questions import Pair
from gate.hand_snapshots import Audit, Z, changed, snapshot

OLD = ((0.8, 0.6, 0.01, 0.02), (0.02, 0.03, 0.9, 0.5), (0.3, 0.0, 0.3, 0.0))


def audit(*rows: tuple[float, ...], names: str = "z") -> Audit:
    return Audit(latents={f"{names}{i}": Z(row) for i, row in enumerate(rows)})


def matched(baseline: Audit, new: Audit) -> dict[str, str | None]:
    found = match_latents(snapshot(baseline).compared, snapshot(new).compared)
    assert [match.baseline for match in found] == list(baseline.latents)
    return {match.baseline: match.new for match in found}


def test_the_best_assignment_is_taken_where_the_greedy_one_is_another() -> None:
    old = audit((1.0, 0.4, 0.4, 0.4), (0.0, 1.0, 0.0, 1.0))
    new = audit((0.8, 1.0, 0.4, 0.8), (0.8, 0.0, 0.0, 0.0), names="a")
    found = match_latents(snapshot(old).compared, snapshot(new).compared)
    # z0 and a0 are the pair most alike (0.884), but then z1 and a1 are left, which share nothing
    assert [(match.baseline, match.new) for match in found] == [("z0", "a1"), ("z1", "a0")]
    assert [match.similarity for match in found] == pytest.approx([0.822, 0.815], abs=5e-4)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (2, 1, 0)])
def test_permuted_latents_are_found_again(order: tuple[int, ...]) -> None:
    new = audit(*(OLD[i] for i in order), names="a")
    assert matched(audit(*OLD), new) == {f"z{i}": f"a{order.index(i)}" for i in range(3)}
    found = match_latents(snapshot(audit(*OLD)).compared, snapshot(new).compared)
    assert [match.similarity for match in found] == pytest.approx([1.0, 1.0, 1.0])


def test_stronger_or_weaker_effects_are_still_the_same_profile() -> None:
    new = audit(*(tuple(scale * effect for effect in row) for scale, row in zip((0.1, 7.0, 2.0), OLD, strict=True)))
    assert matched(audit(*OLD), new) == {"z0": "z0", "z1": "z1", "z2": "z2"}


def test_a_smaller_model_leaves_the_latent_unmatched_that_nothing_resembles() -> None:
    found = match_latents(snapshot(audit(*OLD)).compared, snapshot(audit(OLD[1], OLD[2], names="a")).compared)
    assert [(match.baseline, match.new) for match in found] == [("z0", None), ("z1", "a0"), ("z2", "a1")]
    assert np.isnan(found[0].similarity)


def test_of_a_larger_model_the_latents_that_resemble_none_are_left() -> None:
    new = audit((0.5, 0.0, 0.0, 0.5), OLD[1], (0.0, 0.5, 0.5, 0.0), OLD[0], OLD[2], names="a")
    assert matched(audit(*OLD), new) == {"z0": "a3", "z1": "a1", "z2": "a4"}


def test_latents_without_effects_go_together_and_have_no_similarity() -> None:
    dead = (0.0, 0.0, 0.0, 0.0)
    found = match_latents(
        snapshot(audit(dead, OLD[0], OLD[1])).compared, snapshot(audit(OLD[1], dead, OLD[0])).compared
    )
    assert [(match.baseline, match.new) for match in found] == [("z0", "z1"), ("z1", "z2"), ("z2", "z0")]
    assert np.isnan(found[0].similarity)
    assert found[1].similarity == pytest.approx(1.0)


def test_undefined_effects_count_as_none_and_nothing_is_matched_without_any() -> None:
    old = Audit(latents={"z0": Z((None, 0.5, None, None)), "z1": Z((0.5, None, None, None))})
    new = Audit(latents={"z0": Z((0.5, None, None, None)), "z1": Z((None, 0.5, None, None))})
    assert matched(old, new) == {"z0": "z1", "z1": "z0"}
    without = match_latents(snapshot(old, level_2=False).compared, snapshot(new, level_2=False).compared)
    assert all(np.isnan(match.similarity) for match in without)


def test_models_of_no_latent_match_nothing() -> None:
    assert match_latents(snapshot(Audit(latents={})).compared, snapshot().compared) == ()
    assert all(match.new is None for match in match_latents(snapshot().compared, snapshot(Audit(latents={})).compared))


def test_effects_are_compared_in_the_same_units_where_columns_spread_differently() -> None:
    # one standard deviation of height is 10 in the old rows and 18 in the new ones: the same change is fewer of them
    old, wider = Audit(), {"height": 18.0, "weight": 12.0, "income": 800.0}
    assert unit_ratios(snapshot(old).compared, snapshot(old, spreads=wider).compared) == {
        "height": 1.8,
        "weight": 1.0,
        "income": 1.0,
        "city": 1.0,
    }
    z0, z1, z2 = old.latents.values()

    def in_new_units(z: Z) -> Z:
        return replace(z, effects=(z.effects[0] / 1.8, *z.effects[1:]))  # type: ignore[operator]

    new = replace(old, spreads=wider, latents={"a": in_new_units(z2), "b": in_new_units(z1), "c": in_new_units(z0)})
    found = match_latents(snapshot(old).compared, snapshot(new).compared)
    assert [match.new for match in found] == ["c", "b", "a"]
    assert [match.similarity for match in found] == pytest.approx([1.0, 1.0, 1.0])


def test_the_order_of_features_does_not_matter() -> None:
    old, new = snapshot(), snapshot()
    turned = changed(new, features=dict(reversed(new.compared.features.items())))
    found = match_latents(old.compared, turned.compared)
    assert [match.similarity for match in found] == pytest.approx([1.0] * 3)


def test_cosines_by_hand() -> None:
    found = cosines(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [4.0, 3.0]]))
    assert found[0] == pytest.approx([0.6, 0.96])
    assert np.isnan(found[1]).all()


def test_latents_of_one_profile_are_told_apart_by_their_responses() -> None:
    """Effects alone would take either assignment, by noise."""
    same = (0.5, 0.4, 0.3, 0.2)
    old = Audit(latents={"a": Z(same, response=(0.5, 0.4, 0.3, 0.2)), "b": Z(same, response=(0.5, -0.4, 0.3, -0.2))})
    nudged = tuple(effect * factor for effect, factor in zip(same, (1.01, 0.99, 1.0, 1.0), strict=True))
    new = Audit(latents={"x": Z(same, response=(-0.5, 0.4, -0.3, 0.2)), "y": Z(nudged, response=(0.5, 0.4, 0.3, 0.2))})
    assert {m.baseline: m.new for m in Pair.of(snapshot(old), snapshot(new)).matches} == {"a": "y", "b": "x"}


def test_responses_count_less_than_effects() -> None:
    old = Audit(latents={"a": Z((1.0, 0.5, 0.0, 0.0), response=(1.0, 0.0, 0.0, 0.0))})
    latents = {
        "x": Z((1.0, 0.1, 0.0, 0.0), response=(1.0, 0.0, 0.0, 0.0)),
        "y": Z((1.0, 0.5, 0.0, 0.0), response=(0.0, 1.0, 0.0, 0.0)),
    }
    assert Pair.of(snapshot(old), snapshot(Audit(latents=latents))).matches[0].new == "y"
