"""A check as a whole: correction for all conditions, levels, strictness, order, and what must not change an outcome."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from circuitprobe.errors import UsageError
from circuitprobe.gate.check import check
from circuitprobe.gate.config import DEFAULT, Drop, Gate
from circuitprobe.gate.result import CheckResult
from circuitprobe.gate.snapshot import Snapshot
from gate.hand_snapshots import Audit, Z, changed, snapshot

BASE = Audit()
GATES = (
    Gate("mse", max_drop=Drop(0.1, relative=True)),
    Gate("specificity", max_drop=Drop(0.05, relative=False)),
    Gate("ces", latent="*", max_drop=Drop(0.2, relative=True)),
    Gate("kl", latent="*", low=0.99),
    Gate("modularity", low=0.45, high=0.501),
)


def others(**changes: object) -> Snapshot:
    """Other rows, with some more noise."""
    return snapshot(replace(BASE, rows="b", noise=0.02, **changes))  # type: ignore[arg-type]


def test_the_same_audit_passes_and_says_how_it_was_decided() -> None:
    found = check(snapshot(), snapshot(), names=("old.json", "new.json"))
    assert (found.outcome, found.exit_code, found.paired, found.warnings) == ("pass", 0, True, ())
    assert (found.baseline, found.new, found.gates_from) == ("old.json", "new.json", "the default gate")
    assert [(match.baseline, match.new) for match in found.latents] == [("z0", "z0"), ("z1", "z1"), ("z2", "z2")]
    assert all(entry.difference is None or entry.difference.value == 0 for entry in found.results)
    assert CheckResult.model_validate_json(found.model_dump_json()) == found
    assert check(snapshot(), snapshot(rows="b")).baseline == "b.pt"
    assert check(snapshot(), snapshot(), GATES).gates_from == "the gates given"


def test_p_is_corrected_over_all_conditions_of_all_gates() -> None:
    worse = others(model={**BASE.model, "mse": 0.116, "specificity": 0.52, "modularity": 0.46})
    found = check(worse, snapshot(), GATES)
    assert len(found.results) == 8
    assert len({entry.p for entry in found.results}) >= 5
    expected = multipletests([min(entry.p or 0.0, 1 - 1e-15) for entry in found.results], method="holm-sidak")[1]
    assert [entry.p_corrected for entry in found.results] == pytest.approx(list(expected))
    assert any(entry.p_corrected > entry.p for entry in found.results)
    alone = check(worse, snapshot(), GATES[:1]).results[0]
    among = next(entry for entry in found.results if entry.metric == "mse")
    assert alone.p == alone.p_corrected == among.p
    assert among.p_corrected is not None
    assert alone.p < among.p_corrected


def test_what_one_condition_decides_is_undecided_among_many() -> None:
    # one-sided p of about 0.01
    worse = others(model={**BASE.model, "mse": 0.116})
    one = check(worse, snapshot(), GATES[:1]).results[0]
    assert one.outcome == "regression"
    among = next(entry for entry in check(worse, snapshot(), GATES).results if entry.metric == "mse")
    assert among.outcome == "inconclusive"
    assert among.rows_to_decide is not None
    assert 400 < among.rows_to_decide < 1600
    assert f"{among.rows_to_decide:,} rows would decide" in among.message
    assert one.rows_to_decide is None


def test_a_figure_that_is_gone_counts_as_a_test_without_a_p() -> None:
    gone = snapshot(BASE.with_model(specificity=None))
    found = check(gone, snapshot(), GATES)
    assert found.results[0].metric == "specificity"
    assert (found.results[0].p, found.results[0].p_corrected) == (None, None)
    rest = [min(entry.p or 0.0, 1 - 1e-15) for entry in found.results[1:]]
    assert [entry.p_corrected for entry in found.results[1:]] == pytest.approx(
        list(multipletests([1e-300, *rest], method="holm-sidak")[1][1:])
    )


def test_regressions_come_first_then_what_is_undecided_errors_before_warnings() -> None:
    new = others(model={**BASE.model, "mse": 0.2, "specificity": 0.3, "modularity": 0.5, "fgd_adjusted": 0.35})
    gates = (
        Gate("mse", max_drop=Drop(0.5, relative=True), level="warn"),
        Gate("modularity", low=0.2, level="warn"),
        Gate("fgd_adjusted", max_drop=Drop(0.05, relative=False)),
        Gate("specificity", low=0.5),
        Gate("modularity", low=0.3),
        Gate("mse", high=0.2, level="warn"),
        Gate("fgd_adjusted", low=0.345),
    )
    found = check(new, snapshot(), gates)
    assert [(entry.metric, entry.level, entry.outcome) for entry in found.results] == [
        ("specificity", "error", "regression"),
        ("mse", "warn", "regression"),
        ("fgd_adjusted", "error", "inconclusive"),
        ("fgd_adjusted", "error", "inconclusive"),
        ("mse", "warn", "inconclusive"),
        ("modularity", "error", "pass"),
        ("modularity", "warn", "pass"),
    ]
    assert [entry.condition.split()[0] for entry in found.of("inconclusive")] == ["falls", "at", "at"]


@pytest.mark.parametrize(
    ("level", "strict", "mse", "outcome", "code"),
    [
        ("error", False, 0.2, "regression", 1), ("warn", False, 0.2, "regression", 0), ("warn", True, 0.2, "regression", 0),
        ("error", False, 0.111, "inconclusive", 0), ("error", True, 0.111, "inconclusive", 1),
        ("warn", True, 0.111, "inconclusive", 0),
        ("error", True, 0.1, "pass", 0),
    ],
)  # fmt: skip
def test_levels_and_strictness_decide_what_fails_the_build(
    level: str, strict: bool, mse: float, outcome: str, code: int
) -> None:
    gate = replace(GATES[0], level=level)  # type: ignore[arg-type]
    found = check(others(model={"mse": mse}), snapshot(), (gate,), strict=strict)
    assert (found.outcome, found.exit_code, found.strict) == (outcome, code, strict)


def test_no_gate_or_a_senseless_one_is_refused() -> None:
    with pytest.raises(UsageError, match="no gate"):
        check(snapshot(), snapshot(), ())
    with pytest.raises(UsageError, match=r"the gates given: gate 2: there is no metric 'msee'"):
        check(snapshot(), snapshot(), (GATES[0], Gate("msee", low=0.1)))


def test_bounds_are_those_of_the_figures_reported() -> None:
    found = check(snapshot(), snapshot(), GATES)
    bounds = {(entry.metric, entry.condition.split()[1]): entry.bound for entry in found.results}
    # mse may rise, so its bound lies above 0; a maximum is one
    assert bounds["mse", "by"] == pytest.approx(0.01)
    assert bounds["specificity", "by"] == -0.05
    assert (bounds["modularity", "least"], bounds["modularity", "most"]) == (0.45, 0.501)
    for entry in found.results:
        assert entry.bound is not None
        quantity = entry.new if entry.difference is None else entry.difference
        assert quantity.value is not None
        better_below = entry.metric == "mse" or entry.condition.startswith("at most")
        assert (quantity.value <= entry.bound) == better_below or quantity.value == entry.bound


def test_a_figure_without_an_interval_is_undecided_not_a_crash() -> None:
    new = snapshot(kept=False)
    bare = replace(new.compared.figures["mse"], value=0.3, low=None, high=None)
    found = check(changed(new, figures={**new.compared.figures, "mse": bare}), snapshot(), GATES[:1])
    assert found.outcome == "inconclusive"
    assert found.results[0].difference is not None
    assert found.results[0].difference.low is None
    assert "no number of rows would decide" in found.results[0].message
    json.loads(found.model_dump_json())


def outcomes(result: CheckResult) -> dict[tuple[str, str | None, str], tuple[object, ...]]:
    return {
        (entry.metric, entry.latent, entry.condition): (
            entry.outcome,
            entry.p,
            entry.p_corrected,
            entry.new,
            entry.difference,
        )
        for entry in result.results
    }


def scrambled(audit: Audit, seed: int) -> tuple[Audit, dict[str, str]]:
    """The same audit with its latents renamed and in another order."""
    order = np.random.default_rng(seed).permutation(len(audit.latents))
    names = list(audit.latents)
    renamed = {names[old]: f"h{place}" for place, old in enumerate(order)}
    return replace(audit, latents={renamed[names[old]]: audit.latents[names[old]] for old in order}), renamed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", ["a", "b"])
def test_renamed_and_permuted_latents_change_no_outcome(seed: int, rows: str) -> None:
    rng = np.random.default_rng(seed)
    many = Audit(
        latents={f"z{i}": Z(tuple(rng.exponential(size=4)), kl=float(rng.uniform(0.005, 1))) for i in range(9)}
    )
    new = replace(
        many,
        rows=rows,
        latents={
            name: replace(z, kl=0.9 * (z.kl or 0.0), effects=tuple(0.9 * (e or 0.0) for e in z.effects))
            for name, z in many.latents.items()
        },
    )
    turned, renamed = scrambled(new, seed)
    gates = (*DEFAULT, Gate("kl", latent="*", max_drop=Drop(0.1, relative=True)), Gate("active_latents", low=7))
    straight, permuted = check(snapshot(new), snapshot(many), gates), check(snapshot(turned), snapshot(many), gates)
    assert {match.baseline: match.new for match in permuted.latents} == renamed
    assert outcomes(permuted) == outcomes(straight)
    assert (permuted.outcome, permuted.exit_code) == (straight.outcome, straight.exit_code)
    assert len({entry.outcome for entry in straight.results}) > 1


def test_a_collapsed_latent_and_two_mixed_ones_are_named() -> None:
    collapsed = snapshot(BASE.with_latents(z1=Z((0.0,) * 4, kl=0.0)))
    found = {(entry.metric, entry.latent) for entry in check(collapsed, snapshot()).of("regression")}
    assert {("ces", "z1"), ("similarity", "z1"), ("active", "z1")} <= found
    assert ("ces", "z0") not in found
    z0, z1 = (np.array(BASE.latents[name].effects) for name in ("z0", "z1"))
    mixed = BASE.with_latents(z0=Z(tuple((z0 + z1) / np.sqrt(2))), z1=Z(tuple(abs(z0 - z1) / np.sqrt(2))))
    found = {(entry.metric, entry.latent) for entry in check(snapshot(mixed), snapshot()).of("regression")}
    assert {("similarity", "z0"), ("similarity", "z1")} <= found
