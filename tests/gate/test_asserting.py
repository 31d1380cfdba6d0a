"""Figures under test, and baselines, on reports whose figures are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.builders import Shape, make_report

import circuitprobe as cp
from circuitprobe.gate.asserting import (
    Audited,
    DriftWarning,
    InconclusiveWarning,
    LatentUnderTest,
    RegressionWarning,
    ScoresUnderTest,
    assert_no_regression,
)
from circuitprobe.gate.metrics import LATENT, MODEL
from circuitprobe.report import AuditReport
from circuitprobe.report.resamples import pack
from gate.changed_reports import CES, estimate, no_warning, with_latent

# figures


def test_a_figure_beyond_its_limit_passes_without_a_word(audit: Audited) -> None:
    ces = audit.ces["z0"]  # 0.4 [0.36, 0.44]
    no_warning(lambda: ces.at_least(0.3))
    no_warning(lambda: ces.at_most(0.5, strict=True))
    assert ces.at_least(0.3).at_most(0.5) is ces


@pytest.mark.parametrize(
    ("method", "limit", "words"), [("at_least", 0.5, "at least 0.5"), ("at_most", 0.3, "at most 0.3")]
)
def test_a_figure_short_of_its_limit_fails_with_its_interval(
    audit: Audited, method: str, limit: float, words: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        getattr(audit.ces["z0"], method)(limit)
    assert str(caught.value) == f"ces of z0 is 0.4 [0.36, 0.44]; demanded: {words}"


@pytest.mark.parametrize(("method", "limit"), [("at_least", 0.41), ("at_most", 0.39)])
def test_a_limit_within_the_interval_warns_at_the_line_of_the_test(audit: Audited, method: str, limit: float) -> None:
    with pytest.warns(InconclusiveWarning) as caught:
        getattr(audit.ces["z0"], method)(limit)
    (warning,) = caught
    assert warning.filename == __file__
    said = str(warning.message)
    assert said.startswith(
        f"ces of z0 is 0.4 [0.36, 0.44]; demanded: {method.replace('_', ' ')} {limit}; 500 rows do not decide, "
    )
    # half the interval over the gap, squared: 16 times the rows, up to the noise of the normal draws
    rows = int(said.split("not decide, ")[1].split(" rows", maxsplit=1)[0].replace(",", ""))
    assert 500 * 13 < rows < 500 * 19


def test_strict_makes_an_undecided_figure_fail(audit: Audited) -> None:
    with pytest.raises(AssertionError, match=r"demanded: at least 0.41; 500 rows do not decide"):
        audit.ces["z0"].at_least(0.41, strict=True)


def test_no_number_of_rows_decides_on_the_value_itself(audit: Audited) -> None:
    with pytest.warns(InconclusiveWarning, match="no number of rows would decide"):
        audit.ces["z0"].at_least(0.4)


def test_kept_resamples_decide_rather_than_the_interval(report: AuditReport) -> None:
    """The figure's distribution is skewed: 3 % of the resamples reach the limit, so that it is not decided."""
    drawn = np.concatenate([np.full(970, 0.38), np.full(30, 0.6)])
    kept = Audited(report.model_copy(update={"resamples": pack({"ces:z0": (0.4, drawn)})}))
    with pytest.warns(InconclusiveWarning):
        kept.ces["z0"].at_least(0.6)
    with pytest.raises(AssertionError):
        kept.ces["z0"].at_least(0.61)


def test_undefined_fails() -> None:
    undefined = Audited(make_report(Shape(undefined=True)))
    with pytest.raises(AssertionError, match=r"^specificity of z1 is undefined; demanded: at most 0.9$"):
        undefined.specificity["z1"].at_most(0.9)


@pytest.mark.parametrize("limit", [math.nan, math.inf, "0.2", None, True, [0.2]])
def test_a_limit_that_is_no_number_is_refused(audit: Audited, limit: Any) -> None:
    with pytest.raises(cp.UsageError, match=r"at_least\("):
        audit.ces["z0"].at_least(limit)


def test_numbers_of_numpy_are_limits(audit: Audited) -> None:
    with pytest.raises(AssertionError, match=r"at least 0.5"):
        audit.ces["z0"].at_least(np.float32(0.5))


# names


def test_every_metric_has_an_attribute() -> None:
    def figures(owner: type) -> set[str]:
        return {name for name, entry in vars(owner).items() if type(entry).__name__.endswith(("Figure", "Figures"))}

    assert figures(LatentUnderTest) == figures(Audited) == set(LATENT)
    assert figures(ScoresUnderTest) == set(MODEL)


@pytest.mark.parametrize("metric", sorted(LATENT))
def test_latents_by_name_and_by_metric(audit: Audited, report: AuditReport, metric: str) -> None:
    expected = getattr(report.latents[1], metric)
    for found in (getattr(audit, metric)["z1"], getattr(audit.latent("z1"), metric)):
        assert (found.name, found.value) == (f"{metric} of z1", expected.value)
        assert found.interval == (expected.low, expected.high)


def test_scores(audit: Audited, report: AuditReport) -> None:
    assert audit.scores.mse.value == report.reconstruction.mse.value
    assert audit.scores.fgd_adjusted.value == report.scores.fgd_adjusted.value
    assert audit.scores.completeness["money"].value == report.scores.completeness["money"].value
    assert list(audit.scores.completeness) == ["body", "money", "habits"]
    with pytest.raises(AssertionError, match=r"^completeness of body is 0.5 \[0.45, 0.55\]; demanded: at least 0.7$"):
        audit.scores.completeness["body"].at_least(0.7)


def test_the_latent_that_drives_a_feature_or_a_group(audit: Audited, report: AuditReport) -> None:
    strongest = max(report.latents, key=lambda latent: latent.effects["city"].value)
    assert audit.latent_for("city").name == strongest.name
    strongest = max(report.latents, key=lambda latent: latent.group_effects["habits"].value)
    assert audit.latent_for("habits").name == strongest.name


@pytest.mark.parametrize(
    ("ask", "parts"),
    [
        (lambda a: a.ces["z9"], ("no latent 'z9'", "one of z0, z1, z2, z3")),
        (lambda a: a.kl[1], ("no latent 1", "one of z0, z1, z2, z3")),
        (lambda a: a.latent("Z1"), ("no latent 'Z1'", "did you mean 'z1'?")),
        (lambda a: a.latent_for("incom"), ("'incom'", "did you mean 'income'?", "smoker, body, money, habits")),
        (lambda a: a.scores.completeness["bodies"], ("no feature group 'bodies'", "body, money, habits")),
        (lambda a: a.scores.auc, ("no auc", 'circuitprobe_audit(model, data, target="COLUMN")')),
        (lambda a: a.scores.mig, ("no mig", "factors are known")),
    ],
)
def test_unknown_names_are_told_with_what_there_is(
    audit: Audited, ask: Callable[[Audited], object], parts: tuple[str, ...]
) -> None:
    with pytest.raises(cp.UsageError) as caught:
        ask(audit)
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda a: a.specifity, "an audit has no 'specifity'; there are .*specificity.*did you mean 'specificity'"),
        (lambda a: a.scores.msee, "a model has no 'msee'; there are .*did you mean 'mse'"),
        (lambda a: a.latent("z0").mse, "a latent has no 'mse'; there are ces, specificity"),
    ],
)
def test_misspelt_figures_are_told_with_what_there_is(
    audit: Audited, ask: Callable[[Audited], object], said: str
) -> None:
    with pytest.raises(AttributeError, match=said):
        ask(audit)


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.ces["z0"],
        lambda a: a.latent("z0").specificity,
        lambda a: a.latent_for("income"),
        lambda a: a.scores.completeness["body"],
        lambda a: a.scores.fgd,
    ],
)
def test_figures_of_a_level_that_was_not_run_say_which(ask: Callable[[Audited], object]) -> None:
    shallow = Audited(make_report(Shape(levels=(1,))))
    with pytest.raises(cp.UsageError, match="level 2"):
        ask(shallow)
    shallow.latent("z0").kl.at_least(0.5)


def test_what_pytest_prints_of_it_is_short(audit: Audited) -> None:
    assert repr(audit) == "<audit of vae.pt on people.csv>"
    assert repr(audit.ces["z1"]) == "<ces of z1: 0.2 [0.18, 0.22]>"
    assert repr(audit.latent("z1")) == "<latent z1>"


# baselines


def test_the_same_audit_passes(audit: Audited, report: AuditReport, baseline: Path) -> None:
    gates = (CES, cp.Gate("mse", max_drop=cp.Drop(0.3, relative=True)))
    no_warning(lambda: assert_no_regression(audit, baseline, gates=gates))
    no_warning(lambda: cp.assert_no_regression(report, str(baseline), gates=list(gates), strict=True))


def test_a_regression_fails_with_latent_interval_and_counts(report: AuditReport, baseline: Path) -> None:
    worse = with_latent(report, "z1", ces=estimate(0.05))
    with pytest.raises(AssertionError) as caught:
        assert_no_regression(worse, baseline, gates=(CES,))
    head, *rest = str(caught.value).splitlines()
    assert head == "vae.pt against baseline.json: 1 regressed, 0 inconclusive, 2 passed, gates from the test"
    assert len(rest) == 1
    assert rest[0].startswith(
        "  regression: ces of z1 went from 0.2 [0.18, 0.22] to 0.05 [0.04, 0.06], a change of -0.15 ["
    )
    assert rest[0].endswith("; demanded: falls by 30% (0.06) at most")


def test_a_single_gate_and_a_gate_file(report: AuditReport, baseline: Path) -> None:
    worse = with_latent(report, "z1", ces=estimate(0.05))
    with pytest.raises(AssertionError, match="1 regressed"):
        assert_no_regression(worse, baseline, gates=CES)
    lenient = 'level = "warn"\n'
    text = '[[gate]]\nmetric = "ces"\nlatent = "z1"\nmin = 0.15\n'
    Path("mine.toml").write_text(text)
    Path("circuitprobe.toml").write_text(text + lenient)
    with pytest.raises(AssertionError, match=r"gates from mine.toml\n  regression: ces of z1 is 0.05"):
        assert_no_regression(worse, baseline, gates="mine.toml")
    with pytest.warns(RegressionWarning, match=r"^regression: ces of z1 is 0.05") as caught:
        assert_no_regression(worse, baseline)
    assert [entry.filename for entry in caught] == [__file__]


def test_without_a_configuration_the_default_gate_decides(report: AuditReport, baseline: Path) -> None:
    worse = report.model_copy(
        update={"reconstruction": report.reconstruction.model_copy(update={"mse": estimate(0.3)})}
    )
    with pytest.raises(AssertionError, match=r"gates from the default gate\n  regression: mse went from 0.1"):
        assert_no_regression(worse, baseline)


def test_undecided_gates_warn_and_fail_where_that_is_asked_for(audit: Audited, baseline: Path) -> None:
    close = cp.Gate("ces", latent="z0", low=0.41)
    with pytest.warns(InconclusiveWarning, match=r"^inconclusive: ces of z0 is 0.4") as caught:
        assert_no_regression(audit, baseline, gates=(close,))
    assert [entry.filename for entry in caught] == [__file__]
    with pytest.raises(
        AssertionError, match=r"0 regressed, 1 inconclusive, 0 passed.*\n  inconclusive: ces of z0 is 0.4"
    ):
        assert_no_regression(audit, baseline, gates=(close,), strict=True)


def test_rows_that_spread_otherwise_are_told(report: AuditReport, baseline: Path) -> None:
    first, *others = report.data.features
    wider = report.data.model_copy(update={"features": (first.model_copy(update={"std": 1.5}), *others)})
    drifted = report.model_copy(update={"data": wider})
    gate = cp.Gate("mse", high=0.5)
    with pytest.warns(DriftWarning, match="height 1.5 times") as caught:
        assert_no_regression(drifted, baseline, gates=gate)
    assert [entry.filename for entry in caught] == [__file__]
    with pytest.raises(
        AssertionError, match="\n  note: standard deviations in the new rows against the baseline's: height"
    ):
        assert_no_regression(drifted, baseline, gates=cp.Gate("mse", high=0.05))


def test_a_missing_baseline_says_where_it_was_looked_for(audit: Audited, baseline: Path) -> None:
    with pytest.raises(cp.UsageError) as caught:
        assert_no_regression(audit, "basline.json")
    assert str(Path.cwd()) in caught.value.seen
    assert caught.value.fix == "pytest --circuitprobe-update"


def test_audits_of_other_features_are_not_compared(baseline: Path) -> None:
    other = make_report(Shape(groups=(("body", ("height", "age")),)))
    with pytest.raises(cp.NotComparable, match="features: age against city, income, smoker, weight in") as caught:
        assert_no_regression(other, baseline)
    assert caught.value.fix == "pytest --circuitprobe-update, where the change is meant"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("gates", [(), cp.Gate("cse", low=0.1), "none.toml", cp.Gate("ces", latent="z9", low=0.1)])
def test_gates_that_make_no_sense_are_no_pass(audit: Audited, baseline: Path, gates: Any) -> None:
    with pytest.raises(cp.CircuitProbeError):
        assert_no_regression(audit, baseline, gates=gates)
