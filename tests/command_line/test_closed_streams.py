"""Standard streams that are closed, full, or whose reader leaves: exit codes stay, and there is no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gate_files import audit_file, weak_z0

import circuitprobe

PROGRAM = f"PYTHONPATH={str(Path(circuitprobe.__file__).parents[1])!r} {sys.executable!r} -m circuitprobe"

COMMANDS = {
    "--version": 0,
    "--help": 0,
    "audit --help": 0,
    "schema": 0,
    "data list": 0,
    "no-such-command": 2,
    "audit none.pt none.csv": 2,
    "check new.json --baseline old.json": 0,
    "check worse.json --baseline old.json": 1,
    "compare old.json new.json": 0,
    "baseline old.json --out b.json": 0,
    "study report none": 2,
    "train wine_quality --steps 3 --rows 60 --out m.pt": 0,
    "inspect m.pt wine_quality --rows 60": 0,
    "audit m.pt wine_quality --rows 60 --levels 2": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("streams")
    for name, change in (("old", lambda content: None), ("new", lambda content: None), ("worse", weak_z0)):
        audit_file(place / f"{name}.json", change)
    run(place, "train wine_quality --steps 3 --rows 60 --out m.pt")
    return place


def run(folder: Path, arguments: str, redirections: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = f"{PROGRAM} {arguments} {redirections}"
    return subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )


def assert_quiet(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    for word in ("Traceback", "Exception ignored", "internal error", "terminate called", "lost sys.stderr"):
        assert word not in said, said


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams_change_no_exit_code(folder: Path, command: str) -> None:
    for closed in (">&- 2>&- <&-",) if "wine" in command else (">&-", ">&- 2>&- <&-"):
        done = run(folder, command, closed)
        assert_quiet(done)
        assert done.returncode == COMMANDS[command], (closed, done.stderr)


@pytest.mark.parametrize("command", ["check worse.json --baseline old.json", "audit none.pt none.csv"])
def test_a_closed_or_full_standard_error_changes_no_exit_code(folder: Path, command: str) -> None:
    for redirection in ("2>&-", "2>/dev/full", "2> >(exit)", "<&-"):
        done = run(folder, command, redirection)
        assert_quiet(done)
        assert done.returncode == COMMANDS[command], redirection


@pytest.mark.parametrize("command", ["--version", "--help", "schema", "data list", "compare old.json new.json"])
def test_a_full_disk_is_an_error_and_a_reader_that_leaves_is_none(folder: Path, command: str) -> None:
    full = run(folder, command, "> /dev/full")
    assert_quiet(full)
    assert full.returncode == 2
    assert "cannot write standard output" in full.stderr
    both = run(folder, command, "> /dev/full 2>&1")
    assert_quiet(both)
    assert both.returncode == 2
    left = run(folder, command, "| head -c 1; exit ${PIPESTATUS[0]}")
    assert_quiet(left)
    assert left.returncode == 0


def test_what_is_written_goes_to_no_closed_streams_number(folder: Path) -> None:
    """The first file that a process without standard output opens gets its number: no report may end up in it."""
    done = run(folder, "audit m.pt wine_quality --rows 60 --levels 2 --json closed.json", ">&- 2>&-")
    assert done.returncode == 0
    assert json.loads((folder / "closed.json").read_text())["latents"]
