"""A check as a table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from circuitprobe.gate.rows import HEADER, cells, headline, how, remarks, verdict
from circuitprobe.report.layout import add_row, dim, hanging, plain_table
from circuitprobe.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from circuitprobe.gate.result import CheckResult, GateResult

STYLES = {"pass": "green", "regression": "bold red", "inconclusive": "yellow"}
NARROW = 100
"""Columns below which the table becomes a list: six columns of figures with intervals need the room."""


def render(result: CheckResult, width: int) -> Iterator[RenderableType]:
    """The outcome in a line, what did not pass in sentences, then all gates.

    Args:
        result: of a check.
        width: of the terminal in columns.
    """
    yield Text(visible(headline(result)), style=STYLES[result.outcome])
    yield Text(verdict(result), style="bold" if result.exit_code else "")
    yield Text()
    told = [entry for entry in result.results if entry.outcome != "pass"]
    for entry in told:
        yield hanging(_mark(entry, result), entry.message, STYLES[entry.outcome])
    for warning in remarks(result):
        yield hanging("?", warning, "yellow")
    if told or remarks(result):
        yield Text()
    # what did not pass has been told in full: in a narrow terminal that is enough
    yield from _listed(result) if width < NARROW else [_table(result)]
    yield Text()
    yield dim(how(result))


def _table(result: CheckResult) -> RenderableType:
    table = plain_table([(name, name in {"baseline", "new", "difference"}) for name in HEADER])
    for entry in result.results:
        *figures, outcome = cells(entry)
        add_row(table, *figures, Text(outcome, style=STYLES[entry.outcome], no_wrap=True))
    return table


def _listed(result: CheckResult) -> Iterator[RenderableType]:
    for entry in result.of("pass"):
        what, baseline, new, difference, tolerance, outcome = cells(entry)
        yield Text.assemble((outcome, STYLES[entry.outcome]), f"  {visible(what)}")
        shown = f"{baseline} -> {new}" if baseline else new
        if difference:
            shown += f", a change of {difference}"
        yield Padding(dim(f"{shown}; {tolerance}"), (0, 0, 0, 4))


def _mark(entry: GateResult, result: CheckResult) -> str:
    return "!" if entry.fails(strict=result.strict) else "?"
