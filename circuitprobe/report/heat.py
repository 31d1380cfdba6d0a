"""The effect matrix and the input matrix as strips of shaded cells: features or groups down, latents across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from circuitprobe.report.level_words import by_strength
from circuitprobe.report.order import feature_names, group_names, ordered
from circuitprobe.report.words import counted, measured
from circuitprobe.text import visible

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.types import Estimate

SHADES = " ░▒▓█"
ASCII_SHADES = " .:*#"
CELL = 5
MOST_ROWS = 40


def shade(value: float, largest: float, *, unicode: bool = True) -> str:
    """One of five shades, in equal steps from 0 to the largest effect of the matrix."""
    shades = SHADES if unicode else ASCII_SHADES
    if largest <= 0 or value <= 0:
        return shades[0]
    return shades[min(len(shades) - 1, int(value / largest * len(shades)))]


def heat_strip(report: AuditReport, width: int, *, unicode: bool = True) -> Text | None:
    """The effect matrix of level 2: features down, live latents across.

    Returns:
        None where no latent is active, or none of their effects is known.
    """
    live = [latent for latent in by_strength(report.latents) if measured(latent)]
    if not live:
        return None
    rows = [(name, [_value(latent.effects.get(name)) for latent in live]) for name in feature_names(report)]
    return matrix_strip(rows, [latent.name for latent in live], width, noun="feature", unicode=unicode)


def input_strip(report: AuditReport, width: int, *, unicode: bool = True) -> Text | None:
    """The input matrix of level 1: feature groups down, live latents across.

    Returns:
        None where level 1 was not run or no latent is active.
    """
    live = [latent.name for latent in by_strength(report.latents)]
    if report.inputs is None or not live:
        return None
    groups = ordered(report.inputs.groups, group_names(report))
    rows = [(name, [_value(row.shift.get(latent)) for latent in live]) for name, row in groups.items()]
    return matrix_strip(rows, live, width, noun="group", unicode=unicode)


def _value(e: Estimate | None) -> float:
    return 0.0 if e is None or e.value is None else e.value


def matrix_strip(
    rows: Sequence[tuple[str, Sequence[float]]], latents: Sequence[str], width: int, *, noun: str, unicode: bool = True
) -> Text:
    """Figures with a shade each, in one line per row.

    Args:
        rows: names with one value per latent, in the order of the data; of many those with the largest sum are kept.
        latents: names of the columns, the most important first; as many as fit are shown.
        width: columns of the terminal.
        noun: what a row is, for the note on what is not shown.
        unicode: whether shades can be printed.
    """
    kept = sorted(sorted(range(len(rows)), key=lambda row: -sum(rows[row][1]))[:MOST_ROWS])
    label = min(max((cell_len(visible(rows[row][0])) for row in kept), default=1), max(8, width // 3))
    count = min(len(latents), max(1, (width - label - 2) // CELL))
    largest = max((value for row in kept for value in rows[row][1][:count]), default=0.0)
    strip = Text(no_wrap=True, overflow="crop")
    strip.append(" " * (label + 1) + "".join(f"{name:>{CELL - 1}} " for name in latents[:count]) + "\n", style="dim")
    for row in kept:
        name, values = rows[row]
        strip.append(f"{_fitted(visible(name), label, unicode=unicode)} ")
        for value in values[:count]:
            tone = shade(value, largest, unicode=unicode)
            darkest = tone == (SHADES if unicode else ASCII_SHADES)[-1]
            strip.append(f" {_figure(value)}{tone}", style="bold" if darkest else "")
        strip.append("\n")
    left = [
        counted(len(latents) - count, "weaker latent") if count < len(latents) else "",
        f"{counted(len(rows) - len(kept), noun)} with less" if len(kept) < len(rows) else "",
    ]
    if any(left):
        strip.append(f"not shown: {', '.join(part for part in left if part)}\n", style="dim")
    strip.rstrip()
    return strip


def _fitted(name: str, cells: int, *, unicode: bool) -> str:
    """A name in exactly so many columns of the terminal; wide letters take two of them."""
    if cell_len(name) > cells:
        name = set_cell_size(name, cells - 1) + ("…" if unicode else ".")
    return set_cell_size(name, cells)


def _figure(value: float) -> str:
    """Three characters: .07, 1.2, 12."""
    if value < 0.995:
        return f"{value:.2f}"[1:]
    return f"{value:.1f}" if value < 9.95 else f"{min(value, 999):3.0f}"
