"""What a record takes from an audit, and what becomes of records that are no good."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from report.builders import Shape, make_report
from study.findings.study_runs import run

from circuitprobe.errors import UsageError
from circuitprobe.report.model import Downstream
from circuitprobe.study.records import METRICS, Metric, in_order, record_of
from circuitprobe.types import Estimate


def test_figures_are_the_audit_s() -> None:
    report = make_report()
    assert report.scores is not None
    auc = Estimate(0.81, 0.8, 0.82, 500, 0.5)
    scores = report.scores.model_copy(update={"active_latents": 3, "calibration_ratio": Estimate(1.7, 1.6, 1.8, 500)})
    told = report.model_copy(
        update={"scores": scores, "downstream": Downstream(target="income", classes=("high", "low"), auc=auc)}
    )
    record = record_of(told, "beta-vae", "adult", "table", 2)
    assert (record.arch, record.benchmark, record.modality, record.seed) == ("beta-vae", "adult", "table", 2)
    assert record.reconstructs
    assert record.figure("mse") == 0.1
    assert record.figure("mse_share") == 0.1 / 1.0
    assert record.figure("auc") == 0.81
    assert record.figure("active_latents") == 3
    assert record.figure("calibration_ratio") == 1.7
    for metric in ("ces", "ces_active", "ces_prior", "specificity", "modularity", "fgd", "fgd_adjusted"):
        assert record.figure(metric) == getattr(scores, metric).value


def test_share_is_of_the_null_value() -> None:
    report = make_report()
    assert report.reconstruction is not None
    rebuilt = report.reconstruction.model_copy(update={"mse": Estimate(0.3, 0.2, 0.4, 500, 0.6), "reconstructs": False})
    record = record_of(report.model_copy(update={"reconstruction": rebuilt}), "vae", "adult", "table", 0)
    assert record.figure("mse_share") == pytest.approx(0.5)
    assert not record.reconstructs


def test_every_metric_has_an_entry_and_what_was_not_measured_is_undefined() -> None:
    bare = make_report(Shape(levels=(1,))).model_copy(update={"downstream": None, "reconstruction": None})
    record = record_of(bare, "vae", "adult", "table", 0)
    assert set(record.figures) == set(METRICS) == set(get_args(Metric))
    assert all(record.figure(metric) is None for metric in METRICS)
    assert not record.reconstructs


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_no_finite_number_is_undefined(value: float | None) -> None:
    assert run({"ces": value}).figure("ces") is None
    assert run({}).figure("ces") is None


def test_two_results_of_one_run_are_refused() -> None:
    with pytest.raises(UsageError, match="two results of one run: vae on adult, seed 1"):
        in_order([run({"ces": 0.1}, seed=1), run({"ces": 0.1}, seed=0), run({"ces": 0.2}, seed=1)])
