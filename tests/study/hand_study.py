"""A study's folder whose audits were put together by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from report.builders import Shape, e, make_report
from study.small_jobs import failed, finished

from circuitprobe.report.model import Downstream
from circuitprobe.report.resamples import pack
from circuitprobe.study.defaults import default_plan
from circuitprobe.study.jobs import StudyJob
from circuitprobe.study.perform import write_record
from circuitprobe.study.plan import FILE, Grid, Plan, write_plan

GRID = Grid(architectures=("vae", "beta-vae"), benchmarks=("german_credit", "dsprites"), seeds=(0, 1))
LEFT_OUT, FAILED = "german_credit-vae-1", "dsprites-beta-vae-1"


def scores_of(job: StudyJob) -> dict[str, float]:
    """Figures that differ from run to run and are known."""
    table = job.benchmark == "german_credit"
    return {
        "ces": (0.1 if table else 0.4) + (0.05 if job.arch == "vae" else 0.0) + 0.01 * job.seed,
        "modularity": (0.3 if table else 0.6) + 0.02 * job.seed,
        "specificity": 0.2 + 0.1 * job.seed,
        "fgd_adjusted": 0.1,
    }


def hand_study(folder: Path, *, whole: bool = True) -> Plan:
    """Write eight runs; not ``whole``: one is missing and one has failed."""
    plan = default_plan(GRID, steps=10)
    folder.mkdir(parents=True)
    write_plan(plan, folder / FILE)
    for number, job in enumerate(plan.jobs()):
        if not whole and job.name == LEFT_OUT:
            continue
        lost = not whole and job.name == FAILED
        place = folder / ("failed" if lost else "runs") / job.name
        place.mkdir(parents=True)
        if lost:
            write_record(failed(job, "the loss is nan"), place)
            continue
        made = make_report(Shape(levels=(2,)))
        assert made.scores is not None
        scores = made.scores.model_copy(update={name: e(value) for name, value in scores_of(job).items()})
        drawn = np.random.default_rng(number).normal(scores.ces.value, 0.01, size=1000)
        ends = dict(zip(("low", "high"), map(float, np.quantile(drawn, [0.025, 0.975])), strict=True))
        scores = scores.model_copy(update={"ces": replace(scores.ces, **ends)})
        told = Downstream(target="y", classes=("a", "b"), auc=e(0.6 + 0.02 * number))
        report = made.model_copy(
            update={"scores": scores, "downstream": told, "resamples": pack({"ces": (scores.ces.value, drawn)})}
        )
        report.to_json(place / "audit.json")
        (place / "model.pt").write_bytes(b"weights")
        write_record(finished(job), place)
    return plan
