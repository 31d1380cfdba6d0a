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

from circuitprobe.adapters.user_files import MOST_JSON, read_file
from circuitprobe.errors import UsageError
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import RECORD, Failure, Record, write_record
from circuitprobe.study.plan import FILE
from circuitprobe.study.versions import versions

FINISHED, FAILED, WORK, LOCK = "runs", "failed", "work", ".lock"
JOB = "job.json"


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
            self._refuse_other_things()
            for name in (FINISHED, FAILED, WORK):
                (self.folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _refuse_other_things(self) -> None:
        there = {path.name for path in self.folder.iterdir()}
        strange = sorted(there - {FINISHED, FAILED, WORK})
        # other programs write a folder "runs" too
        strange += sorted(
            f"{FINISHED}/{path.name}" for path in self.folder.glob(f"{FINISHED}/*") if not (path / RECORD).is_file()
        )
        if strange and not there & {LOCK, FILE}:
            raise UsageError(
                f"{self.folder} holds {strange[0]}, and no study",
                expected="an empty or new folder, or that of a study",
                fix="another --out",
            )
        if self.replaces and FILE in there:
            raise UsageError(
                f"{self.folder} holds a study",
                expected="a folder of its own for audits of other models",
                fix="another --out",
            )
        if not self.replaces and FILE not in there and any(self.folder.glob(f"{FINISHED}/*")):
            raise UsageError(
                f"{self.folder} holds {FINISHED} and no {FILE}",
                expected="an empty or new folder, or that of a study",
                fix=f"another --out; if its {FILE} is lost, put it back",
            )

    def _unwritable(self, error: OSError) -> UsageError:
        reason = "it is a file" if self.folder.is_file() else error.strerror or str(error)
        return UsageError(
            f"cannot write {self.folder}: {reason}", expected="a writable place with room", fix="another --out"
        )

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
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield
        finally:
            lock.release()

    def work(self, job: StudyJob | AuditJob) -> Path:
        """The folder of a run at work, with what an earlier attempt left; of the same job, or it is emptied."""
        folder = self.folder / WORK / job.name
        note = folder / JOB
        told = job.model_dump_json().encode("utf-8")
        if not folder.exists():
            self._take_back(job)
        if folder.exists():
            if note.is_file() and note.read_bytes() == told:
                return folder
            shutil.rmtree(folder)
        folder.mkdir()
        note.write_bytes(told)
        return folder

    def _take_back(self, job: StudyJob | AuditJob) -> None:
        """What a run has done whose workers were lost is no worse for that."""
        before = self.failed / job.name
        record = _read(before)
        if record is not None and record.digest == job.digest and _lost(record):
            (before / RECORD).unlink()
            before.rename(self.folder / WORK / job.name)

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
            if done is not None:
                finished[job.name] = done
            elif before is None or before.digest != job.digest or retry_failed or _lost(before):
                left.append(job)
            else:
                failed[job.name] = before
        return Standing(finished, failed, tuple(left))

    def records(self, jobs: Sequence[StudyJob | AuditJob]) -> Iterator[tuple[StudyJob | AuditJob, Record, Path]]:
        """Ended runs among some jobs with their folders; nothing is changed."""
        for job in jobs:
            for place in (self.finished, self.failed):
                record = _read(place / job.name)
                if record is not None and record.digest == job.digest:
                    yield job, record, place / job.name
                    break


def _lost(record: Record) -> bool:
    return record.failure is not None and record.failure.kind == "lost"


def _read(folder: Path) -> Record | None:
    try:
        return Record.model_validate_json(read_file(folder / RECORD, MOST_JSON))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        raise UsageError(
            f"{folder / RECORD} is damaged", expected="what a run wrote", fix=f"remove {folder}: it is made again"
        ) from error
