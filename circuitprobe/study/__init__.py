"""Studies: many models trained and audited, and what they say together.

::

    from circuitprobe import study

    plan = study.default_plan(study.Grid(architectures=("vae", "beta-vae"), benchmarks=("adult",), seeds=(0, 1)))
    study.run_study("folder", plan, study.executor_named("local", workers=2))
    report = study.report("folder")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitprobe.study.archive import write_archive
    from circuitprobe.study.audits import audit_jobs, run_audits
    from circuitprobe.study.defaults import default_plan
    from circuitprobe.study.executors import executor_named
    from circuitprobe.study.plan import Grid, Plan, read_plan, write_plan
    from circuitprobe.study.reporting import ReportOutputs, report
    from circuitprobe.study.session import run_study
    from circuitprobe.study.telling.model import StudyReport

_HOME = {
    "Grid": "plan",
    "Plan": "plan",
    "ReportOutputs": "reporting",
    "StudyReport": "telling.model",
    "audit_jobs": "audits",
    "default_plan": "defaults",
    "executor_named": "executors",
    "read_plan": "plan",
    "report": "reporting",
    "run_audits": "audits",
    "run_study": "session",
    "write_archive": "archive",
    "write_plan": "plan",
}

__all__ = [
    "Grid",
    "Plan",
    "ReportOutputs",
    "StudyReport",
    "audit_jobs",
    "default_plan",
    "executor_named",
    "read_plan",
    "report",
    "run_audits",
    "run_study",
    "write_archive",
    "write_plan",
]


def __getattr__(name: str) -> object:
    # not imported above: a worker needs none of the statistics
    if name in _HOME:
        return getattr(importlib.import_module(f"circuitprobe.study.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
