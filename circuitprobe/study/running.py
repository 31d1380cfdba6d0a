"""Many runs to their ends: what is finished stays, what is lost is tried again, what fails stops nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from circuitprobe.errors import UsageError
from circuitprobe.study.executor import Ended, Event, Executor, Lost, Progress, Stuck
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import MachineError, Record
from circuitprobe.study.store import Standing, Store

ATTEMPTS = 3
"""How often a run is begun whose worker is lost, before it counts as failed."""

WAIT = 0.25

Job = StudyJob | AuditJob


class Watcher(Protocol):
    """Is told what happens to a study's runs."""

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        """These are the runs; some have ended in an earlier session."""

    def started(self, job: Job) -> None:
        """A run is at work."""

    def progress(self, progress: Progress) -> None:
        """A run is so far."""

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        """A run's worker is gone; it will be tried again."""

    def ended(self, job: Job, record: Record) -> None:
        """A run is finished or has failed."""

    def tick(self) -> None:
        """Time has passed."""


class Silent:
    """A watcher that nobody listens to."""

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        """See ``Watcher``."""

    def started(self, job: Job) -> None:
        """See ``Watcher``."""

    def progress(self, progress: Progress) -> None:
        """See ``Watcher``."""

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        """See ``Watcher``."""

    def ended(self, job: Job, record: Record) -> None:
        """See ``Watcher``."""

    def tick(self) -> None:
        """See ``Watcher``."""


@dataclass(frozen=True)
class Outcome:
    """How all runs ended, by name.

    Attributes:
        finished: records.
        failed: likewise.
    """

    finished: dict[str, Record]
    failed: dict[str, Record]


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    executor: Callable[[], Executor],
    watcher: Watcher,
    *,
    retry_failed: bool = False,
) -> Outcome:
    """Make the runs that are not finished yet.

    Args:
        jobs: all of them, the first to begin first.
        store: their folder, locked by the caller.
        executor: makes what carries them out; called only where something is left to do.
        watcher: is told.
        retry_failed: runs that failed of themselves in an earlier session are tried again.

    Raises:
        UsageError: the machine cannot go on (a full disk); what is finished stays.
    """
    with _of_the_machine():
        standing = store.standing(jobs, retry_failed=retry_failed)
    if not standing.left:
        watcher.begin(jobs, standing, 0)
        return Outcome(standing.finished, standing.failed)
    carrying = executor()
    try:
        watcher.begin(jobs, standing, carrying.workers)
        return _Running(store, carrying, watcher, standing).to_the_end()
    finally:
        carrying.stop()


class _Running:
    """The runs of one session."""

    def __init__(self, store: Store, executor: Executor, watcher: Watcher, standing: Standing) -> None:
        self.store, self.executor, self.watcher = store, executor, watcher
        self.waiting = deque(standing.left)
        self.at_work: dict[str, Job] = {}
        self.attempts: dict[str, int] = {}
        self.finished, self.failed = dict(standing.finished), dict(standing.failed)

    def to_the_end(self) -> Outcome:
        while self.waiting or self.at_work:
            while self.waiting and len(self.at_work) < self.executor.workers:
                with _of_the_machine():
                    self._start(self.waiting.popleft())
            for event in self.executor.poll(WAIT):
                with _of_the_machine():
                    self._heed(event)
            self.watcher.tick()
        return Outcome(self.finished, self.failed)

    def _start(self, job: Job) -> None:
        folder = self.store.work(job)
        self.attempts[job.name] = self.attempts.get(job.name, 0) + 1
        self.at_work[job.name] = job
        self.executor.submit(job, folder)
        self.watcher.started(job)

    def _heed(self, event: Event) -> None:
        job = self.at_work[event.name]
        match event:
            case Progress():
                self.watcher.progress(event)
            case Stuck(reason=reason):
                raise _no_room(reason)
            case Ended():
                record = self.store.commit(job)
                if record is None:
                    self._lost(job, "it left no result")
                else:
                    self._done(job, record)
            case Lost(reason=reason):
                # it may have ended just before its worker did
                record = self.store.commit(job)
                if record is None:
                    self._lost(job, reason)
                else:
                    self._done(job, record)

    def _lost(self, job: Job, reason: str) -> None:
        del self.at_work[job.name]
        attempt = self.attempts[job.name]
        if attempt < ATTEMPTS:
            self.watcher.lost(job, reason, attempt)
            self.waiting.appendleft(job)
            return
        record = self.store.lose(job, f"{reason}, {attempt} times")
        self.failed[job.name] = record
        self.watcher.ended(job, record)

    def _done(self, job: Job, record: Record) -> None:
        self.at_work.pop(job.name, None)
        (self.finished if record.status == "finished" else self.failed)[job.name] = record
        self.watcher.ended(job, record)


@contextmanager
def _of_the_machine() -> Iterator[None]:
    """Files that cannot be written or moved, and processes that cannot be begun, are no run's fault."""
    try:
        yield
    except MachineError as error:
        raise _no_room(str(error)) from error
    except OSError as error:
        raise _no_room(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}") from error


def _no_room(reason: str) -> UsageError:
    return UsageError(
        f"the study cannot go on: {reason}",
        expected="room and permission to write; what is finished stays",
        fix="mend that, then the same command: it goes on",
    )
