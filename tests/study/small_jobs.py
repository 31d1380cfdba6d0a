"""Jobs that nobody carries out, for what looks after jobs."""

from __future__ import annotations

from pathlib import Path

from circuitprobe.study.jobs import AuditJob, AuditOptions, ModelOptions, StudyJob, TrainingOptions
from circuitprobe.study.perform import Failure, Record, write_record

AUDIT = AuditOptions(
    rows=60, seed=0, levels=(2,), intervention_values=8, resamples=10, permutations=10, truth_rows=0
)  # fmt: skip
TRAINING = TrainingOptions(
    steps=10, batch=64, lr=1e-3, patience=0, latents=3, hidden=(8,), rows=200, strength=None
)  # fmt: skip


def study_job(
    arch: str = "vae", benchmark: str = "german_credit", seed: int = 0, steps: int = 10, strength: float | None = None
) -> StudyJob:
    """A tiny run."""
    training = TRAINING.model_copy(update={"steps": steps, "strength": strength})
    return StudyJob(arch=arch, benchmark=benchmark, seed=seed, training=training, audit=AUDIT)


def audit_job(label: str, model: Path | str = "model.pt", data: str = "data.csv") -> AuditJob:
    """An audit of a user's model."""
    return AuditJob(label=label, model=str(model), data=data, options=ModelOptions(), audit=AUDIT)


def seeds(count: int) -> tuple[StudyJob, ...]:
    """Runs that differ in their seed alone."""
    return tuple(study_job(seed=seed) for seed in range(count))


def finished(job: StudyJob | AuditJob, seconds: float = 1.0) -> Record:
    """As a run writes it that came to its end."""
    return Record(name=job.name, digest=job.digest, status="finished", seconds={"training": seconds})


def failed(job: StudyJob | AuditJob, seen: str = "no such column") -> Record:
    """As a run writes it that met an error of its own."""
    return Record(name=job.name, digest=job.digest, status="failed", failure=Failure(kind="error", seen=seen))


def end(record: Record, folder: Path, audit: str = "{}") -> None:
    """Leave in a folder what a run does, the record last."""
    (folder / "audit.json").write_text(audit, encoding="utf-8")
    write_record(record, folder)
