"""A study's report in the terminal: the four verdicts first, then the tables, for any width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from circuitprobe.report.layout import PLUS_MINUS, add_row, bullet, dim, hanging, plain_table, section
from circuitprobe.study.telling.tables import (
    ESTIMATE,
    REMARK,
    benchmark_tables,
    finding_tables,
    pair_table,
    power_table,
)
from circuitprobe.study.telling.words import run_words, statements
from circuitprobe.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from circuitprobe.study.telling.model import StudyReport
    from circuitprobe.study.telling.tables import TextTable
    from circuitprobe.study.telling.words import Statement

STYLES = {"reproduced": "green", "not reproduced": "bold red", "inconclusive": "yellow"}
MARGIN = 1
SPEAKS_FOR_ITSELF = ("", ESTIMATE, REMARK)
"""Columns whose cells need no name in a list."""


def render(report: StudyReport, width: int, *, unicode: bool = True) -> Iterator[RenderableType]:
    """The parts of the report in reading order.

    Args:
        report: what to show.
        width: columns of the terminal.
        unicode: whether dashes and signs beyond ASCII can be printed.
    """
    yield Text(visible(f"circuitprobe study  {run_words(report)}"), style="bold")
    yield Text()
    for statement in statements(report):
        yield from _stated(statement)
    for warning in report.warnings:
        yield hanging("⚠" if unicode else "!", warning.message, "yellow")
    for failure in report.runs.failures:
        said = f"{failure.arch} on {failure.benchmark}, seed {failure.seed} failed: {failure.error}"
        yield hanging(bullet(unicode=unicode), said)
    for table in _tables(report, unicode=unicode):
        yield from section(table.title, _drawn(table, width - MARGIN))
    yield Text()
    yield dim(report.verdict_rule)


def _stated(statement: Statement) -> Iterator[RenderableType]:
    style = STYLES[statement.outcome]
    yield hanging(f"{statement.number}", f"{statement.outcome.upper()}: {statement.title}", style)
    yield Padding(Text(visible(statement.sentence), overflow="fold"), (0, 0, 0, 2))


def _tables(report: StudyReport, *, unicode: bool) -> Iterator[TextTable]:
    found = report.findings.differences
    for place, table in enumerate(finding_tables(report), start=1):
        yield table
        if place == 3 and found.runs.significant:
            yield pair_table(found.runs, "Significant differences", only_significant=True)
    yield power_table(report)
    yield from benchmark_tables(report, plus_minus=PLUS_MINUS[unicode])


def _drawn(table: TextTable, width: int) -> RenderableType:
    """As a table where that fits, else as a list of what each row says."""
    lines = (table.header, *table.rows)
    columns = [max(cell_len(visible(line[place])) for line in lines) for place in range(len(table.header))]
    body = _as_table(table) if sum(columns) + len(columns) - 1 <= width else Group(*_as_list(table))
    return Group(body, dim(table.note)) if table.note else body


def _as_table(table: TextTable) -> RenderableType:
    drawn = plain_table([(name, place > 0 and name != REMARK) for place, name in enumerate(table.header)])
    for row in table.rows:
        add_row(drawn, *row)
    return drawn


def _as_list(table: TextTable) -> Iterator[RenderableType]:
    for what, *cells in table.rows:
        said = [
            cell if name in SPEAKS_FOR_ITSELF else f"{name} {cell}"
            for name, cell in zip(table.header[1:], cells, strict=True)
            if cell not in {"", "-"}
        ]
        yield Text(visible(what), overflow="fold")
        yield Padding(dim("; ".join(said)), (0, 0, 0, 2))
