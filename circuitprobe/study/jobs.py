"""What one run is given: everything that decides its result, as plain values that cross to other processes and machines."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Levels = tuple[Literal[1, 2, 3, 4], ...]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """A hash over all of it: a finished run with the same digest is not made again."""
        return hashlib.sha256(self.model_dump_json().encode("utf-8")).hexdigest()


class TrainingOptions(_Given):
    """Arguments of ``circuitprobe.train``; ``strength`` is the architecture's own hyperparameter."""

    steps: int
    batch: int
    lr: float
    patience: int
    latents: int
    hidden: tuple[int, ...]
    rows: int | None
    strength: float | None


class AuditOptions(_Given):
    """Arguments of ``circuitprobe.audit`` that every run of a study has."""

    rows: int
    seed: int
    levels: Levels
    intervention_values: int
    resamples: int
    permutations: int
    truth_rows: int


class StudyJob(_Given):
    """Train a reference model on a benchmark and audit it there."""

    kind: Literal["study"] = "study"
    arch: str
    benchmark: str
    seed: int
    training: TrainingOptions
    audit: AuditOptions

    @property
    def name(self) -> str:
        """Its folder: ``adult-beta-vae-0``."""
        return f"{self.benchmark}-{self.arch}-{self.seed}"

    @property
    def steps(self) -> int:
        """How long it may take, in gradient steps."""
        return self.training.steps


class ModelOptions(_Given):
    """How a user's model and rows are read; arguments of ``circuitprobe.load`` and ``circuitprobe.audit``."""

    target: str | None = None
    groups: str | None = None
    schema_file: str | None = None
    condition: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    array: str | None = None
    grid: int | None = None
    pixels: str | None = None
    spec: str | None = None
    factory: str | None = None
    trust: bool = False
    imports: tuple[str, ...] = ()
    entry: str | None = None


class AuditJob(_Given):
    """Audit a user's model on a user's rows. Paths are as given, or relative to the folder that the files were sent to."""

    kind: Literal["audit"] = "audit"
    label: str
    model: str
    data: str
    options: ModelOptions
    audit: AuditOptions
    fingerprints: tuple[tuple[str, str], ...] = Field(
        default=(), description="files with a hash, or size and time, of each: a changed file is another job"
    )

    @property
    def name(self) -> str:
        """Its folder: the model's file name."""
        return self.label

    @property
    def steps(self) -> int:
        """How long it may take; audits of one table take about as long as one another."""
        return 1


Job = Annotated[StudyJob | AuditJob, Field(discriminator="kind")]
_JOB: TypeAdapter[StudyJob | AuditJob] = TypeAdapter(Job)


def job_from_json(text: str | bytes) -> StudyJob | AuditJob:
    """A job from what ``model_dump_json`` made of it."""
    return _JOB.validate_json(text)
