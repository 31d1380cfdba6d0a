"""How long a study will still take, from how long its finished runs took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import Record
from circuitprobe.study.plan import modality_of

STEP = {"table": 0.006, "image": 0.35}
AUDIT = {"table": 10.0, "image": 100.0}
LONGER = {"beta-tcvae": 2.0, "factor-vae": 1.5}
"""Seconds on one core as first seen, and what an objective costs beside a VAE's: a first guess, scaled by what is measured."""


def seconds_left(
    jobs: Sequence[StudyJob | AuditJob], ended: Mapping[str, Record], elapsed: Mapping[str, float], workers: int
) -> float | None:
    """Seconds until the last run ends; None before a run has.

    Args:
        jobs: all runs.
        ended: records of those that have ended.
        elapsed: seconds that runs at work have taken so far.
        workers: how many run at a time.
    """
    took = {name: sum(record.seconds.values()) for name, record in ended.items() if record.seconds}
    known = [job for job in jobs if job.name in took]
    if not known:
        return None
    alike: dict[tuple[str, str], list[float]] = {}
    for job in known:
        alike.setdefault(_kind(job), []).append(took[job.name])
    scale = sum(took[job.name] for job in known) / sum(_guess(job) for job in known)

    def expected(job: StudyJob | AuditJob) -> float:
        same = alike.get(_kind(job))
        return mean(same) if same else scale * _guess(job)

    left = [max(expected(job) - elapsed.get(job.name, 0.0), 0.0) for job in jobs if job.name not in ended]
    return max(sum(left) / max(workers, 1), max(left, default=0.0))


def _kind(job: StudyJob | AuditJob) -> tuple[str, str]:
    return (job.arch, job.benchmark) if isinstance(job, StudyJob) else ("", job.data)


def _guess(job: StudyJob | AuditJob) -> float:
    if isinstance(job, AuditJob):
        return 1.0
    modality = modality_of(job.benchmark)
    return job.training.steps * STEP[modality] * LONGER.get(job.arch, 1.0) + AUDIT[modality]
