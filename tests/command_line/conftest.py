"""Runs the command line as a user would and gives what it printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from circuitprobe.cli import app
from circuitprobe.shell import guarded


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``command("audit", model, data)``: the real parser, exit codes and streams, in this process."""
    monkeypatch.delenv("CIRCUITPROBE_TRACEBACK", raising=False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["circuitprobe", *map(str, arguments)])
        code = guarded(app)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
