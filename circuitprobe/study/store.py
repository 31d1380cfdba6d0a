"""A study's folder: finished and failed runs, runs at work, and a lock.

``runs/NAME`` and ``failed/NAME`` appear whole, by the renaming of ``work/NAME``; what is killed on the way leaves its folder under
``work``, from which the next start goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from circuitprobe.errors import UsageError
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import RECORD, Failure, Record, write_record
from circuitprobe.study.versions import versions

FINISHED, FAILED, WORK, LOCK = "runs", "failed", "work", ".lock"
OURS = frozenset({FINISHED, FAILED, WORK, LOCK, "study.toml"})


@dataclass(frozen=True)
class Standing:
    """What is done and what is left.

    Attributes:
        finished: records of runs that need not be made, by name.
        failed: likewise of those that failed and are not tried again.
        left: jobs to do, in their order.
    """

    finished: dict[str, Record]
    failed: dict[str, Record]
    left: tuple[StudyJob | AuditJob, ...]


@dataclass(frozen=True)
class Store:
    """The folder of a study.

    Attributes:
        folder: where.
        replaces: a finished run of another job by the same name is made again, not refused.
    """

    folder: Path
    replaces: bool = False

    @property
    def finished(self) -> Path:
        """Finished runs."""
        return self.folder / FINISHED

    @property
    def failed(self) -> Path:
        """Failed runs."""
        return self.folder / FAILED

    def begin(self) -> None:
        """Make the folder where it is not there yet.

        Raises:
            UsageError: it cannot be made, or holds something else.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            others = sorted({path.name for path in self.folder.iterdir()} - OURS)
            if others and not (self.folder / FINISHED).is_dir():
                raise UsageError(
                    f"{self.folder} holds {others[0]}, and no study",
                    expected="an empty or new folder, or that of a study",
                    fix="another --out",
                )
            for name in (FINISHED, FAILED, WORK):
                (self.folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot write {self.folder}: {error.strerror}",
                expected="a writable place with room",
                fix="another --out",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Two studies at work in one folder would make every run twice; the lock goes with its process, also by kill -9.

        Raises:
            UsageError: another one is at work.
        """
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another study is at work in {self.folder}",
                expected="one at a time in a folder",
                fix="wait for it, end it, or another --out",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def work(self, job: StudyJob | AuditJob) -> Path:
        """The folder of a run at work, with what an earlier attempt left; of the same job, or it is emptied."""
        folder = self.folder / WORK / job.name
        note = folder / "job.json"
        told = job.model_dump_json()
        if folder.exists() and (not note.is_file() or note.read_text(encoding="utf-8") != told):
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        note.write_text(told, encoding="utf-8")
        return folder

    def commit(self, job: StudyJob | AuditJob) -> Record | None:
        """Take a run at work over, if it has ended.

        Returns:
            Its record; None where it has not ended.
        """
        folder = self.folder / WORK / job.name
        record = _read(folder)
        if record is None or record.digest != job.digest:
            return None
        place = (self.finished if record.status == "finished" else self.failed) / job.name
        if place.exists():
            shutil.rmtree(place)
        folder.rename(place)
        before = self.failed / job.name
        if record.status == "finished" and before.exists():
            shutil.rmtree(before)
        return record

    def lose(self, job: StudyJob | AuditJob, reason: str) -> Record:
        """Record a run as failed whose worker was lost too often."""
        folder = self.work(job)
        failure = Failure(
            kind="lost",
            seen=reason,
            expected="a worker that lives as long as its run",
            fix="the same command tries again",
        )
        write_record(
            Record(name=job.name, digest=job.digest, status="failed", failure=failure, versions=versions()), folder
        )
        record = self.commit(job)
        assert record is not None  # noqa: S101 - written the line before
        return record

    def standing(self, jobs: Sequence[StudyJob | AuditJob], *, retry_failed: bool = False) -> Standing:
        """What is left to do of some jobs; runs that had ended without being taken over are taken over.

        Raises:
            UsageError: a finished run was made with other settings.
        """
        finished, failed, left = {}, {}, []
        for job in jobs:
            self.commit(job)
            done = _read(self.finished / job.name)
            if done is not None and done.digest != job.digest and self.replaces:
                done = None
            if done is not None and done.digest != job.digest:
                raise UsageError(
                    f"the run {job.name} was finished with other settings or other inputs than are asked for now",
                    expected="one study in a folder",
                    fix=f"another --out, or remove {FINISHED}/{job.name}",
                )
            before = _read(self.failed / job.name)
            lasting = before is not None and before.digest == job.digest and before.failure is not None
            if done is not None:
                finished[job.name] = done
            elif (
                before is not None and lasting and before.failure and before.failure.kind != "lost" and not retry_failed
            ):
                failed[job.name] = before
            else:
                left.append(job)
        return Standing(finished, failed, tuple(left))

    def records(self, jobs: Sequence[StudyJob | AuditJob]) -> Iterator[tuple[StudyJob | AuditJob, Record, Path]]:
        """Ended runs among some jobs with their folders; nothing is changed."""
        for job in jobs:
            for place in (self.finished, self.failed):
                record = _read(place / job.name)
                if record is not None and record.digest == job.digest:
                    yield job, record, place / job.name
                    break


def _read(folder: Path) -> Record | None:
    try:
        return Record.model_validate_json((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise UsageError(
            f"{folder.name}/{RECORD} is damaged", expected="what a run wrote", fix=f"remove {folder}: it is made again"
        ) from error
