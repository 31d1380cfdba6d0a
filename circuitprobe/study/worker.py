"""The process of one run: ``python -m circuitprobe.study.worker FOLDER``, begun by the local executor.

Standard input is held open by the study: when it closes, the study is gone, also by kill -9, and so goes this process. Standard
output carries events, a line of JSON each; whatever else is printed goes to the run's log.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
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
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def main(folder: Path) -> int:
    """Make the run whose job lies in a folder."""
    lines = Lines(_own_output(folder))
    threading.Thread(target=_leave_with_the_study, daemon=True).start()
    from circuitprobe.study.jobs import job_from_json
    from circuitprobe.study.perform import MachineError, perform

    job = job_from_json((folder / "job.json").read_bytes())
    try:
        perform(job, folder, lines)
    except MachineError as error:
        lines.write({"stuck": str(error)})
        return NO_ROOM
    return 0


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


def _leave_with_the_study() -> None:
    # not sys.stdin: its lock would be held by this thread when the interpreter ends
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
