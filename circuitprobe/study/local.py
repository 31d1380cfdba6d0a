"""Runs as processes of this machine, one thread each."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from circuitprobe.study.executor import Ended, Event, Lost, Progress, Stuck
from circuitprobe.study.jobs import AuditJob, StudyJob

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WORKER = """
import sys

folder, home, *sys.path[:] = sys.argv[1:]
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("circuitprobe", f"{home}/__init__.py", submodule_search_locations=[home])
sys.modules["circuitprobe"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["circuitprobe"])
from circuitprobe.study.worker import run

run(folder)
"""
"""Imports from where the study does, and the same circuitprobe: with -m it would import a random.py of the current folder, too."""

HOME = Path(__file__).parents[1]

GRACE = 5.0
"""Seconds that a process has to end before it is killed."""


@dataclass
class _Run:
    """A process with what it has said and not yet ended with a line."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    text: bytes = b""
    stuck: str = ""


@dataclass
class LocalExecutor:
    """One process per run, so that a crash, or the kernel's hunt for memory, takes one run only."""

    workers: int
    _running: dict[str, _Run] = field(default_factory=dict)
    _output: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def submit(self, job: StudyJob | AuditJob, folder: Path) -> None:
        """See ``Executor``."""
        process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
            [sys.executable, "-P", "-c", WORKER, str(folder), str(HOME), *filter(None, sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
            # a group of its own: ctrl-C reaches the study alone, which then ends its runs in order
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - PIPE
        run = _Run(job.name, process, process.stdout)
        self._running[job.name] = run
        os.set_blocking(process.stdout.fileno(), False)
        self._output.register(process.stdout, selectors.EVENT_READ, run)

    def poll(self, seconds: float) -> Sequence[Event]:
        """See ``Executor``."""
        events: list[Event] = []
        for key, _ in self._output.select(seconds):
            run: _Run = key.data
            chunk = key.fileobj.read()  # type: ignore[union-attr]
            if chunk:
                events += _events(run, chunk)
            elif chunk == b"":
                # the end of its output is the end of the process
                events.append(self._ended(run))
        for run in [*self._running.values()]:
            # what the model has begun may hold the output open
            if run.process.poll() is not None:
                events += _events(run, run.output.read() or b"")
                events.append(self._ended(run))
        return events

    def stop(self) -> None:
        """See ``Executor``."""
        for run in self._running.values():
            with suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGTERM)
        for run in self._running.values():
            try:
                run.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait()
            _close(run)
        self._running.clear()
        self._output.close()

    def _ended(self, run: _Run) -> Event:
        code = run.process.wait()
        self._output.unregister(run.output)
        _close(run)
        del self._running[run.name]
        if run.stuck:
            return Stuck(run.name, run.stuck)
        return Ended(run.name) if code == 0 else Lost(run.name, _how(code))


def _events(run: _Run, chunk: bytes) -> list[Event]:
    *lines, run.text = (run.text + chunk).split(b"\n")
    events: list[Event] = []
    for line in lines:
        told = _event(line)
        if "stuck" in told:
            run.stuck = told["stuck"]
        elif "phase" in told:
            events.append(Progress(run.name, told["phase"], told["done"], told["total"]))
    return events


def _event(line: bytes) -> dict[str, Any]:
    """An event; nothing where a line is none: an installation may print as Python starts, before output is the worker's own."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _close(run: _Run) -> None:
    for pipe in (run.process.stdin, run.process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _how(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        more = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{more}"
    return f"its process ended with status {code} and left no result"
