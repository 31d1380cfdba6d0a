"""Audits side by side in the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from circuitprobe.gate.words import figure_words
from circuitprobe.report.layout import add_row, dim, plain_table
from circuitprobe.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from circuitprobe.gate.compare import ComparedRow
    from circuitprobe.types import Estimate

BEYOND_CHANCE = 1.0
PER_AUDIT, REST = 24, 40
"""Columns that a figure with its interval takes, and those of the table beside the audits."""


def render(rows: Sequence[ComparedRow], names: Sequence[str], width: int) -> Iterator[RenderableType]:
    """A line on what changed, then one row per figure; a list where the terminal is too narrow for a table."""
    changed = sum(row.change > BEYOND_CHANCE for row in rows)
    said = f"circuitprobe compare  {', '.join(names)}: {changed} of {len(rows)} figures differ beyond chance"
    yield Text(visible(said), style="bold")
    yield Text()
    yield from _table(rows, names) if width >= REST + PER_AUDIT * len(names) else _listed(rows, names)
    yield Text()
    yield dim("change: difference to the first in half widths of its 95 % interval; above 1 it is beyond chance")


def _table(rows: Sequence[ComparedRow], names: Sequence[str]) -> Iterator[RenderableType]:
    table = plain_table(
        [("metric", False), ("latent", False), *((visible(name), True) for name in names), ("change", True)]
    )
    for row in rows:
        shown = (_shown(figure) for figure in row.figures)
        add_row(table, row.metric, _latents(row), *shown, _change(row.change), style=_style(row))
    yield table


def _listed(rows: Sequence[ComparedRow], names: Sequence[str]) -> Iterator[RenderableType]:
    for row in rows:
        of = f" of {_latents(row)}" if row.latent is not None else ""
        yield Text(f"{visible(row.metric)}{visible(of)}  change {_change(row.change) or 'unknown'}", style=_style(row))
        for name, figure in zip(names, row.figures, strict=True):
            yield Padding(dim(f"{name}: {_shown(figure) or 'none'}"), (0, 0, 0, 4))


def _style(row: ComparedRow) -> str:
    return "bold" if row.change > BEYOND_CHANCE else ""


def _latents(row: ComparedRow) -> str:
    if row.latent is None:
        return ""
    others = [name or "none" for name in row.names[1:]]
    return row.latent if all(name == row.latent for name in others) else " / ".join((row.latent, *others))


def _shown(figure: Estimate | None) -> str:
    return "" if figure is None else figure_words(figure)


def _change(change: float) -> str:
    if math.isnan(change):
        return ""
    return "inf" if math.isinf(change) else f"{change:.1f}"
