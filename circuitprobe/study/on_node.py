"""What a node of a cluster does with a run: the local executor's process, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from circuitprobe.study.executor import Event, Lost, Progress, Stuck
from circuitprobe.study.jobs import job_from_json
from circuitprobe.study.local import LocalExecutor
from circuitprobe.study.parcels import Parcel, unpack
from circuitprobe.study.perform import Tell

JOB = "job.json"
WAIT = 1.0


@dataclass(frozen=True)
class Left:
    """What a run left.

    Attributes:
        files: contents by name.
        lost: why its process ended without a result.
        stuck: why no run can go on there.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    lost: str = ""
    stuck: str = ""


def carry_out(job: str, places: Sequence[str], parcels: Sequence[Parcel], tell: Tell) -> Left:
    """Make a run.

    A process of its own, as on one machine: it has one thread, a model that crashes takes no worker of the cluster with it, and
    what one run's model has imported is not there for the next. It ends with the worker, however that ends.

    Args:
        job: as JSON, its paths relative to the folder that the parcels are unpacked in.
        places: a folder in it for each parcel.
        parcels: files.
        tell: progress.
    """
    node = platform.node()
    try:
        with TemporaryDirectory(prefix="circuitprobe-") as place:
            inputs, folder = Path(place, "inputs"), Path(place, "run")
            for made in (inputs, folder):
                made.mkdir()
            for name, parcel in zip(places, parcels, strict=True):
                unpack(parcel, inputs / name)
            (folder / JOB).write_text(job, encoding="utf-8")
            with contextlib.chdir(inputs):
                end = _made(job, folder, tell)
            match end:
                case Stuck(reason=reason):
                    return Left(stuck=f"{reason} (on {node})")
                case Lost(reason=reason):
                    return Left(lost=f"{reason} (on {node})")
            return Left(files={path.name: path.read_bytes() for path in folder.iterdir() if path.name != JOB})
    except OSError as error:
        return Left(stuck=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''} (on {node})")


def _made(job: str, folder: Path, tell: Tell) -> Event:
    executor = LocalExecutor(1)
    try:
        executor.submit(job_from_json(job), folder)
        while True:
            for event in executor.poll(WAIT):
                if not isinstance(event, Progress):
                    return event
                tell(event.phase, event.done, event.total)
    finally:
        executor.stop()
