"""The harmless files that attacks are made of, and one process that commands are forked from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import circuitprobe as cp
from circuitprobe.checking import make_baseline
from hostile.corpus import Harmless
from hostile.running import Commands, commands


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, csv: Path) -> Harmless:
    """A small model, its table, its audit, a baseline and a study of one run."""
    from report.builders import Shape, make_report
    from study.small_jobs import finished

    from circuitprobe.study.defaults import default_plan
    from circuitprobe.study.perform import write_record
    from circuitprobe.study.plan import FILE, Grid, write_plan

    folder = tmp_path_factory.mktemp("good")
    report = cp.audit(checkpoint, csv, target="label", levels=(2,), rows=120, resamples=200, twin=False)
    report.to_json(folder / "audit.json")
    make_baseline(folder / "audit.json", folder / "base.json")
    plan = default_plan(Grid(architectures=("vae",), benchmarks=("german_credit",), seeds=(0,)), steps=10)
    study = folder / "study"
    study.mkdir()
    write_plan(plan, study / FILE)
    for job in plan.jobs():
        place = study / "runs" / job.name
        place.mkdir(parents=True)
        make_report(Shape(levels=(2,))).to_json(place / "audit.json")
        write_record(finished(job), place)
    return Harmless(folder, checkpoint, csv, folder / "audit.json", folder / "base.json", study)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """The command line."""
    with commands(tmp_path_factory.mktemp("printed")) as started:
        yield started
