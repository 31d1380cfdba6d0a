"""The pieces that every section of the terminal report is laid out with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from circuitprobe.report.words import interval, number, percent
from circuitprobe.text import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from circuitprobe.types import Estimate

NARROW = 90
PLUS_MINUS = {True: "±", False: "+-"}
SMALLEST_WHOLE_PERCENT = 0.005


def bullet(*, unicode: bool) -> str:
    """What a line of a list begins with."""
    return "•" if unicode else "*"


def hanging(mark: str, text: str, style: str = "") -> Table:
    """A paragraph whose further lines are indented as its first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=style), Text(visible(text), style=style))
    return grid


def section(title: str, body: RenderableType) -> Iterator[RenderableType]:
    """An empty line, a bold title, and the body one column in."""
    yield Text()
    yield Text(title, style="bold")
    yield Padding(body, (0, 0, 0, 1))


def plain_table(columns: Sequence[tuple[str, bool]]) -> Table:
    """A table without lines; a column is (header, figures or not)."""
    made = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for header, figures in columns:
        made.add_column(header, justify="right" if figures else "left", no_wrap=figures, overflow="fold")
    return made


def add_row(to: Table, *cells: str | Text, style: str = "") -> None:
    """A row of cells taken literally: names from a user's table are no markup."""
    to.add_row(*(Text(visible(cell)) if isinstance(cell, str) else cell for cell in cells), style=style)


def dim(text: str) -> Text:
    """A remark."""
    return Text(visible(text), style="dim", overflow="fold")


def estimate_text(e: Estimate | None, width: int, *, unicode: bool) -> str:
    """An estimate as wide as the terminal allows: with its interval, or with half its length."""
    if e is None:
        return ""
    if width >= NARROW or e.value is None or e.low is None or e.high is None:
        return interval(e)
    return f"{number(e.value)} {PLUS_MINUS[unicode]}{number((e.high - e.low) / 2, 1)}"


def share_text(e: Estimate, width: int, *, unicode: bool) -> str:
    """A share with its interval, or half its length: ``92% [90%, 94%]``, ``92% ±2%``."""
    if e.value is None or e.low is None or e.high is None:
        return percent(e)
    if width >= NARROW:
        return f"{e.value:.0%} [{e.low:.0%}, {e.high:.0%}]"
    half = (e.high - e.low) / 2
    return f"{e.value:.0%} {PLUS_MINUS[unicode]}{half:.{0 if half == 0 or half >= SMALLEST_WHOLE_PERCENT else 1}%}"


def packed(items: Sequence[str], room: int, first: int = 0) -> str:
    """Items with commas between them, in lines that break between items where those fit a line.

    Args:
        items: in order.
        room: columns of a line.
        first: columns of the first line that are taken already.
    """
    lines, taken = [""], first
    for place, item in enumerate(items):
        shown = item + ("," if place < len(items) - 1 else "")
        if lines[-1] and taken + 1 + cell_len(shown) > room:
            lines.append("")
            taken = 0
        gap = " " if lines[-1] else ""
        lines[-1] += gap + shown
        taken += cell_len(gap + shown)
    return "\n".join(lines)
