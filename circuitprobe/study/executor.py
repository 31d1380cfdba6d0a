"""What carries runs out: processes of this machine, or tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from circuitprobe.study.jobs import AuditJob, StudyJob


@dataclass(frozen=True)
class Progress:
    """A run is so far."""

    name: str
    phase: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Ended:
    """A run has ended, and its folder holds its record."""

    name: str


@dataclass(frozen=True)
class Lost:
    """A run's worker is gone: killed, out of memory, or its machine with it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Stuck:
    """A run cannot go on for a reason that the next one would meet too, such as a full disk."""

    name: str
    reason: str


Event = Progress | Ended | Lost | Stuck


class Executor(Protocol):
    """Carries out as many runs at a time as it has workers."""

    @property
    def workers(self) -> int:
        """How many runs at a time."""

    def submit(self, job: StudyJob | AuditJob, folder: Path) -> None:
        """Begin a run; its files are in ``folder`` when it has ended."""

    def poll(self, seconds: float) -> Sequence[Event]:
        """What has happened since the last call; waits for something, at most so many seconds."""

    def stop(self) -> None:
        """End every run that is at work; what is in their folders stays."""
