"""``circuitprobe data list``: the benchmarks in a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from circuitprobe.report.layout import NARROW, add_row, plain_table, section

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

    from circuitprobe.adapters.benchmarks.overview import Overview


@dataclass(frozen=True)
class BenchmarkList:
    """The benchmarks, to be printed by rich."""

    benchmarks: tuple[Overview, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Rich's protocol: a table, or one paragraph per benchmark where a table would not fit."""
        yield from _wide(self.benchmarks) if options.max_width >= NARROW else _narrow(self.benchmarks)


def _wide(benchmarks: tuple[Overview, ...]) -> Iterator[RenderableType]:
    table = plain_table(
        (("name", False), ("rows", True), ("size of each", True), ("features", False), ("target", False))
    )
    for known in benchmarks:
        add_row(table, known.name, f"{known.rows:,}", known.size, known.features, known.target)
    yield table
    yield from section("Feature groups", _pairs((known.name, known.groups) for known in benchmarks))
    yield from section("Sources", _pairs((known.name, known.attribution) for known in benchmarks))


def _narrow(benchmarks: tuple[Overview, ...]) -> Iterator[RenderableType]:
    for place, known in enumerate(benchmarks):
        if place:
            yield Text()
        yield Text(known.name, style="bold")
        rows = {
            "size": f"{known.rows:,} x {known.size}",
            "features": known.features,
            "target": known.target,
            "groups": known.groups,
            "source": known.attribution,
        }
        yield Padding(_pairs(rows.items()), (0, 0, 0, 1))


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows:
        add_row(grid, name, text)
    return grid
