"""A study that is killed at any moment, or interrupted, and goes on: real processes of the installed program."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from circuitprobe import study

KILLS = 10
# the kills that wait for a run to end first; the others come at any moment from before the first import on
AFTER_A_RUN = (3, 7)
RUNS = 6
GRID = (
    "--archs", "vae,beta-vae", "--benchmarks", "german_credit", "--seeds", "0,1,2", "--steps", "10", "--rows", "60",
    "--train-rows", "200", "--workers", "2",
)  # fmt: skip


def begin(out: Path, *options: str) -> subprocess.Popen[str]:
    """``circuitprobe study run``."""
    return subprocess.Popen(
        [sys.executable, "-m", "circuitprobe", "study", "run", "--out", str(out), *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a shell that starts tests in the background makes them deaf to ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - the child calls signal alone
    )  # fmt: skip


def results(out: Path) -> dict[str, bytes]:
    """What must not depend on what happened on the way: weights and audits."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.glob("runs/*/*"))
        if path.name in {"model.pt", "audit.json"}
    }


def told(out: Path) -> str:
    """The report of a study, as JSON; its means and correlations are in it even where there are too few runs for a verdict."""
    study.report(out, study.ReportOutputs(json=out / "report.json"))
    return (out / "report.json").read_text(encoding="utf-8")


def records(out: Path) -> dict[str, tuple[int, bytes]]:
    """When each finished run was recorded, and how."""
    return {path.parent.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("runs/*/run.json")}


def workers(of: int) -> list[int]:
    """Processes that another one has begun and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if told[1] == str(of) and told[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()]


def gone(pids: list[int], seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pids)


def kill(process: subprocess.Popen[str]) -> None:
    begun = workers(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(begun), "its workers have not left with it"


def one_more_ends(process: subprocess.Popen[str], out: Path) -> None:
    """Waits, however slow the machine is, until the study has recorded a run, or has no run left to record."""
    before = len(records(out))
    while len(records(out)) == before and process.poll() is None:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the study's processes under /proc")
def test_killed_ten_times_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    began = time.monotonic()
    undisturbed = begin(tmp_path / "undisturbed", *GRID, "--quiet")
    _, err = undisturbed.communicate(timeout=200)
    assert undisturbed.returncode == 0, err
    whole = time.monotonic() - began
    expected = results(tmp_path / "undisturbed")
    assert len(expected) == 2 * RUNS

    moments, out = random.Random(7), tmp_path / "killed"
    kept: dict[str, tuple[int, bytes]] = {}
    for number in range(KILLS):
        process = begin(out, *GRID, "--quiet")
        moment = moments.uniform(0.02, 0.8) * whole
        if number in AFTER_A_RUN:
            one_more_ends(process, out)
            moment /= 20
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            kill(process)
        now = records(out)
        assert {name: now.get(name) for name in kept} == kept, "a finished run was touched"
        assert all(
            {path.name for path in (out / "runs" / name).iterdir()} >= {"model.pt", "audit.json"} for name in now
        )
        kept = now
    assert kept
    process = begin(out, *GRID, "--quiet")
    out_text, err = process.communicate(timeout=200)
    assert (process.returncode, out_text, err) == (0, "", "")
    assert results(out) == expected
    assert told(out) == told(tmp_path / "undisturbed")
    now = records(out)
    assert {name: now[name] for name in kept} == kept
    assert not any((out / "failed").iterdir())
    assert not any((out / "work").iterdir())
    assert not list(out.rglob(".*.tmp"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the study's processes under /proc")
def test_ctrl_c_ends_its_workers_says_what_is_kept_and_the_same_command_goes_on(
    tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    out = tmp_path / "study"
    grid = ("--archs", "vae", "--benchmarks", "german_credit", "--seeds", "0", "--steps", "500", "--rows", "60")
    process = begin(out, *grid)
    until = time.monotonic() + 100
    while not (out / "work" / "german_credit-vae-0" / "log.txt").exists() and time.monotonic() < until:
        time.sleep(0.02)
    begun = workers(process.pid)
    assert len(begun) == 1
    # its run must not end while the second command begins, however long that takes
    os.kill(begun[0], signal.SIGSTOP)
    second = command("study", "run", "--out", out, *grid)
    os.kill(begun[0], signal.SIGCONT)
    assert second.code == 2
    assert f"another study is at work in {out}" in second.err
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert f"finished runs are kept in {out}; the same command goes on" in err
    assert "Traceback" not in err
    assert alive(begun) == []
    again = command("study", "run", "--out", out, *grid)
    assert again.code == 0
    assert again.out.startswith(f"1 of 1 runs finished: {out}")
