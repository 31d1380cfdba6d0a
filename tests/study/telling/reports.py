"""Study reports of made-up runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from study.findings.study_runs import grid

from circuitprobe.study.records import RunRecord
from circuitprobe.study.telling.model import StudyReport
from circuitprobe.study.telling.report import FailedRun, PlannedRun, RunVersions, study_report


def planned_of(records: Sequence[RunRecord]) -> list[PlannedRun]:
    return [PlannedRun(record.arch, record.benchmark, record.seed) for record in records]


def small_grid() -> list[RunRecord]:
    """Two architectures on a table and on images, three seeds: twelve runs."""
    return grid(archs=("vae", "beta-vae"), benchmarks=("adult", "dsprites"))


@cache
def full_study() -> StudyReport:
    """Of the full grid."""
    return make_study(grid())


def make_study(
    records: Sequence[RunRecord] | None = None,
    *,
    more: Sequence[PlannedRun] = (),
    failed: Sequence[FailedRun] = (),
    versions: Sequence[RunVersions] = (),
) -> StudyReport:
    """The full grid, unless records are given; ``more`` was planned beside them."""
    runs = small_grid() if records is None else list(records)
    return study_report(
        runs,
        planned=[*planned_of(runs), *more],
        failed=failed,
        plan={"steps": 2000, "archs": ["vae"]},
        versions=versions,
    )
