"""An executor that does what a test has written down, and a watcher that remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from small_jobs import end, failed, finished

from circuitprobe.study.executor import Ended, Event, Lost, Progress, Stuck
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import Record
from circuitprobe.study.store import Standing

Job = StudyJob | AuditJob
Act = Callable[[Job, Path], Event]


def comes_to_its_end(job: Job, folder: Path) -> Event:
    end(finished(job), folder)
    return Ended(job.name)


def fails(job: Job, folder: Path) -> Event:
    end(failed(job), folder)
    return Ended(job.name)


def is_killed(job: Job, folder: Path) -> Event:
    return Lost(job.name, "killed")


def is_killed_after_its_record(job: Job, folder: Path) -> Event:
    end(finished(job), folder)
    return Lost(job.name, "killed")


def leaves_nothing(job: Job, folder: Path) -> Event:
    return Ended(job.name)


def finds_the_disk_full(job: Job, folder: Path) -> Event:
    return Stuck(job.name, "No space left on device")


def is_interrupted(job: Job, folder: Path) -> Event:
    raise KeyboardInterrupt


@dataclass
class Scripted:
    """Carries out the first run that was begun, one event per poll.

    Attributes:
        workers: runs at a time.
        script: what happens to a run at its first, second, ... attempt; a run without an entry comes to its end.
        begun: names in order.
        most: how many were at work at once.
        stopped: whether it was told to end.
    """

    workers: int = 1
    script: dict[str, list[Act]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    most: int = 0
    stopped: bool = False
    _at_work: list[tuple[Job, Path]] = field(default_factory=list)

    def submit(self, job: Job, folder: Path) -> None:
        assert folder.is_dir()
        self.begun.append(job.name)
        self.folders.append(folder)
        self._at_work.append((job, folder))
        self.most = max(self.most, len(self._at_work))

    def poll(self, seconds: float) -> Sequence[Event]:
        assert seconds > 0
        job, folder = self._at_work.pop(0)
        acts = self.script.get(job.name, [])
        act = acts.pop(0) if acts else comes_to_its_end
        return [Progress(job.name, "training", 1, 2), act(job, folder)]

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Remembering:
    """A watcher."""

    told: list[str] = field(default_factory=list)

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        self.told.append(f"begin {len(jobs)}, {len(standing.left)} left, {workers} workers")

    def started(self, job: Job) -> None:
        self.told.append(f"started {job.name}")

    def progress(self, progress: Progress) -> None:
        self.told.append(f"progress {progress.name}")

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        self.told.append(f"lost {job.name} {attempt}: {reason}")

    def ended(self, job: Job, record: Record) -> None:
        self.told.append(f"{record.status} {job.name}")

    def tick(self) -> None:
        pass
