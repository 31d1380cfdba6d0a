"""What is seen of a study while it runs: the picture at several widths, lines without a terminal, nothing when quiet."""

from __future__ import annotations

import io
import os
import pty
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console
from small_jobs import audit_job, failed, finished, seeds, study_job

from circuitprobe.study.display import Seen, picture, spoken, study_display
from circuitprobe.study.executor import Progress
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.plan import Grid
from circuitprobe.study.store import Standing

GRID = Grid()
JOBS = tuple(
    study_job(arch, benchmark, seed)
    for seed in GRID.seeds
    for benchmark in GRID.benchmarks
    for arch in GRID.architectures
)


@pytest.fixture
def seen() -> Seen:
    """A third is finished but for one run that failed; two are at work, one of them has told something."""
    made = Seen()
    made.begin(JOBS, Standing({job.name: finished(job) for job in JOBS[:24]}, {}, JOBS[24:]), 2)
    made.ended_with(JOBS[24], failed(JOBS[24]))
    for job in JOBS[25:27]:
        made.started(job)
    made.progress(Progress(JOBS[25].name, "training", 1200, 2000))
    return made


def drawn(seen: Seen, width: int, *, unicode: bool = True, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=out, width=width).print(picture(seen, unicode=unicode))
    out.seek(0)
    return [line.rstrip() for line in out.read().splitlines()]


@pytest.mark.parametrize("width", [80, 200])
def test_a_cell_per_architecture_and_benchmark_holds_a_sign_per_seed(seen: Seen, width: int) -> None:
    lines = drawn(seen, width)
    assert lines[0].split() == list(GRID.architectures)
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:6]}
    assert rows == {
        "adult": ["●◐·", "●◐·", "●··", "●··", "●··"],
        "default_credit": ["●··"] * 5,
        "german_credit": ["●··"] * 5,
        "wine_quality": ["●··"] * 5,
        "dsprites": ["●··", "●··", "●··", "●··", "✗··"],
    }
    assert lines[6].split() == ["adult-vae-1", "training", "1,200", "of", "2,000", "0", "s"]
    assert lines[7].split() == ["adult-beta-vae-1", "starting", "0", "s"]
    assert lines[8].startswith("24 of 75 finished, 1 failed, 2 at work, about ")


def test_a_narrow_terminal_gets_a_row_per_benchmark_and_loses_nothing(seen: Seen) -> None:
    lines = drawn(seen, 40)
    assert all(len(line) <= 40 for line in lines)
    assert [line.split(maxsplit=1) for line in lines[:5]] == [
        ["adult", "5 of 15"],
        ["default_credit", "5 of 15"],
        ["german_credit", "5 of 15"],
        ["wine_quality", "5 of 15"],
        ["dsprites", "4 of 15, 1 failed"],
    ]
    assert lines[5].split() == ["adult-vae-1", "training", "60%"]
    assert " ".join(lines[7:]).startswith("24 of 75 finished, 1 failed, 2 at work, about ")


def test_a_long_name_is_cut_at_its_beginning() -> None:
    job = audit_job("a" * 100 + "-the-end.pt")
    made = Seen()
    made.begin([job], Standing({}, {}, (job,)), 1)
    made.started(job)
    for width in (40, 80):
        line = drawn(made, width)[0]
        assert len(line) <= width
        assert "aa-the-end.pt" in line
        assert line.split()[0].startswith("..a")


def test_signs_of_a_terminal_without_unicode(seen: Seen) -> None:
    for width in (40, 80):
        assert all(line.isascii() for line in drawn(seen, width, unicode=False, encoding="ascii"))
    assert drawn(seen, 80, unicode=False)[5].split() == ["dsprites", "#..", "#..", "#..", "#..", "x.."]


def test_many_at_work_are_counted() -> None:
    jobs = seeds(11)
    made = Seen()
    made.begin(jobs, Standing({}, {}, jobs), 11)
    for job in jobs:
        made.started(job)
    assert drawn(made, 80)[-2].strip() == "and 3 more"
    made.lost(jobs[0], "killed", 1)
    assert made.summary == "0 of 11 finished, 10 at work"


def test_what_users_name_is_printed_as_it_is() -> None:
    job = audit_job("[red]m\x1b[31m.pt")
    made = Seen()
    made.begin([job], Standing({}, {}, (job,)), 1)
    made.started(job)
    assert drawn(made, 80)[0].split()[0] == r"[red]m\x1b[31m.pt"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3540, "59 min"), (3599, "1 h 00 min"), (4800, "1 h 20 min")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def story(quiet: bool = False) -> None:
    """Of three runs one was finished, one is lost once and then fails, one is finished."""
    jobs = seeds(3)
    with study_display(quiet=quiet) as watcher:
        watcher.begin(jobs, Standing({jobs[0].name: finished(jobs[0], 5)}, {}, jobs[1:]), 1)
        watcher.started(jobs[1])
        watcher.tick()
        watcher.lost(jobs[1], "its process was ended by SIGKILL", 1)
        watcher.started(jobs[1])
        watcher.ended(jobs[1], failed(jobs[1], "no\x1bsuch column"))
        watcher.started(jobs[2])
        watcher.progress(Progress(jobs[2].name, "training", 3, 10))
        time.sleep(0.5)
        watcher.tick()
        watcher.ended(jobs[2], finished(jobs[2], 41))


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    story()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "1 of 3 finished, about 10 s left; 1 at a time",
        "german_credit-vae-1: its process was ended by SIGKILL; tried again",
        r"german_credit-vae-1: failed: no\x1bsuch column (1 of 3 finished, 1 failed, about 5 s left)",
        "german_credit-vae-2: finished in 41 s (2 of 3 finished, 1 failed)",
    ]


def test_nothing_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    story(quiet=True)
    assert capsys.readouterr() == ("", "")


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, kind: str) -> Iterator[list[bytes]]:
    """Standard error is a terminal of 80 columns; what it was sent is in the list afterwards."""
    ours, theirs = pty.openpty()
    got: list[bytes] = []

    def read() -> None:
        # a terminal whose other end is closed gives an error on Linux, and nothing elsewhere
        try:
            while chunk := os.read(ours, 65536):
                got.append(chunk)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        yield got
    reader.join()
    os.close(ours)


def test_a_terminal_shows_the_table_while_it_runs_and_keeps_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "xterm") as got:
        story()
    shown = b"".join(got).decode("utf-8")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "●·" in plain
    assert "german_credit-vae-2  training  3 of 10" in plain
    assert "1 of 3 finished, 1 failed, 1 at work" in plain
    # what stays is what follows the last erased line
    kept = [line for line in plain.replace("\r", "\n").splitlines() if "tried again" in line or r"no\x1bsuch" in line]
    assert len(kept) == 2
    assert "\x1b[?25h" in shown, "the cursor is there again"


def test_a_terminal_that_cannot_go_back_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "dumb") as got:
        story()
    assert len(b"".join(got).decode("utf-8").splitlines()) == 4


def test_states_of_jobs() -> None:
    jobs: tuple[StudyJob | AuditJob, ...] = seeds(2)
    made = Seen()
    made.begin(jobs, Standing({}, {}, jobs), 1)
    assert [made.state(job) for job in jobs] == ["waiting", "waiting"]
    made.started(jobs[0])
    assert made.state(jobs[0]) == "work"
    made.ended_with(jobs[0], finished(jobs[0]))
    made.started(jobs[1])
    made.ended_with(jobs[1], failed(jobs[1]))
    assert [made.state(job) for job in jobs] == ["finished", "failed"]
    assert made.summary == "1 of 2 finished, 1 failed"
