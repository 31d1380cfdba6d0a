"""Runs as processes: one that is killed, models that print, read, fork and leave threads behind, a folder full of traps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scripted import Job, Remembering
from small_jobs import AUDIT, study_job

from circuitprobe.study.executor import Event, Progress, Stuck
from circuitprobe.study.jobs import AuditJob, ModelOptions
from circuitprobe.study.local import LocalExecutor
from circuitprobe.study.running import Outcome, run_jobs
from circuitprobe.study.store import Store

JOB = study_job()
NOISY = """
import os
import sys
import threading
import time

import torch
from torch import nn

class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(2, 4)

    def encode(self, x):
        print('{"phase": "encoding", "done": 1}')
        return self.encoder(x).chunk(2, dim=1)

    def decode(self, z):
        os.write(1, b"decoding\\n")
        return self.decoder(z)

    def forward(self, x):
        mean, log_var = self.encode(x)
        return self.decode(mean + torch.randn_like(mean) * (log_var / 2).exp()), mean, log_var


def make():
    print("made by", os.getpid())
    assert sys.stdin.read() == ""
    threading.Thread(target=time.sleep, args=(3000,)).start()
    forked = os.fork()
    if not forked:
        time.sleep(3000)
        os._exit(0)
    print("forked", forked)
    return Noisy()
"""


@dataclass
class Killing(LocalExecutor):
    """Kills the first attempt of one run as soon as it tells something; remembers how each process was begun."""

    victim: str = ""
    killed: list[int] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)

    def poll(self, seconds: float) -> Sequence[Event]:
        events = super().poll(seconds)
        self.seen += events
        if not self.killed and any(isinstance(event, Progress) and event.name == self.victim for event in events):
            self.killed.append(self._running[self.victim].process.pid)
            os.kill(self.killed[0], signal.SIGKILL)
        return events


@dataclass(frozen=True)
class Session:
    outcome: Outcome
    executor: Killing
    watcher: Remembering
    folder: Path


def users_job(folder: Path) -> AuditJob:
    """A user's model, rows and code."""
    (folder / "noisy.py").write_text(NOISY, encoding="utf-8")
    torch.manual_seed(0)
    weights = {"encoder.weight": torch.randn(4, 4), "encoder.bias": torch.zeros(4)}
    weights |= {"decoder.weight": torch.randn(4, 2), "decoder.bias": torch.zeros(4)}
    torch.save(weights, folder / "noisy.pt")
    rows = np.random.default_rng(0).normal(size=(80, 4))
    pd.DataFrame(rows, columns=list("abcd")).to_csv(folder / "rows.csv", index=False)
    options = ModelOptions(factory=f"{folder / 'noisy.py'}:make")
    return AuditJob(
        label="noisy.pt", model=str(folder / "noisy.pt"), data=str(folder / "rows.csv"), options=options, audit=AUDIT
    )


def set_traps(folder: Path) -> None:
    """Files where the study is begun that must not be taken for a library or a benchmark, and an installation that prints."""
    (folder / "random.py").write_text("raise SystemExit('a random.py of the current folder')", encoding="utf-8")
    (folder / "german_credit").write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text("print('welcome'); print('[1, 2]')", encoding="utf-8")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("local")
    set_traps(folder)
    jobs: tuple[Job, ...] = (JOB, users_job(folder))
    store = Store(Path("out"))
    executor, watcher = Killing(2, victim=JOB.name), Remembering()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", f"{folder / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        store.begin()
        outcome = run_jobs(jobs, store, lambda: executor, watcher)
    yield Session(outcome, executor, watcher, folder / "out")
    os.kill(fork_of(folder / "out"), signal.SIGKILL)


def fork_of(out: Path) -> int:
    log = (out / "runs" / "noisy.pt" / "log.txt").read_text(encoding="utf-8")
    return int(log.split("forked ")[1].split()[0])


def test_a_killed_run_is_tried_again_and_both_come_to_their_ends(session: Session) -> None:
    assert [line for line in session.watcher.told if line.startswith("lost")] == [
        f"lost {JOB.name} 1: its process was ended by SIGKILL (out of memory?)"
    ]
    assert session.outcome.failed == {}
    assert sorted(session.outcome.finished) == [JOB.name, "noisy.pt"]
    assert {path.name for path in (session.folder / "runs" / JOB.name).iterdir()} == {
        "audit.json", "job.json", "log.txt", "model.pt", "run.json"
    }  # fmt: skip


def test_a_file_called_as_a_benchmark_does_not_stand_in_for_it(session: Session) -> None:
    model = torch.load(session.folder / "runs" / JOB.name / "model.pt", weights_only=True)
    assert model["data"]["target"] == "credit_risk"


def test_what_a_model_prints_is_in_its_log_and_disturbs_nobody(session: Session) -> None:
    log = (session.folder / "runs" / "noisy.pt" / "log.txt").read_text(encoding="utf-8")
    assert "made by" in log
    assert "decoding" in log
    assert '{"phase": "encoding", "done": 1}' in log
    phases = {event.phase for event in session.executor.seen if isinstance(event, Progress)}
    assert phases
    assert "encoding" not in phases


def test_what_a_model_leaves_running_is_not_waited_for(session: Session) -> None:
    """Its thread sleeps for fifty minutes, as does its fork, which holds what it was given open."""
    assert "noisy.pt" in session.outcome.finished
    os.kill(fork_of(session.folder), 0)


def test_progress_is_told_from_training_to_audit(session: Session) -> None:
    told = [event for event in session.executor.seen if isinstance(event, Progress) and event.name == JOB.name]
    assert told[0].phase == "training"
    assert told[-1].phase != "training"


def test_stop_ends_what_is_at_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin()
    executor = LocalExecutor(1)
    executor.submit(JOB, store.work(JOB))
    process = next(iter(executor._running.values())).process
    executor.stop()
    assert process.returncode == -signal.SIGTERM, "it was asked, not killed"
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_run_without_room_stops_the_study(tmp_path: Path) -> None:
    """Its record cannot be written: a folder is in the way."""
    store = Store(tmp_path)
    store.begin()
    job = study_job(benchmark="nowhere")
    folder = store.work(job)
    executor = LocalExecutor(1)
    (folder / "run.json").mkdir()
    executor.submit(job, folder)
    events: list[Event] = []
    until = time.monotonic() + 60
    while not any(isinstance(event, Stuck) for event in events) and time.monotonic() < until:
        events += executor.poll(0.25)
    executor.stop()
    assert events[-1] == Stuck(job.name, f"cannot write {folder / 'run.json'}: it is a folder")
