"""What a latent changes in an image, as a small map of the patches, several beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.style import Style
from rich.text import Text

from circuitprobe.report.heat import shade
from circuitprobe.report.layout import dim
from circuitprobe.report.level_words import by_strength
from circuitprobe.report.words import counted, measured, number

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.types import Estimate

MOST_MAPS = 24
GAP = 2
# from nothing to the largest effect: dark blue, violet, red, orange, light yellow; even in lightness
RAMP = ((13, 8, 60), (106, 23, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164))


@dataclass(frozen=True)
class PatchMap:
    """One map with its caption.

    Attributes:
        name: what it is a map of.
        values: one per patch, row after row, shape (rows, columns).
    """

    name: str
    values: tuple[tuple[float, ...], ...]

    @property
    def largest(self) -> float:
        """The value that the last shade stands for."""
        return max(max(row) for row in self.values)

    @property
    def caption(self) -> str:
        """``z3 .21``: the largest value."""
        return f"{self.name} {number(self.largest, 2)}"


@dataclass(frozen=True)
class PatchMaps:
    """Maps side by side as wide as the terminal: coloured half blocks, else shades, else ASCII.

    Attributes:
        maps: in the order in which they are shown.
        note: below them.
    """

    maps: tuple[PatchMap, ...]
    note: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        width = options.max_width
        unicode = not options.ascii_only
        coloured = unicode and not console.no_color and console.color_system in ("256", "truecolor", "windows")
        draw = _half_blocks if coloured else _shades
        across = 1 if coloured or 2 * len(self.maps[0].values[0]) > width else 2
        drawn = [draw(each, across, unicode=unicode) for each in self.maps]
        column = max(max(cell_len(line.plain) for line in lines) for lines in drawn)
        count = max(1, (width + GAP) // (column + GAP))
        for start in range(0, len(drawn), count):
            if start:
                yield Text()
            yield from _beside(drawn[start : start + count], column)
        yield dim(self.note)


def latent_maps(report: AuditReport) -> RenderableType | None:
    """The effect matrix of an audit on images: a map per live latent, the strongest first.

    Returns:
        None where the features are no patches of a grid, or no live latent's effects are known.
    """
    grid = report.data.image.grid if report.data.image is not None else (0, 0)
    live = [latent for latent in by_strength(report.latents) if measured(latent)]
    if 0 in grid or not live:
        return None
    maps = tuple(PatchMap(latent.name, _values(latent.effects, grid)) for latent in live[:MOST_MAPS])
    note = "each map from 0 to its own largest effect, which stands above it; patches as they lie in the image"
    if len(live) > MOST_MAPS:
        note += f"; not shown: {counted(len(live) - MOST_MAPS, 'weaker latent')}"
    return PatchMaps(maps, note)


def error_map(report: AuditReport) -> RenderableType | None:
    """Where the model reconstructs badly: the root of the mean squared error of every patch, and that of the mean image.

    Returns:
        None where the features are no patches of a grid.
    """
    grid = report.data.image.grid if report.data.image is not None else (0, 0)
    if 0 in grid or report.reconstruction is None:
        return None
    own = {name: entry.mse for name, entry in report.reconstruction.features.items()}
    null = {name: 0.0 if e.null is None else e.null for name, e in own.items()}
    maps = (
        PatchMap("model", _roots(_values(own, grid))),
        PatchMap("mean image", _roots(_grid([null.get(name, 0.0) for name in _names(grid)], grid))),
    )
    return PatchMaps(
        maps, "root of the mean squared error per patch, in intensities; each from 0 to its largest, above it"
    )


def _names(grid: tuple[int, int]) -> list[str]:
    return [f"patch {i},{j}" for i in range(grid[0]) for j in range(grid[1])]


def _values(estimates: Mapping[str, Estimate], grid: tuple[int, int]) -> tuple[tuple[float, ...], ...]:
    found = [estimates.get(name) for name in _names(grid)]
    return _grid([0.0 if e is None or e.value is None else e.value for e in found], grid)


def _grid(values: Sequence[float], grid: tuple[int, int]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(values[row * grid[1] : (row + 1) * grid[1]]) for row in range(grid[0]))


def _roots(values: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(max(0.0, value) ** 0.5 for value in row) for row in values)


def _shades(each: PatchMap, across: int, *, unicode: bool) -> list[Text]:
    """One line per row of patches. An edge shows where the map ends, as its lightest shade is a space."""
    left, right = ("▏", "▕") if unicode else ("|", "|")
    rows = ["".join(shade(value, each.largest, unicode=unicode) * across for value in row) for row in each.values]
    return [Text(each.caption, style="bold"), *(Text(f"{left}{row}{right}") for row in rows)]


def _half_blocks(each: PatchMap, across: int, *, unicode: bool) -> list[Text]:
    """One line per two rows of patches: the upper one in the foreground of a half block, the lower one behind it."""
    del unicode
    lines = [Text(each.caption, style="bold")]
    for upper in range(0, len(each.values), 2):
        line = Text()
        lower = each.values[upper + 1] if upper + 1 < len(each.values) else None
        for place, value in enumerate(each.values[upper]):
            behind = None if lower is None else _colour(lower[place], each.largest)
            line.append("▀" * across, Style(color=_colour(value, each.largest), bgcolor=behind))
        lines.append(line)
    return lines


def _colour(value: float, largest: float) -> Color:
    """The ramp's colour at value / largest, between its entries by straight lines."""
    place = 0.0 if largest <= 0 else min(1.0, max(0.0, value / largest)) * (len(RAMP) - 1)
    first = min(int(place), len(RAMP) - 2)
    share = place - first
    mixed = [round(a + (b - a) * share) for a, b in zip(RAMP[first], RAMP[first + 1], strict=True)]
    return Color.from_rgb(*mixed)


def _beside(drawn: Sequence[list[Text]], column: int) -> Iterator[Text]:
    """Maps in one row, each as wide as ``column``."""
    for number_of_line in range(max(len(lines) for lines in drawn)):
        line = Text(no_wrap=True, overflow="crop")
        for place, lines in enumerate(drawn):
            part = lines[number_of_line] if number_of_line < len(lines) else Text()
            line.append_text(part)
            if place < len(drawn) - 1:
                line.append(" " * (column - cell_len(part.plain) + GAP))
        yield line
