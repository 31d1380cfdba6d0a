"""Runs as tasks of a Ray cluster, one thread each.

A node needs Ray and this version of circuitprobe, no disk in common with anyone: what a run reads and what it leaves go through the
cluster's object store. Ray retries nothing: a run that is lost with its worker is begun again by the study, which counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitprobe import __version__
from circuitprobe.errors import CircuitProbeError, UsageError
from circuitprobe.report.files import write_atomically
from circuitprobe.study.executor import Ended, Event, Lost, Progress, Stuck
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.on_node import JOB, Left
from circuitprobe.study.parcels import Packed, sent
from circuitprobe.study.perform import RECORD, MachineError, Record, write_record
from circuitprobe.study.ray_cluster import Cluster, connected
from circuitprobe.study.ray_code import Board, board_class, task_function

GRACE = 5.0
"""Seconds that runs have to end before their workers are killed."""

ASK_EVERY, LOOK_EVERY = 1.0, 5.0
"""Seconds between two questions for progress, and between two looks at the cluster."""

GONE = 60.0
"""Seconds without a single CPU after which a cluster that had some counts as gone."""

WORDS = {
    "OutOfMemoryError": "its node ran out of memory",
    "NodeDiedError": "its node is gone",
    "WorkerCrashedError": "its worker was killed",
}


@dataclass(frozen=True)
class _Run:
    job: StudyJob | AuditJob
    folder: Path


class RayExecutor:
    """One task per run, one CPU per task."""

    def __init__(self, cluster: Cluster, workers: int | None) -> None:
        self._cluster, self._fixed, self._workers = cluster, workers, workers or cluster.cpus()
        if not self._workers:
            raise UsageError(
                f"the Ray cluster at {cluster.shown} has no CPU for tasks",
                expected="nodes begun with --num-cpus of at least 1",
                fix="ray start --address=HEAD:6379 on a machine, or --workers N for a cluster that grows",
            )
        ray = cluster.ray
        self._task: Any = ray.remote(num_cpus=1, max_retries=0)(task_function(__version__))
        # a board that goes with its node comes back on another one: it holds nothing that would be missed
        self._board: Board = ray.remote(num_cpus=0, max_restarts=-1)(board_class()).remote()
        self._running: dict[object, _Run] = {}
        self._stored: dict[tuple[Path, str, bool], object] = {}
        self._asked: object = None
        self._asked_at = self._looked_at = self._cpus_seen = time.monotonic()

    @classmethod
    def connect(cls, address: str | None, workers: int | None) -> RayExecutor:
        """Connect to a cluster, or start one on this machine.

        Args:
            address: ``ray://host:10001`` from anywhere, ``host:6379`` or ``auto`` from a node of it; None for a cluster of our own.
            workers: runs at a time; default the CPUs of the cluster, as nodes come and go.

        Raises:
            UsageError: ray is not installed, or no such cluster answers.
        """
        cluster = connected(address, workers)
        try:
            with cluster.reached():
                return cls(cluster, workers)
        except BaseException:
            cluster.leave()
            raise

    @property
    def workers(self) -> int:
        """How many runs at a time."""
        return self._workers

    def submit(self, job: StudyJob | AuditJob, folder: Path) -> None:
        """See ``Executor``.

        Raises:
            UsageError: the job's files are too many bytes or cannot be read, or the cluster is gone.
        """
        moved, files = sent(job)
        with self._cluster.reached():
            stored = [self._in_store(packed) for packed in files]
            places = tuple(packed.place for packed in files)
            ref = self._task.remote(job.name, moved.model_dump_json(), places, self._board, *stored)
        self._running[ref] = _Run(job, folder)

    def poll(self, seconds: float) -> Sequence[Event]:
        """See ``Executor``.

        Raises:
            UsageError: the cluster is gone, or a node has another version of circuitprobe.
        """
        with self._cluster.reached():
            self._look()
            self._ask()
            watched = [*self._running, *([] if self._asked is None else [self._asked])]
            if not watched:
                time.sleep(seconds)
                return ()
            done, _ = self._cluster.ray.wait(watched, num_returns=1, timeout=seconds)
            events: list[Event] = []
            for ref in done:
                if ref == self._asked:
                    events += self._told()
                else:
                    events.append(self._ended(self._running.pop(ref), ref))
        return events

    def stop(self) -> None:
        """See ``Executor``; a cluster that was there before stays."""
        ray, left = self._cluster.ray, list(self._running)
        # with the cluster gone there is nothing to end, and Ray would start another one to tell so
        with suppress(OSError, RuntimeError, ray.exceptions.RayError):
            if left and not self._cluster.gone and ray.is_initialized():
                for ref in left:
                    ray.cancel(ref)
                _, left = ray.wait(left, num_returns=len(left), timeout=GRACE)
                for ref in left:
                    ray.cancel(ref, force=True)
        self._running.clear()
        self._cluster.leave()

    def _in_store(self, packed: Packed) -> object:
        """A parcel's place in the object store; one that many jobs name is put there once."""
        key = (packed.source.resolve(), packed.name, packed.neighbours)
        if not packed.shared:
            return self._cluster.ray.put(packed.read())
        if key not in self._stored:
            self._stored[key] = self._cluster.ray.put(packed.read())
        return self._stored[key]

    def _ended(self, run: _Run, ref: object) -> Event:
        """What became of a task that is over."""
        ray, name = self._cluster.ray, run.job.name
        try:
            left: Left | str = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            # perform tells of its own failures; this is a node where it does not even begin
            return Stuck(name, f"a node cannot make runs: {str(error).strip().splitlines()[-1]}")
        except ray.exceptions.RayError as error:
            kind = type(error).__name__
            return Lost(name, f"{WORDS.get(kind, 'its result was lost')} ({kind})")
        if isinstance(left, str):
            raise UsageError(
                f"a node of the cluster has {left}, this is circuitprobe {__version__}; no run was begun there",
                expected="the same version everywhere",
                fix=f"pip install circuitprobe=={__version__} on every node, then the same command",
            )
        if left.stuck:
            return Stuck(name, left.stuck)
        if left.lost or RECORD not in left.files:
            return Lost(name, left.lost or "it left no result")
        try:
            _keep(left, run)
        except OSError as error:
            return Stuck(name, error.strerror or str(error))
        except (CircuitProbeError, MachineError) as error:
            return Stuck(name, str(error.args[0]))
        return Ended(name)

    def _ask(self) -> None:
        """Ask for progress, where the last question is answered."""
        now = time.monotonic()
        if self._asked is None and self._running and now - self._asked_at >= ASK_EVERY:
            self._asked, self._asked_at = self._board.take.remote(), now

    def _told(self) -> list[Event]:
        ray, asked, self._asked = self._cluster.ray, self._asked, None
        at_work = {run.job.name for run in self._running.values()}
        try:
            told: dict[str, tuple[str, int, int | None]] = ray.get(asked)
        except ray.exceptions.RayError:
            # the board's node is gone; the next question finds it elsewhere
            return []
        return [Progress(name, *how) for name, how in told.items() if name in at_work]

    def _look(self) -> None:
        """Follow the cluster as nodes come and go."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        if not self._cluster.answers():
            return
        cpus = self._cluster.cpus()
        if cpus:
            self._cpus_seen = now
        elif self._fixed is None and now - self._cpus_seen > GONE:
            raise UsageError(
                f"the Ray cluster at {self._cluster.shown} has had no CPU for {math.floor(now - self._cpus_seen)} s",
                expected="a node that takes tasks; finished runs are kept",
                fix="ray start --address=HEAD:6379 on a machine, then the same command",
            )
        self._workers = self._fixed or max(cpus, 1)


def _keep(left: Left, run: _Run) -> None:
    """Write what a run left into its folder, the record last: with it the run has ended."""
    for path in run.folder.iterdir():
        if path.name != JOB and path.is_file():
            path.unlink()
    for name, content in left.files.items():
        if name != RECORD:
            _write(run.folder / name, content)
    # the digest there was that of a job with other paths
    record = Record.model_validate_json(left.files[RECORD])
    write_record(record.model_copy(update={"digest": run.job.digest}), run.folder)


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda handle: handle.write(content))
