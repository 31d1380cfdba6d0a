"""The study as the paper's set-up asks for it, at a budget that two cores can pay in a few hours."""

from __future__ import annotations

from circuitprobe.adapters.benchmarks.overview import overview
from circuitprobe.reference_models import ARCHITECTURES, objective_for
from circuitprobe.reference_models.objectives import Modality
from circuitprobe.reference_models.training import HIDDEN, RATES, default_steps
from circuitprobe.study.jobs import Levels
from circuitprobe.study.plan import Audit, Grid, Plan, Training, modality_of
from circuitprobe.study.versions import versions

IMAGE_STEPS = 2000
LEVELS: Levels = (2,)
TABLE_ROWS, IMAGE_ROWS = 2048, 512
"""Rows audited; an image takes fifty times as long as a row of a table."""


def default_plan(
    grid: Grid,
    *,
    rows: int | None = None,
    train_rows: int | None = None,
    steps: int | None = None,
    levels: Levels | None = None,
) -> Plan:
    """A study with the defaults of ``circuitprobe train`` and ``circuitprobe audit``, but for images.

    Args:
        grid: its runs.
        rows: audited at most, of every benchmark; default 2,048 of a table, 512 images.
        train_rows: models are trained on a sample of so many; default all.
        steps: gradient steps of every training; default those of ``circuitprobe train`` for tables, 2,000 for images.
        levels: of the audits; default the second, from which the findings are.
    """
    every: dict[Modality, dict[str, int]] = {"table": {}, "image": {}}
    for benchmark in grid.benchmarks:
        every[modality_of(benchmark)][benchmark] = steps or _steps(benchmark, train_rows)
    return Plan(
        grid=grid,
        table=_training("table", every["table"], train_rows),
        image=_training("image", every["image"], train_rows),
        audit=Audit(
            rows={
                name: rows or (IMAGE_ROWS if modality_of(name) == "image" else TABLE_ROWS) for name in grid.benchmarks
            },
            levels=levels or LEVELS,
        ),
        versions=versions(),
    )


def _steps(benchmark: str, train_rows: int | None) -> int:
    if modality_of(benchmark) == "image":
        return IMAGE_STEPS
    rows = overview(benchmark).rows
    return default_steps(min(rows, train_rows or rows), "table", RATES["table"].batch, None)


def _training(modality: Modality, steps: dict[str, int], rows: int | None) -> Training | None:
    if not steps:
        return None
    rates = RATES[modality]
    strengths = {arch: objective_for(arch, modality).strength for arch in ARCHITECTURES}
    return Training(
        batch=rates.batch, lr=rates.lr, hidden=HIDDEN if modality == "table" else (), rows=rows, steps=steps,
        strength={arch: strength[1] for arch, strength in strengths.items() if strength and arch != "vae"},
    )  # fmt: skip
