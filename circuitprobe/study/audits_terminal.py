"""Audits of many models in the terminal: one row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from circuitprobe.report.layout import NARROW, add_row, bullet, dim, estimate_text, hanging, plain_table
from circuitprobe.report.words import number
from circuitprobe.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

    from circuitprobe.report import AuditReport
    from circuitprobe.study.perform import Record

WIDE = 150
_SCORES = (
    ("ces", "CES"),
    ("specificity", "specificity"),
    ("fgd_adjusted", "FGD above chance"),
    ("modularity", "modularity"),
)
_SHORT = _SCORES[:2]


def render(
    reports: Mapping[str, AuditReport], failed: Mapping[str, Record], width: int, *, unicode: bool = True
) -> Iterator[RenderableType]:
    """A row per model, then those whose audit failed.

    Args:
        reports: audits by name.
        failed: records by name.
        width: columns of the terminal.
        unicode: whether more than ASCII can be printed.
    """
    scores = _SCORES if width >= NARROW else _SHORT
    wanted = any(report.downstream is not None for report in reports.values()) and width >= NARROW
    table = plain_table(
        [("model", False), ("MSE / mean's", True), ("active", True)]
        + [(heading, True) for _, heading in scores]
        + ([("AUC", True)] if wanted else [])
    )
    for name, report in reports.items():
        found = None if report.scores is None else report.scores
        figures = [
            ""
            if found is None
            else estimate_text(getattr(found, score), width if width >= WIDE else 0, unicode=unicode)
            for score, _ in scores
        ]
        active = f"{sum(latent.active for latent in report.latents)} of {len(report.latents)}"
        auc = [] if not wanted else [_auc(report, width, unicode=unicode)]
        add_row(table, name, _share(report), active, *figures, *auc, style="" if _fine(report) else "yellow")
    yield table
    if any(not _fine(report) for report in reports.values()):
        yield dim("yellow: does not reconstruct better than each column's mean; its scores say little")
    for name, record in failed.items():
        why = record.failure.text if record.failure else ""
        yield hanging(bullet(unicode=unicode), f"{name} failed: {why}", "red")
    yield Text(visible(f"{len(reports)} of {len(reports) + len(failed)} audited"), style="bold")


def _fine(report: AuditReport) -> bool:
    return report.reconstruction is None or report.reconstruction.reconstructs


def _share(report: AuditReport) -> str:
    """MSE over that of predicting each column's mean or frequencies."""
    if report.reconstruction is None:
        return "no encoder"
    mse = report.reconstruction.mse
    return "undefined" if not mse.null or mse.value is None else number(mse.value / mse.null)


def _auc(report: AuditReport, width: int, *, unicode: bool) -> str:
    if report.downstream is None:
        return ""
    return estimate_text(report.downstream.auc, width if width >= WIDE else 0, unicode=unicode)
