"""Gives an attack to the real command line and holds what comes of it to the rules."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.corpus import ATTACKS, ROLES, Harmless

SERVER = Path(__file__).with_name("fork_server.py")
MOST_SECONDS, MOST_BYTES, LARGEST_FILE = 20.0, 10**9, 5 * 10**6
# marks that turn text round
BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


@dataclass(frozen=True)
class Done:
    """What became of a command.

    Attributes:
        arguments: that were typed.
        code: its exit code, negative for a signal.
        seconds: of CPU.
        bytes: of memory that were resident at the peak.
        killed: why it was ended; "" where it ended by itself.
        text: what it printed on both streams.
    """

    arguments: list[str]
    code: int
    seconds: float
    bytes: int
    killed: str
    text: str

    def __str__(self) -> str:
        measured = f"exit {self.code}, {self.seconds:.1f} s, {self.bytes / 1e6:.0f} MB {self.killed}"
        return f"circuitprobe {' '.join(self.arguments)}: {measured}\n{self.text[:1500]!r}"


class Commands:
    """The command line, in processes that cost no seconds of imports."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, folder: Path, arguments: list[str]) -> Done:
        """One command in a folder."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return Done(arguments, **json.loads(self._process.stdout.readline()))


@contextmanager
def commands(folder: Path) -> Iterator[Commands]:
    """A process that has imported everything, as long as it is needed."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "100", "NO_COLOR": "1"}
    environment.pop("CIRCUITPROBE_TRACEBACK", None)
    command = [sys.executable, str(SERVER), str(folder / "printed")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Commands(process)
        process.stdin.close()


def attacked(running: Commands, good: Harmless, role: str, name: str, folder: Path) -> None:
    """Make the file of an attack in an empty folder, give it in a role, and assert that it is refused as it should be."""
    attack = ATTACKS[name]
    given = folder / attack.file
    attack.make(given, good)
    typed = ROLES[role](given, good)
    if not attack.sparse:
        assert sum(size for kind, size in listing(folder).values() if kind == stat.S_IFREG) < LARGEST_FILE
    # a model whose odd entry was left out when it was read does nothing, and is shown; its rows are refused by an audit
    fine = {0, 2} if role == "inspected" else {2}
    faults = []
    for arguments in typed:
        before = listing(folder)
        done = running.run(folder, arguments)
        wrong = [*faults_of(done, attack.word if done.code else "", fine), *changes(before, listing(folder))]
        if wrong:
            faults.append(f"{', '.join(wrong)}: {done}")
    assert not faults, "\n".join(faults)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Kind and size of everything below a folder; links are not followed."""
    found = {}
    for path in folder.rglob("*"):
        seen = path.lstat()
        found[str(path.relative_to(folder))] = (stat.S_IFMT(seen.st_mode), seen.st_size)
    return found


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Files that came, went or grew."""
    return [f"EFFECT on {name}" for name in sorted(before.keys() | after) if before.get(name) != after.get(name)]


def faults_of(done: Done, word: str, codes: set[int]) -> list[str]:
    """What in a command's end is against the rules."""
    shown = {character for character in done.text if is_control(character)}
    checks = (
        (done.code in codes, f"exit {done.code}"),
        (not done.killed, f"killed, {done.killed}"),
        ("Traceback" not in done.text, "traceback"),
        ("internal error" not in done.text, "internal error"),
        ("out of memory" not in done.text, "out of memory"),
        (done.seconds < MOST_SECONDS, f"{done.seconds:.0f} s"),
        (done.bytes < MOST_BYTES, f"{done.bytes / 1e6:.0f} MB"),
        (not shown, f"control characters {shown}"),
        (bool(done.text.strip()), "no message"),
        (len(done.text) < 20_000, f"{len(done.text):,} characters"),
        (word.lower() in done.text.lower(), f"does not say {word!r}"),
    )
    return [fault for fine, fault in checks if not fine]


def is_control(character: str) -> bool:
    """Whether a terminal acts on a character instead of showing it."""
    code = ord(character)
    return (code < 0x20 and character not in "\n\t") or 0x7F <= code <= 0x9F or code in BIDI
