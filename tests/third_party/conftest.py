"""Puts this folder on the path, and the real command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitprobe.cli import app
from circuitprobe.shell import guarded

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """``audited(model, data, ...)``: the real parser and exit codes in this process, and the JSON that is written."""
    monkeypatch.delenv("CIRCUITPROBE_TRACEBACK", raising=False)

    def run(model: object, data: object, *options: object) -> dict[str, Any]:
        out = tmp_path / "audit.json"
        command = ["circuitprobe", "audit", model, data, *options, "--json", out, "--quiet"]
        monkeypatch.setattr(sys, "argv", [str(part) for part in command])
        code = guarded(app)
        told = capfd.readouterr().err
        assert code == 0, told
        report: dict[str, Any] = json.loads(out.read_text())
        return report

    return run
