"""A report whose figures are known, as a test has it, and its baseline."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.builders import make_report

from circuitprobe.gate.asserting import Audited
from circuitprobe.gate.baseline_file import write_baseline
from circuitprobe.gate.snapshot import snapshot_of
from circuitprobe.report import AuditReport


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return make_report()


@pytest.fixture(scope="module")
def audit(report: AuditReport) -> Audited:
    return Audited(report)


@pytest.fixture
def baseline(report: AuditReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_baseline(snapshot_of(report), "baseline.json")
    return Path("baseline.json")
