"""From gates to figures: every kind of metric, whose figure it is, and figures that are undefined, gone or absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuitprobe.errors import UsageError
from circuitprobe.gate.check import check
from circuitprobe.gate.config import DEFAULT, Drop, Gate
from circuitprobe.gate.metrics import LATENT, MODEL
from circuitprobe.gate.questions import Pair, latent_for, questions_of
from circuitprobe.gate.result import GateResult
from circuitprobe.gate.snapshot import Snapshot
from circuitprobe.report.resamples import pack
from gate.hand_snapshots import Audit, Z, changed, snapshot

TENTH = Drop(0.10, relative=True)
BASE = Audit()


def results(new: Audit | Snapshot, *gates: Gate, base: Audit | Snapshot | None = None) -> tuple[GateResult, ...]:
    sides = [side if isinstance(side, Snapshot) else snapshot(side) for side in (new, base or BASE)]
    return check(*sides, gates).results


def result(new: Audit | Snapshot, gate: Gate, base: Audit | Snapshot | None = None) -> GateResult:
    (only,) = results(new, gate, base=base)
    return only


def refused(new: Audit | Snapshot, *gates: Gate, base: Audit | Snapshot | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        results(new, *gates, base=base)
    assert caught.value.exit_code == 2
    assert caught.value.expected
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("metric", MODEL)
def test_every_figure_of_a_model_may_get_worse_by_a_share(metric: str) -> None:
    old = BASE.with_model(**{metric: 0.5})
    worse = 1.0 if MODEL[metric].better == "lower" else -1.0
    for change, outcome in ((0.2 * worse, "regression"), (0.05 * worse, "pass"), (-0.2 * worse, "pass")):
        # ces of the model is among them too: it is the given figure then
        found = result(BASE.with_model(**{metric: 0.5 + change * 0.5}), Gate(metric, max_drop=TENTH), base=old)
        assert found.outcome == outcome
        assert found.latent is None
        assert found.bound == pytest.approx(0.05 * worse)
        assert found.difference is not None
        assert found.difference.value == pytest.approx(0.5 * change)


@pytest.mark.parametrize("metric", LATENT)
def test_every_figure_of_a_latent_may_get_worse_by_a_share(metric: str) -> None:
    def with_figure(value: float) -> Snapshot:
        seen, drawn = snapshot(), value + 0.01 * value * np.random.default_rng(0).standard_normal(1000)
        z0 = seen.compared.latents["z0"]
        z0 = z0.model_copy(update={"figures": {**z0.figures, metric: BASE.estimate(value)}})
        kept = pack({f"{metric}:z0": (value, drawn)})
        details = seen.details.model_copy(update={"resamples": kept})
        return changed(seen, latents={**seen.compared.latents, "z0": z0}).model_copy(update={"details": details})

    gate = Gate(metric, latent="z0", max_drop=TENTH)
    assert result(with_figure(0.44), gate, base=with_figure(0.5)).outcome == "regression"
    found = result(with_figure(0.46), gate, base=with_figure(0.5))
    assert found.outcome == "pass"
    assert found.paired
    assert (found.latent, found.new_latent) == ("z0", "z0")


def test_an_absolute_drop_counts_in_the_figure_and_a_relative_one_in_the_baselines() -> None:
    old, new = BASE.with_model(fgd_adjusted=-0.2), BASE.with_model(fgd_adjusted=-0.25)
    for amount, relative, outcome in (
        (0.04, False, "regression"), (0.06, False, "pass"), (0.2, True, "regression"), (0.3, True, "pass"),
    ):  # fmt: skip
        gate = Gate("fgd_adjusted", max_drop=Drop(amount, relative=relative))
        found = result(new, gate, base=old)
        assert found.outcome == outcome
        assert found.bound == pytest.approx(-amount * (0.2 if relative else 1.0))


def test_a_gate_with_several_limits_is_several_conditions() -> None:
    found = results(BASE, Gate("specificity", low=0.3, high=0.5, max_drop=TENTH))
    assert [(entry.outcome, entry.condition.split()[1]) for entry in found] == [
        ("regression", "most"), ("pass", "least"), ("pass", "by"),
    ]  # fmt: skip
    assert [entry.bound for entry in found] == pytest.approx([0.5, 0.3, -0.06])


def test_completeness_is_that_of_the_group() -> None:
    old = BASE.with_model(**{"completeness:money": 0.3})
    gate = Gate("completeness", group="money", low=0.25)
    found = result(old, gate, base=old)
    assert found.new.value == 0.3
    assert (found.group, found.latent) == ("money", None)
    assert result(old, replace(gate, group="body"), base=old).new.value == 0.7
    error = refused(old, replace(gate, group="monet"), base=old)
    assert "no feature group 'monet'" in error.seen
    assert "body, money" in error.expected
    assert "did you mean 'money'" in error.fix
    assert "no feature group 'income'" in refused(old, replace(gate, group="income"), base=old).seen


def test_completeness_that_an_audit_lacks_is_no_pass() -> None:
    gate = Gate("completeness", group="money", max_drop=TENTH)
    assert "the baseline has no completeness" in refused(BASE, gate).seen
    both = BASE.with_model(**{"completeness:money": 0.3})
    assert "the new audit has no completeness" in refused(BASE, gate, base=both).seen
    assert "the new audit has no completeness" in refused(BASE, Gate("completeness", group="money", low=0.1)).seen


@pytest.mark.parametrize(
    ("metric", "needs"), [("auc", "--target"), ("mig", "factors are known"), ("fgd", "level 2"), ("mse", "an encoder")]
)
def test_a_figure_that_an_audit_lacks_is_no_pass(metric: str, needs: str) -> None:
    without, with_it = BASE.without(metric), BASE.with_model(**{metric: 0.5})
    for new, base, where in (
        (without, without, "the baseline"),
        (with_it, without, "the baseline"),
        (without, with_it, "the new"),
    ):
        error = refused(new, Gate(metric, max_drop=TENTH), base=base)
        assert f"{where}" in error.seen
        assert f"has no {metric}" in error.seen
        assert needs in error.expected
    assert f"the new audit has no {metric}" in refused(without, Gate(metric, low=0.1), base=with_it).seen
    # a limit needs the new figure only
    assert result(with_it, Gate(metric, low=0.1), base=without).outcome == "pass"


def test_a_new_figure_that_is_undefined_is_a_regression() -> None:
    new = BASE.with_model(specificity=None)
    for gate in (Gate("specificity", max_drop=TENTH), Gate("specificity", low=0.1), Gate("specificity", high=0.9)):
        found = result(new, gate)
        assert found.outcome == "regression"
        assert (found.p, found.bound, found.difference, found.rows_to_decide) == (None, None, None, None)
        assert "undefined or gone" in found.message
        assert "0.6" in found.message


def test_a_figure_undefined_in_the_baseline_has_no_drop_but_a_limit() -> None:
    old = BASE.with_model(specificity=None)
    error = refused(BASE, Gate("specificity", max_drop=TENTH), base=old)
    assert "specificity is undefined in the baseline" in error.seen
    assert "min or max" in error.fix
    assert result(BASE, Gate("specificity", low=0.5), base=old).outcome == "pass"
    odd = BASE.with_latents(z0=replace(BASE.latents["z0"], specificity=None))
    error = refused(BASE, Gate("specificity", latent="z0", max_drop=TENTH), base=odd)
    assert "specificity of z0 is undefined in the baseline" in error.seen


def test_of_every_latent_those_undefined_in_the_baseline_keep_their_limits() -> None:
    odd = BASE.with_latents(z0=replace(BASE.latents["z0"], specificity=None))
    found = results(BASE, Gate("specificity", latent="*", low=0.6, max_drop=TENTH), base=odd)
    assert [(entry.latent, entry.condition.split()[0], entry.outcome) for entry in found] == [
        ("z0", "at", "regression"), ("z1", "at", "regression"), ("z1", "falls", "pass"),
    ]  # fmt: skip


def test_every_latent_is_every_active_one_of_the_baseline() -> None:
    found = results(BASE, Gate("ces", latent="*", max_drop=TENTH))
    assert [entry.latent for entry in found] == ["z0", "z1"]
    assert [entry.latent for entry in results(BASE, Gate("ces", latent="z2", max_drop=TENTH))] == ["z2"]


def test_a_gate_on_every_latent_that_is_about_none_is_refused() -> None:
    dead = Audit(latents={"z0": Z((0.0,) * 4, kl=0.0), "z1": Z((0.0,) * 4, kl=0.0)})
    error = refused(dead, Gate("mse", max_drop=TENTH), Gate("ces", latent="*", max_drop=TENTH), base=dead)
    assert "the gate on ces of every latent is about none" in error.seen
    undefined = Audit(latents={name: replace(z, specificity=None) for name, z in BASE.latents.items()})
    assert "about none" in refused(BASE, Gate("specificity", latent="*", max_drop=TENTH), base=undefined).seen
    # the default gate asks what there is to ask
    assert {entry.metric for entry in check(snapshot(dead), snapshot(dead)).results} == {
        "mse", "specificity", "fgd_adjusted", "modularity",
    }  # fmt: skip


def test_an_unknown_latent_is_told_with_those_that_there_are() -> None:
    error = refused(BASE, Gate("ces", latent="z9", low=0.1))
    assert "no latent 'z9'" in error.seen
    assert error.expected == "one of z0, z1, z2"


def test_the_group_of_a_gate_is_the_latent_that_drives_it_in_the_baseline() -> None:
    new = Audit(latents={"a": BASE.latents["z1"], "b": BASE.latents["z0"], "c": BASE.latents["z2"]})
    for name, latent, counterpart in (
        ("height", "z0", "b"), ("weight", "z0", "b"), ("income", "z1", "a"), ("city", "z1", "a"),
        ("body", "z0", "b"), ("money", "z1", "a"),
    ):  # fmt: skip
        found = result(new, Gate("ces", group=name, max_drop=TENTH))
        assert (found.latent, found.new_latent, found.group) == (latent, counterpart, name)
        assert found.outcome == "pass"


def test_what_drives_a_group_is_the_mean_over_its_features_not_one_of_them() -> None:
    odd = Audit(latents={"z0": Z((0.9, 0.0, 0.0, 0.0)), "z1": Z((0.7, 0.7, 0.0, 0.0))})
    assert latent_for(snapshot(odd), "height") == "z0"
    assert latent_for(snapshot(odd), "body") == "z1"


def test_a_group_that_nothing_drives_or_knows_is_refused() -> None:
    deaf = Audit(latents={"z0": Z((0.9, 0.0, 0.0, None)), "z1": Z((0.7, 0.7, 0.0, None))})
    for name in ("income", "city", "money"):
        assert f"no latent drives {name!r}" in refused(deaf, Gate("ces", group=name, low=0.1), base=deaf).seen
    error = refused(BASE, Gate("ces", group="incme", low=0.1))
    assert "no feature or feature group 'incme'" in error.seen
    assert error.expected == "one of height, weight, income, city, body, money"
    assert "did you mean 'income'" in error.fix


def test_the_target_is_no_feature_that_a_latent_drives() -> None:
    told = snapshot(target="wealth")
    error = refused(told, Gate("ces", group="wealth", low=0.1), base=told)
    assert "'wealth' is the target that the audit predicts" in error.seen
    # where the target is a feature too, the feature is meant
    assert latent_for(snapshot(target="income"), "income") == "z1"


def test_a_latent_stays_active_by_its_kl() -> None:
    gate = Gate("active", latent="*")
    for kl, outcome in ((0.02, "pass"), (0.0101, "inconclusive"), (0.0099, "inconclusive"), (0.008, "regression")):
        first, second = results(BASE.with_latents(z1=replace(BASE.latents["z1"], kl=kl)), gate)
        found = first if first.latent == "z1" else second
        assert found.outcome == outcome
        assert found.bound == 0.01
        assert found.new.value == pytest.approx(kl)
        assert "z1" in found.message


def test_without_a_kl_a_latent_stays_active_by_what_the_audits_say() -> None:
    codes = Audit(latents={name: replace(z, kl=None, active=True) for name, z in BASE.latents.items()})
    collapsed = codes.with_latents(z1=replace(codes.latents["z1"], active=False))
    assert [entry.outcome for entry in results(codes, Gate("active", latent="*"), base=codes)] == ["pass"] * 3
    found = results(collapsed, Gate("active", latent="*"), base=codes)
    assert [(entry.latent, entry.outcome) for entry in found] == [("z1", "regression"), ("z0", "pass"), ("z2", "pass")]
    assert found[0].bound == 1.0
    # a KL on one side only is none
    assert result(collapsed, Gate("active", latent="z1")).outcome == "regression"
    assert result(codes, Gate("active", latent="z1")).outcome == "pass"


def test_a_latent_without_a_counterpart_is_a_regression_on_everything() -> None:
    smaller = Audit(latents={"z0": BASE.latents["z1"], "z1": BASE.latents["z2"]})
    gates = [Gate(m, latent="z0", max_drop=TENTH) for m in ("ces", "kl")] + [
        Gate("similarity", latent="z0", low=0.1), Gate("active", latent="z0"),
    ]  # fmt: skip
    for gate in gates:
        found = result(smaller, gate)
        assert (found.outcome, found.new_latent) == ("regression", None)
        assert "gone" in found.message


def test_the_number_of_active_latents() -> None:
    base, new = snapshot(), snapshot(BASE.with_latents(z1=replace(BASE.latents["z1"], kl=0.001)))
    assert result(base, Gate("active_latents", low=2)).outcome == "pass"
    assert result(base, Gate("active_latents", low=3)).outcome == "regression"
    assert result(new, Gate("active_latents", low=2)).outcome == "regression"
    assert result(new, Gate("active_latents", max_drop=Drop(0, relative=False))).outcome == "regression"
    assert result(new, Gate("active_latents", max_drop=Drop(1, relative=False))).outcome == "pass"
    assert result(base, Gate("active_latents", max_drop=Drop(0, relative=False))).outcome == "pass"
    found = result(base, Gate("active_latents", high=1))
    assert (found.outcome, found.new.value, found.new.low, found.new.high) == ("regression", 2.0, 2.0, 2.0)


def test_a_latent_on_the_verge_makes_their_number_uncertain() -> None:
    verge = BASE.with_latents(z1=replace(BASE.latents["z1"], kl=0.01005))
    found = result(verge, Gate("active_latents", low=2))
    assert found.outcome == "inconclusive"
    assert (found.new.value, found.new.low, found.new.high) == (2.0, 1.0, 2.0)


@pytest.mark.parametrize("kept", [True, False])
def test_active_latents_of_a_model_without_kl_are_counted_as_the_audit_says(kept: bool) -> None:
    codes = Audit(latents={name: replace(z, kl=None, active=True) for name, z in BASE.latents.items()}, kept=kept)
    found = result(codes, Gate("active_latents", low=3), base=codes)
    assert (found.outcome, found.new.value, found.new.low) == ("pass", 3.0, 3.0)
    assert result(codes, Gate("active_latents", low=4), base=codes).outcome == "regression"


@pytest.mark.parametrize("metric", ["ces", "specificity", "similarity", "active", "kl"])
def test_figures_of_latents_need_level_2_on_both_sides(metric: str) -> None:
    gate = Gate(metric, latent="z0", **({} if metric == "active" else {"low": 0.1}))
    flat = snapshot(level_2=False)
    assert "the baseline has no" in refused(BASE, gate, base=flat).seen
    error = refused(flat, gate)
    assert "the new audit has no" in error.seen
    assert "level 2" in error.expected
    assert "level 2" in refused(flat, replace(gate, latent=None, group="income")).expected


def test_the_default_gate_leaves_out_what_the_baseline_lacks_but_not_what_the_new_audit_lacks() -> None:
    flat = snapshot(level_2=False)
    found = check(flat, flat)
    assert [entry.metric for entry in found.results] == ["mse"]
    # what is not gated is said
    assert "ces of every latent" in found.not_gated
    assert "modularity" in found.not_gated
    assert check(snapshot(), snapshot()).not_gated == ()
    assert [entry.metric for entry in check(snapshot(), flat).results] == ["mse"]
    with pytest.raises(UsageError, match="the new audit has no"):
        check(flat, snapshot())
    decoder = snapshot(BASE.without("mse"))
    assert "mse" not in {entry.metric for entry in check(decoder, decoder).results}
    with pytest.raises(UsageError, match="the new audit has no mse"):
        check(decoder, snapshot())
    undefined = snapshot(BASE.with_model(fgd_adjusted=None))
    assert "fgd_adjusted" not in {entry.metric for entry in check(snapshot(), undefined).results}
    assert check(undefined, snapshot()).results[0].metric == "fgd_adjusted"
    assert check(undefined, snapshot()).outcome == "regression"


def test_without_anything_to_ask_there_is_no_pass() -> None:
    nothing = snapshot(Audit(latents={}, model={}), level_2=False)
    with pytest.raises(UsageError, match="no gate is about anything that the baseline has"):
        check(nothing, nothing)


def test_the_default_gate_by_hand() -> None:
    pair = Pair.of(snapshot(), snapshot())
    asked = [
        (q.gate.metric, None if q.match is None else q.match.baseline, q.kind, None if q.test is None else q.test.bound)
        for gate in DEFAULT
        for q in questions_of(gate, pair, optional=True)
    ]
    strength = [float(np.sqrt(np.mean(np.square(BASE.latents[z].effects)))) for z in ("z0", "z1")]  # type: ignore[arg-type]
    assert asked == [
        ("mse", None, "max_drop", pytest.approx(-0.01)),
        ("ces", "z0", "max_drop", pytest.approx(-0.2 * strength[0])),
        ("ces", "z1", "max_drop", pytest.approx(-0.2 * strength[1])),
        ("similarity", "z0", "min", 0.9),
        ("similarity", "z1", "min", 0.9),
        ("active", "z0", "min", 0.01),
        ("active", "z1", "min", 0.01),
        ("specificity", None, "max_drop", -0.05),
        ("fgd_adjusted", None, "max_drop", -0.05),
        ("modularity", None, "max_drop", -0.05),
    ]


def test_only_an_error_and_the_departure_from_the_posterior_are_better_when_lower() -> None:
    assert {name for name, metric in MODEL.items() if metric.better == "lower"} == {"mse", "calibration_ratio"}


def test_a_latent_without_a_response_has_nothing_to_be_alike() -> None:
    """Active, and the decoder ignores it: the audit passes against itself."""
    deaf = BASE.with_latents(z3=Z((0.0, 0.0, 0.0, 0.0), kl=0.5, specificity=None))
    assert check(snapshot(deaf), snapshot(deaf)).outcome == "pass"
    with pytest.raises(UsageError, match="similarity of z3 is undefined in the baseline"):
        check(snapshot(deaf), snapshot(deaf), [Gate("similarity", latent="z3", low=0.9)])


def test_a_latent_that_was_not_active_cannot_stay_so() -> None:
    with pytest.raises(UsageError, match="z2 is not active in the baseline"):
        check(snapshot(), snapshot(), [Gate("active", latent="z2")])
