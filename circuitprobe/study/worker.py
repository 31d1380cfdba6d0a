"""The process of one run, begun by the local executor.

Standard input is held open by the study: when it closes, the study is gone, also by kill -9, and so goes this process. Standard
output carries events, a line of JSON each; whatever else is printed goes to the run's log.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO

EVERY = 0.5
"""Seconds between two lines about one phase."""

NO_ROOM = 74
"""Exit status of a run that the machine stopped: EX_IOERR of sysexits.h."""


class Lines:
    """Writes events, each phase's at most twice a second."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._phase, self._last = out, "", 0.0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """See ``Tell``."""
        now = time.monotonic()
        if phase == self._phase and now - self._last < EVERY:
            return
        self._phase, self._last = phase, now
        self.write({"phase": phase, "done": done, "total": total})

    def write(self, event: dict[str, object]) -> None:
        """One line."""
        try:
            self._out.write(json.dumps(event) + "\n")
            self._out.flush()
        except BrokenPipeError:
            # the study is gone; told as an error, it would be recorded as one of the run
            os._exit(1)


def run(folder: str) -> None:
    """The whole process."""
    try:
        status = _made(Path(folder).resolve())
    except BaseException:  # noqa: BLE001 - whatever it is, its traceback is in the log and the run is lost
        traceback.print_exc()
        status = 1
    # everything is written; threads that a model has left behind are not waited for
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _made(folder: Path) -> int:
    held_open = _own_input()
    threading.Thread(target=_leave_with_the_study, args=(held_open,), daemon=True).start()
    lines = Lines(_own_output(folder))
    from circuitprobe.study.jobs import StudyJob, job_from_json
    from circuitprobe.study.perform import MachineError, perform

    job = job_from_json((folder / "job.json").read_bytes())
    if isinstance(job, StudyJob):
        # a file or folder called as a benchmark where the study was begun must not stand in for it
        os.chdir(folder)
    try:
        perform(job, folder, lines)
    except MachineError as error:
        lines.write({"stuck": str(error)})
        return NO_ROOM
    return 0


def _own_input() -> int:
    """What the study holds open; a model that reads standard input finds it empty, instead of waiting for ever."""
    held = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return held


def _own_output(folder: Path) -> TextIO:
    """Standard output for events alone; what models and libraries print goes behind the log."""
    from circuitprobe.study.perform import LOG

    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    try:
        aside = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        aside = os.open(os.devnull, os.O_WRONLY)
    os.dup2(aside, 1)
    os.dup2(aside, 2)
    os.close(aside)
    return events


def _leave_with_the_study(held_open: int) -> None:
    while os.read(held_open, 1):
        pass
    os._exit(1)
