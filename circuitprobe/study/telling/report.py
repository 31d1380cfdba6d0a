"""A study's report, made of its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitprobe.report.model import METHOD_VERSION
from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.auc import auc_finding
from circuitprobe.study.findings.collapse import collapse_finding
from circuitprobe.study.findings.differences import differences_finding
from circuitprobe.study.findings.means import mean_of
from circuitprobe.study.findings.modularity import modularity_finding
from circuitprobe.study.findings.power import power_of
from circuitprobe.study.records import METRICS, RunRecord, in_order
from circuitprobe.study.telling.model import (
    Cell,
    CellFigure,
    Failure,
    Findings,
    Runs,
    StudyReport,
    VersionCount,
)
from circuitprobe.study.telling.warnings import study_warnings

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True, order=True)
class PlannedRun:
    """A run that a study was to make."""

    arch: str
    benchmark: str
    seed: int

    @property
    def name(self) -> str:
        """As a record's."""
        return f"{self.arch} on {self.benchmark}, seed {self.seed}"


@dataclass(frozen=True)
class FailedRun:
    """A run that ended with an error.

    Attributes:
        run: which one.
        error: its message, without paths and host names.
    """

    run: PlannedRun
    error: str


@dataclass(frozen=True)
class RunVersions:
    """The packages that a finished run was made with.

    Attributes:
        run: which one.
        packages: names with versions.
    """

    run: PlannedRun
    packages: tuple[tuple[str, str], ...]


def study_report(
    records: Sequence[RunRecord],
    *,
    planned: Sequence[PlannedRun],
    failed: Sequence[FailedRun] = (),
    plan: Mapping[str, JsonValue],
    versions: Sequence[RunVersions] = (),
) -> StudyReport:
    """Compute the four findings, their verdicts, power and the tables.

    Args:
        records: of the runs that finished, in any order.
        planned: all runs that were to be made.
        failed: those that ended with an error and were not made again.
        plan: what the study was asked to do, as JSON: goes into the report as it is.
        versions: of the packages that the finished runs were made with.

    Raises:
        UsageError: two records are of one run.
    """
    from circuitprobe import __version__

    ordered = in_order(records)
    findings = Findings(
        modularity=modularity_finding(ordered),
        collapse=collapse_finding(ordered),
        differences=differences_finding(ordered),
        auc=auc_finding(ordered),
    )
    runs, counts = _runs(ordered, planned, failed), _versions(versions)
    unplanned = sorted({record.name for record in ordered} - {run.name for run in planned})
    return StudyReport(
        circuitprobe_version=__version__,
        method_version=METHOD_VERSION,
        plan=dict(plan),
        runs=runs,
        versions=counts,
        warnings=study_warnings(ordered, runs, counts, unplanned),
        findings=findings,
        power=power_of(ordered, findings.differences.runs.made),
        cells=_cells(ordered),
    )


def _runs(records: Sequence[RunRecord], planned: Sequence[PlannedRun], failed: Sequence[FailedRun]) -> Runs:
    done = {record.name for record in records}
    failures = {entry.run: entry.error for entry in failed if entry.run.name not in done}
    missing = sorted(run for run in set(planned) if run.name not in done and run not in failures)
    return Runs(
        planned=len(set(planned)),
        finished=len(records),
        failed=len(failures),
        missing=len(missing),
        failures=tuple(
            Failure(arch=run.arch, benchmark=run.benchmark, seed=run.seed, error=failures[run])
            for run in sorted(failures)
        ),
        missing_runs=tuple(run.name for run in missing),
    )


def _versions(versions: Sequence[RunVersions]) -> tuple[VersionCount, ...]:
    counts = Counter(package for entry in versions for package in entry.packages)
    return tuple(
        VersionCount(package=package, version=version, runs=runs) for (package, version), runs in sorted(counts.items())
    )


def _cells(records: Sequence[RunRecord]) -> tuple[Cell, ...]:
    return tuple(
        _cell(arch, benchmark, cell)
        for benchmark in of.benchmarks_of(records)
        for arch in of.archs_of(records)
        if (cell := of.of_arch(of.of_benchmark(records, benchmark), arch))
    )


def _cell(arch: str, benchmark: str, runs: Sequence[RunRecord]) -> Cell:
    figures = []
    for metric in METRICS:
        mean = mean_of("", of.values(runs, metric))
        figures.append(CellFigure(metric=metric, mean=mean.mean, sd=mean.sd))
    return Cell(
        arch=arch,
        benchmark=benchmark,
        modality=runs[0].modality,
        seeds=tuple(run.seed for run in runs),
        reconstruct=sum(run.reconstructs for run in runs),
        figures=tuple(figures),
    )
