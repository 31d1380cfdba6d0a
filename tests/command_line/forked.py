"""Real processes of the command line without seconds of imports each: forked from one that has imported everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gate_files import audit_file

PROGRAM = """
import json, os, resource, signal, sys
import circuitprobe.checking, circuitprobe.shell
from circuitprobe.cli import app
exec(sys.argv[2])
# what a check imports on its way is imported by a check
sys.argv = ["circuitprobe", "check", sys.argv[1], "--baseline", sys.argv[1], "--quiet"]
assert circuitprobe.shell.guarded(app) == 0
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(asked["folder"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, path in ((1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if asked["room"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (asked["room"], asked["room"]))
        sys.argv = ["circuitprobe", *asked["arguments"]]
        exec(asked["before"])
        try:
            circuitprobe.shell.main()
        except SystemExit as ended:
            # as the interpreter ends, without taking down module by module what the parent has imported
            try:
                sys.stdout.flush()
            except OSError:
                os._exit(120)
            os._exit(ended.code)
    print(child, flush=True)
    _, status, used = os.wait4(child, 0)
    print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss, flush=True)
"""


@dataclass
class Forks:
    """Starts commands, one at a time.

    Attributes:
        process: that has imported everything.
        folder: for what the commands print.
        seconds: of processor time that the last command took.
        peak: kilobytes of memory that it had at most.
    """

    process: subprocess.Popen[str]
    folder: Path
    seconds: float = 0.0
    peak: int = 0

    def start(
        self, *arguments: object, folder: Path, out: str | None = None, room: int | None = None, before: str = ""
    ) -> int:
        """Start a command; its process's number.

        Args:
            arguments: of the command line.
            folder: the current one.
            out: where standard output goes instead of a file that ``finish`` reads.
            room: bytes that a file may have.
            before: Python that is run first in the new process.
        """
        asked = {
            "arguments": [*map(str, arguments)], "folder": str(folder), "out": out or str(self.folder / "out"),
            "err": str(self.folder / "err"), "room": room, "before": before,
        }  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def finish(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of the command that was started."""
        code, seconds, peak = self._line().split()
        self.seconds, self.peak = float(seconds), int(peak)
        out, err = (self.folder / name for name in ("out", "err"))
        return int(code), out.read_text(encoding="utf-8") if out.exists() else "", err.read_text(encoding="utf-8")

    def run(
        self, *arguments: object, folder: Path, out: str | None = None, room: int | None = None
    ) -> tuple[int, str, str]:
        """``start`` and ``finish``."""
        self.start(*arguments, folder=folder, out=out, room=room)
        return self.finish()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def forks(folder: Path, imports: str = "") -> Iterator[Forks]:
    """A process that has imported everything, as long as it is needed.

    Args:
        folder: for what the commands print.
        imports: Python that is run besides before the first command.
    """
    audit = audit_file(folder / "any.json")
    # threads of numpy's would not live in a fork
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(audit), imports],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield Forks(process, folder)
        process.stdin.close()
