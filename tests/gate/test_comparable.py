"""Audits that measure different things are refused, each for its reason; columns that drifted are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitprobe.gate.check import check
from circuitprobe.gate.comparable import NotComparable, check_comparable, drifted, same_rows
from circuitprobe.gate.compare import compare
from circuitprobe.gate.snapshot import Compared, Snapshot
from circuitprobe.types import FeatureKind
from gate.hand_snapshots import Audit, changed, snapshot

OTHER_GROUPS = {"body": ("height",), "rest": ("weight", "income", "city")}
FIVE = ("height", "weight", "income", "city", "age")
TURNED = Audit(
    latents={name: replace(z, effects=z.effects[:3]) for name, z in Audit().latents.items()},
    features=FIVE[:3],
    groups={"body": ("height", "weight"), "money": ("income",)},
)


def with_rows(**changes: object) -> Snapshot:
    seen = snapshot()
    return changed(seen, rows=seen.compared.rows.model_copy(update=changes))


def with_kind(kind: FeatureKind) -> Snapshot:
    seen = snapshot()
    features = {**seen.compared.features, "city": seen.compared.features["city"].model_copy(update={"kind": kind})}
    return changed(seen, features=features)


REASONS = {
    "method version": (changed(snapshot(), method_version="2"), "method version: 2 against 1 in the baseline"),
    "a feature fewer": (snapshot(TURNED), "features: none but the common ones against city in the baseline"),
    "a kind": (with_kind(FeatureKind.BINARY), "the kind of city: binary against categorical in the baseline"),
    "groups": (
        snapshot(Audit(groups=OTHER_GROUPS)),
        "the feature group body: height against height, weight in the baseline",
    ),
    "a group's name": (
        snapshot(Audit(groups={"bodies": ("height", "weight"), "money": ("income", "city")})),
        "the feature group bodies: height, weight against no such group in the baseline",
    ),
    "intervention values": (with_rows(intervention_values=16), "intervention values: 16 against 8 in the baseline"),
    "whose values": (with_rows(values_from="caller"), "values from: caller against posterior in the baseline"),
    "the grid": (with_rows(grid=(8, 8)), "grid: (8, 8) against None in the baseline"),
    "conditions": (changed(snapshot(), condition=("age", "sex")), "conditions: age, sex against none in the baseline"),
    "spread": (
        snapshot(spreads={"height": 21.0, "weight": 12.0, "income": 800.0}),
        "rows, the standard deviation of height: 2.1 times as large against 1 in the baseline",
    ),
    "less spread": (
        snapshot(spreads={"height": 10.0, "weight": 12.0, "income": 8.0}),
        "rows, the standard deviation of income: 0.01 times as large",
    ),
}


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_is_named_with_both_sides_and_how_the_baseline_is_renewed(reason: str) -> None:
    new, told = REASONS[reason]
    with pytest.raises(NotComparable) as caught:
        check(new, snapshot())
    assert caught.value.exit_code == 3
    assert told in caught.value.seen
    remedy = "--groups FILE" if "feature group" in caught.value.seen else "circuitprobe baseline"
    assert remedy in caught.value.fix
    assert caught.value.expected
    with pytest.raises(NotComparable):
        compare((snapshot(), snapshot(), new))


def test_features_that_came_are_named_with_those_that_went() -> None:
    with pytest.raises(NotComparable, match="features: city against none but the common ones in the baseline"):
        check_comparable(snapshot(TURNED).compared, snapshot().compared)


def test_of_many_features_eight_are_named() -> None:
    def wide(prefix: str) -> Compared:
        names = tuple(f"{prefix}{i}" for i in range(30))
        return snapshot(Audit(latents={}, features=names, groups={}, spreads={})).compared

    with pytest.raises(NotComparable, match=r"features: b0, b1, .* b7 and 22 more against a0, .*a7 and 22 more in the"):
        check_comparable(wide("a"), wide("b"))


def test_targets_differ_only_where_both_audits_have_one() -> None:
    with pytest.raises(NotComparable, match="the target: sex against income"):
        check(snapshot(target="sex"), snapshot(target="income"))
    check_comparable(snapshot(target="income").compared, snapshot().compared)
    check_comparable(snapshot().compared, snapshot(target="income").compared)


def test_other_rows_another_seed_and_fewer_rows_are_comparable_but_not_paired() -> None:
    base = snapshot()
    assert same_rows(base.compared.rows, snapshot().compared.rows)
    for other in (snapshot(rows="b"), snapshot(seed=1), snapshot(n=399)):
        check_comparable(base.compared, other.compared)
        assert not same_rows(base.compared.rows, other.compared.rows)
        assert not check(other, base).paired
    assert check(snapshot(), base).paired


def test_the_order_of_features_and_members_does_not_matter() -> None:
    seen = snapshot()
    turned = changed(
        seen,
        features=dict(reversed(seen.compared.features.items())),
        groups={name: tuple(reversed(members)) for name, members in reversed(seen.compared.groups.items())},
    )
    assert check(turned, seen).exit_code == 0


@pytest.mark.parametrize(
    ("height", "told"),
    [(10.0, False), (12.4, False), (8.1, False), (12.6, True), (7.9, True), (19.9, True), (5.1, True)],
)
def test_a_column_that_spreads_differently_is_told(height: float, told: bool) -> None:
    new = snapshot(spreads={"height": height, "weight": 12.0, "income": 800.0}, rows="b")
    warnings = check(new, snapshot()).warnings
    assert warnings == tuple(drifted(snapshot().compared, new.compared))
    assert len(warnings) == told
    if told:
        assert f"against the baseline's: height {height / 10:.2g} times as large;" in warnings[0]


@pytest.mark.parametrize("height", [20.0, 5.0])
def test_twice_or_half_the_spread_is_just_comparable(height: float) -> None:
    check_comparable(
        snapshot().compared, snapshot(spreads={"height": height, "weight": 12.0, "income": 800.0}).compared
    )


def test_a_spread_that_one_outlier_decides_is_no_other_population() -> None:
    """Three times the spread, but its interval holds less than twice: ln 3 - sqrt(2) ln(2.5) / 2 < ln 2."""
    old, new = snapshot(), snapshot(spreads={"height": 30.0, "weight": 12.0, "income": 800.0})

    def unsure(seen: Snapshot, factor: float) -> Compared:
        height = seen.compared.features["height"]
        assert height.spread is not None
        ends = {"spread_low": height.spread / factor, "spread_high": height.spread * factor}
        features = {**seen.compared.features, "height": height.model_copy(update=ends)}
        return changed(seen, features=features).compared

    check_comparable(unsure(old, 1.6), unsure(new, 1.6))
    with pytest.raises(NotComparable, match="standard deviation of height"):
        check_comparable(unsure(old, 1.1), unsure(new, 1.1))


def test_spreads_that_one_side_lacks_are_not_compared() -> None:
    # shares have none; the kinds must agree all the same
    old, new = snapshot(), snapshot()
    features = {name: feature.model_copy(update={"spread": None}) for name, feature in new.compared.features.items()}
    check_comparable(old.compared, changed(new, features=features).compared)
    assert list(drifted(old.compared, changed(new, features=features).compared)) == []
