"""How a study's figures look, and how they become the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from circuitprobe.study.records import RunRecord

INK, DIM, GRID, PAPER = "#1f2328", "#656d76", "#d8dee4", "#ffffff"
DARK = {INK: "#e6edf3", DIM: "#9198a1", GRID: "#30363d", PAPER: "#0d1117"}
"""What these colours become where the reader prefers dark."""

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#aa3377", "#66ccee", "#bbbbbb")
"""Paul Tol's bright scheme, told apart with any colour vision; an edge of ink keeps the light ones visible on white."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
Entry = tuple[str, str, str]
"""Label, marker and colour."""


def colour_of(name: str, names: Sequence[str]) -> str:
    """An architecture's colour: by its place among all of the study."""
    return COLOURS[names.index(name) % len(COLOURS)]


def marker_of(name: str, names: Sequence[str]) -> str:
    """A benchmark's form."""
    return MARKERS[names.index(name) % len(MARKERS)]


def legends(axes: Axes, blocks: Sequence[tuple[str, Sequence[Entry]]]) -> None:
    """Legends right of the axes, one below the other."""
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

    top = 1.02
    for title, entries in blocks:
        handles = [
            Line2D([], [], ls="none", marker=marker, color=colour, mec=INK, mew=2 if marker == "_" else 0.4)
            for _, marker, colour in entries
        ]
        block = Legend(
            axes,
            handles,
            [label for label, _, _ in entries],
            title=title,
            loc="upper left",
            bbox_to_anchor=(1.01, top),
            frameon=False,
            alignment="left",
            labelcolor=INK,
        )
        block.get_title().set_color(DIM)
        axes.add_artist(block)
        top -= 0.062 * (len(entries) + 1) + 0.04


def svg_of(
    title: str, description: str, draw: Callable[[Axes, Sequence[RunRecord]], None], records: Sequence[RunRecord]
) -> bytes:
    """Draw a figure: text stays text, nothing depends on the time or on the reader's settings of matplotlib.

    Args:
        title: above it.
        description: for those who cannot see it.
        draw: puts it on axes.
        records: what it shows.

    Raises:
        UsageError: matplotlib is not installed.
    """
    with _settings():
        axes = new_axes(title)
        draw(axes, records)
        buffer = io.StringIO()
        figure = axes.get_figure(root=True)
        assert figure is not None  # noqa: S101 - axes that were just made
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _told(buffer.getvalue(), title, description).encode("utf-8")


def new_axes(title: str) -> Axes:
    """Empty axes with room for legends on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.4), facecolor=PAPER)
    axes = figure.add_axes((0.085, 0.13, 0.665, 0.76), facecolor=PAPER)
    axes.set_title(title, loc="left", color=INK, pad=18)
    axes.grid(visible=True, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


@contextmanager
def _settings() -> Iterator[None]:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError(
            "figures need matplotlib, which is not installed",
            expected="the extra 'study'",
            fix="pip install 'circuitprobe[study]'",
        ) from error
    with mpl.rc_context():
        # a matplotlibrc of the reader's must not change the figures
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.hashsalt": "circuitprobe",
                "svg.fonttype": "none",
                "font.family": "sans-serif",
                "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
                "font.size": 9,
                "axes.edgecolor": DIM,
                "axes.labelcolor": INK,
                "xtick.color": DIM,
                "ytick.color": DIM,
                "text.color": INK,
                "legend.fontsize": 8.5,
                "legend.title_fontsize": 8.5,
            }
        )
        yield


def _told(svg: str, title: str, description: str) -> str:
    """With a title and a description for screen readers, and colours for readers who prefer dark."""
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    head = f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n{style}\n"
    start = svg.index("<svg")
    inside = svg.index(">", start) + 1
    opened = svg[start : inside - 1] + ' role="img">'
    return svg[:start] + opened + "\n" + head + svg[inside:].lstrip("\n")
