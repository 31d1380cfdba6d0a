"""What a study's files hold, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from circuitprobe.errors import UsageError
from circuitprobe.report import AuditReport
from circuitprobe.report.sampled import validated
from circuitprobe.study.archive import Files, files_of
from circuitprobe.study.jobs import StudyJob
from circuitprobe.study.perform import AUDIT, RECORD, Failure, Record
from circuitprobe.study.plan import FILE, Plan, modality_of, plan_of
from circuitprobe.study.records import RunRecord, record_of
from circuitprobe.study.store import FAILED, FINISHED


@dataclass(frozen=True)
class Gathered:
    """A study as far as it is.

    Attributes:
        plan: what it is.
        records: figures of finished runs, in the plan's order.
        failed: why others failed, by name.
        missing: names of runs that have not ended.
        versions: of the packages that each finished run was made with, by name.
    """

    plan: Plan
    records: tuple[RunRecord, ...]
    failed: dict[str, Failure]
    missing: tuple[str, ...]
    versions: dict[str, dict[str, str]]


def gather(path: Path) -> Gathered:
    """Read a study's folder or archive.

    Raises:
        UsageError: it is no study, or a file in it is damaged.
    """
    with files_of(path) as files:
        plan = _plan(files, path)
        found, failed, missing, versions = [], {}, [], {}
        for job in plan.jobs():
            record = _record(files, f"{FINISHED}/{job.name}")
            before = None if record is not None else _record(files, f"{FAILED}/{job.name}")
            if record is not None:
                _check_settings(record, job)
                found.append(_figures(files, job))
                versions[job.name] = record.versions
            elif before is not None and before.failure is not None and before.digest == job.digest:
                failed[job.name] = before.failure
            else:
                missing.append(job.name)
    return Gathered(plan, tuple(found), failed, tuple(missing), versions)


def job_names(files: Files, path: Path) -> tuple[str, ...]:
    """The runs that a study's plan names."""
    return tuple(job.name for job in _plan(files, path).jobs())


def _plan(files: Files, path: Path) -> Plan:
    text = files.read(FILE)
    if text is None:
        raise UsageError(
            f"{path} has no {FILE}", expected="a study's folder or archive", fix="circuitprobe study run --out"
        )
    return plan_of(text, f"{path.name}/{FILE}")


def _record(files: Files, place: str) -> Record | None:
    text = files.read(f"{place}/{RECORD}")
    if text is None:
        return None
    try:
        return validated(Record, text)
    except ValueError as error:
        raise UsageError(
            f"{place}/{RECORD} is damaged", expected="what a run wrote", fix="remove its folder, and study run again"
        ) from error


def _check_settings(record: Record, job: StudyJob) -> None:
    if record.digest != job.digest:
        raise UsageError(
            f"{job.name} was made with other settings than {FILE} has",
            expected="a study file that is as it was, but for entries added to its grid",
            fix=f"undo the change of {FILE}",
        )


def _figures(files: Files, job: StudyJob) -> RunRecord:
    text = files.read(f"{FINISHED}/{job.name}/{AUDIT}")
    if text is None:
        raise UsageError(
            f"{job.name} has no {AUDIT}", expected="what a run wrote", fix="remove its folder, and study run again"
        )
    report = AuditReport.of_json(text, f"{job.name}/{AUDIT}")
    return record_of(report, job.arch, job.benchmark, modality_of(job.benchmark), job.seed)
