"""One run, from a job to its files: the same code in a process of this machine and on a node of a cluster."""

from __future__ import annotations

import errno
import logging
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from circuitprobe import __version__
from circuitprobe.errors import CircuitProbeError
from circuitprobe.report.files import write_atomically
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.versions import versions

if TYPE_CHECKING:
    from circuitprobe.reference_models import StepLosses, TrainedModel
    from circuitprobe.report import AuditReport

MODEL, AUDIT, LOG, RECORD = "model.pt", "audit.json", "log.txt", "run.json"
OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE}
)
"""What the next run would fail of too: the study stops, and the run is not counted as failed."""


class Failure(BaseModel):
    """Why a run failed: the three parts of an error message, or what an unexpected exception said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["error", "lost", "defect"]
    seen: str
    expected: str = ""
    fix: str = ""

    @property
    def text(self) -> str:
        """In one line."""
        return self.seen


class Record(BaseModel):
    """How a run ended: the last file that it writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    status: Literal["finished", "failed"]
    failure: Failure | None = None
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}


class Tell(Protocol):
    """Is told how far a run is."""

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """``done`` of ``total`` of a phase are done; None where nobody knows how many there are."""


class MachineError(Exception):
    """The machine, not the run: a full disk, no permission. The message is the operating system's."""


def perform(job: StudyJob | AuditJob, folder: Path, tell: Tell) -> Record:
    """Make a run, or go on with it, in a folder of its own.

    Args:
        job: what to do.
        folder: gets checkpoint, audit, log and, last, the record.
        tell: progress.

    Returns:
        The record, also of a run that failed.

    Raises:
        MachineError: a file could not be written or read for want of room or permission.
    """
    for left in folder.glob(".*.tmp"):
        # half a file, of an attempt that was killed while it wrote
        left.unlink(missing_ok=True)
    with _logged(folder / LOG) as log:
        began = time.monotonic()
        log.info("%s: circuitprobe %s", job.name, __version__)
        try:
            with _one_thread():
                seconds = (
                    _study(job, folder, tell, log) if isinstance(job, StudyJob) else _audit(job, folder, tell, log)
                )
            record = _record(job, "finished", seconds, None)
        except Exception as error:
            _raise_the_machines(error)
            log.exception("failed after %.0f s", time.monotonic() - began)
            record = _record(job, "failed", {}, _failure(error))
    write_record(record, folder)
    return record


def write_record(record: Record, folder: Path) -> None:
    """Write a record; with it the run has ended.

    Raises:
        MachineError: it could not be written.
    """
    try:
        write_atomically(folder / RECORD, lambda handle: handle.write(record.model_dump_json(indent=1).encode("utf-8")))
    except CircuitProbeError as error:
        raise MachineError(error.seen) from error


def _study(job: StudyJob, folder: Path, tell: Tell, log: logging.Logger) -> dict[str, float]:
    from circuitprobe.adapters.benchmarks import benchmark, image_benchmark
    from circuitprobe.study.plan import modality_of

    began = time.monotonic()
    trained = _trained(job, folder, tell)
    middle = time.monotonic()
    for entry in trained.log:
        log.info("step %d: loss %.4f, validation loss %.4f", entry.step, entry.total, entry.validation)
    log.info("training ended (%s), weights of step %d", trained.ended, trained.best_step)
    images = modality_of(job.benchmark) == "image"
    declared = image_benchmark(job.benchmark) if images else benchmark(job.benchmark)
    from circuitprobe.auditing import audit

    asked = job.audit
    report = audit(
        folder / MODEL, job.benchmark, target=declared.target, rows=asked.rows, seed=asked.seed, levels=asked.levels,
        n_values=asked.intervention_values, resamples=asked.resamples, permutations=asked.permutations,
        # known: reference models are trained on intensities from 0 to 1
        pixels="unit" if images else None,
        truth_rows=asked.truth_rows, progress=_AuditProgress(tell),
    )  # fmt: skip
    _keep(report, folder, log)
    return {"training": round(middle - began, 1), "audit": round(time.monotonic() - middle, 1)}


def _trained(job: StudyJob, folder: Path, tell: Tell) -> TrainedModel:
    """Train, or go on with a training that was cut off; a checkpoint that nothing can be made of is begun anew."""
    from circuitprobe.reference_models import train

    how, own = job.training, job.training.strength

    def run() -> TrainedModel:
        return train(
            job.benchmark, arch=job.arch, steps=how.steps, batch=how.batch, lr=how.lr, patience=how.patience,
            latents=how.latents, hidden=how.hidden or None, rows=how.rows, seed=job.seed, out=folder / MODEL, resume=True,
            beta=own if job.arch in {"beta-vae", "beta-tcvae"} else None,
            gamma=own if job.arch == "factor-vae" else None,
            lambda_od=own if job.arch == "dip-vae-ii" else None,
            progress=_TrainingProgress(tell),
        )  # fmt: skip

    if not any(folder.glob(f"{MODEL}*")):
        return run()
    try:
        return run()
    except CircuitProbeError as error:
        _raise_the_machines(error)
        for left in folder.glob(f"{MODEL}*"):
            left.unlink(missing_ok=True)
        return run()


def _audit(job: AuditJob, folder: Path, tell: Tell, log: logging.Logger) -> dict[str, float]:
    from circuitprobe.auditing import audit
    from circuitprobe.loading import load

    began = time.monotonic()
    how, asked = job.options, job.audit
    vae = load(
        job.model,
        factory=how.factory,
        spec=how.spec,
        trust=how.trust,
        imports=how.imports,
        entry=how.entry,
    )
    report = audit(
        vae, job.data, target=how.target, groups=how.groups, schema=how.schema_file, condition=how.condition,
        ignore=how.ignore or None, array=how.array, grid=how.grid, pixels=how.pixels, rows=asked.rows, seed=asked.seed,
        levels=asked.levels, n_values=asked.intervention_values, resamples=asked.resamples, permutations=asked.permutations,
        truth_rows=asked.truth_rows, progress=_AuditProgress(tell),
    )  # fmt: skip
    _keep(report, folder, log)
    return {"audit": round(time.monotonic() - began, 1)}


def _keep(report: AuditReport, folder: Path, log: logging.Logger) -> None:
    report.to_json(folder / AUDIT)
    for sentence in report.verdict:
        log.info("%s", sentence)
    for warning in report.warnings:
        log.info("warning: %s", warning.message)


def _record(
    job: StudyJob | AuditJob, status: Literal["finished", "failed"], seconds: dict[str, float], failure: Failure | None
) -> Record:
    return Record(
        name=job.name, digest=job.digest, status=status, failure=failure, seconds=seconds, versions=versions()
    )


def _failure(error: Exception) -> Failure:
    if isinstance(error, CircuitProbeError):
        return Failure(kind="error", seen=error.seen, expected=error.expected, fix=error.fix)
    if isinstance(error, MemoryError):
        return Failure(
            kind="error", seen="out of memory", expected="memory for a run on each worker", fix="fewer --workers"
        )
    last = "".join(traceback.format_exception_only(error)).strip()
    return Failure(
        kind="defect", seen=f"internal error, {last}", expected="this never to happen", fix=f"report it with {LOG}"
    )


def _raise_the_machines(error: BaseException) -> None:
    """Raise what is the machine's; an error of ours may have the operating system's as its cause."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in OF_THE_MACHINE:
            raise MachineError(f"{seen.strerror}{f': {seen.filename}' if seen.filename else ''}") from error
        seen = seen.__cause__


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch: results do not depend on how many cores a machine has, and runs do not get in each other's way."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _logged(path: Path) -> Iterator[logging.Logger]:
    """A log file of one run; Python's warnings go there too."""
    log = logging.Logger(path.parent.name)
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{error.strerror}: {path}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: log.info("Python warns: %s", message)
            yield log
    finally:
        # what the disk had no room for cannot be written now either, and that is no error of the run
        with suppress(OSError):
            handler.close()


class _TrainingProgress:
    """Passes a training's progress on."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.total, self.done = tell, 0, 0

    def start(self, total_steps: int, done: int = 0, batch: int = 1) -> None:  # noqa: ARG002 - the protocol's
        """See ``TrainingProgress``."""
        self.total, self.done = total_steps, done
        self.tell("training", done, total_steps)

    def advance(self, steps: int, losses: StepLosses) -> None:  # noqa: ARG002 - the protocol's
        """See ``TrainingProgress``."""
        self.done += steps
        self.tell("training", self.done, self.total)

    def close(self) -> None:
        """See ``TrainingProgress``."""


class _AuditProgress:
    """Passes an audit's progress on."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    @contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Callable[..., None]]:
        """See ``Progress``."""
        self.tell(name, 0, total)
        count = 0

        def tick(done: int | None = None) -> None:
            nonlocal count
            count = count + 1 if done is None else done
            self.tell(name, count, total)

        yield tick
