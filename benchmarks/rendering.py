"""Rendering dSprites: images of the benchmark drawn at random, against every pixel of every canvas evaluated by itself.

``python -m benchmarks.run --only rendering`` times it alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.tasks import Figures
from benchmarks.timing import ENGINE, Row, Spread, Timed, now
from circuitprobe.adapters.benchmarks import dsprites

TITLE, TASK = "dSprites", "rendering"
PLAIN = "full canvas"
IMAGES = 4096
# the plain way draws every k-th image; its time is multiplied
STRIDE = 16
# images per minute that the project asks for
TARGET = 1_000_000


def contenders(count: int = IMAGES, stride: int = STRIDE) -> dict[str, Timed]:
    """A function for each that renders once: seconds for all images, and those that both have rendered."""
    index = np.random.default_rng(0).integers(0, dsprites.IMAGES, count)
    some = index[::stride]
    values = dsprites.factor_values(some)[:, 1:]

    def engine() -> tuple[float, Figures]:
        start = now()
        images = dsprites.images(index)
        return now() - start, {"images": images[::stride].astype(float)}

    def plain() -> tuple[float, Figures]:
        start = now()
        images = np.stack([full_canvas(*row) for row in values.tolist()])
        return (now() - start) * count / len(some), {"images": images.astype(float)}

    return {ENGINE: engine, PLAIN: plain}


def full_canvas(shape: float, s: float, t: float, pos_x: float, pos_y: float) -> np.ndarray:
    """One image: the published geometry at all 64 x 64 pixel centres; the heart by the edges that a ray crosses."""
    centres = np.arange(64) + 0.5
    dx, dy = centres[None, :] - (16 + 32 * pos_x), -(centres[:, None] - (16 + 32 * pos_y))
    u, v = np.cos(t) * dx + np.sin(t) * dy, -np.sin(t) * dx + np.cos(t) * dy
    if shape == 1:
        return (np.abs(u) < 9.6 * s) & (np.abs(v) < 9.6 * s)
    if shape == 2:
        return (u / (12.76 * s)) ** 2 + (v / (7.22 * s)) ** 2 < 1
    w = np.linspace(0, 2 * np.pi, 201)
    x = 0.600 * s * 16 * np.sin(w) ** 3
    y = s * (0.665 * (13 * np.cos(w) - 5 * np.cos(2 * w) - 2 * np.cos(3 * w) - np.cos(4 * w)) + 1.4)
    inside = np.zeros((64, 64), dtype=bool)
    for k in range(len(w) - 1):
        if y[k + 1] != y[k]:
            crossed = (y[k] > v) != (y[k + 1] > v)
            inside ^= crossed & (u < (x[k + 1] - x[k]) * (v - y[k]) / (y[k + 1] - y[k]) + x[k])
    return inside


def timed_row(time_row: Callable[..., Row], rounds: int, budget: float, count: int = IMAGES) -> Row:
    """The line of the results, made by the same code as all others.

    Args:
        time_row: of ``benchmarks.run``.
        rounds: at least so many.
        budget: seconds beyond them.
        count: images per round.
    """
    row = time_row(TITLE, TASK, contenders(count), rounds, budget)
    return Row(
        row.case, row.task, count, 1 / STRIDE, row.seconds, row.ratios, row.difference, row.rounds,
    )  # fmt: skip


def line(row: Row) -> str:
    """One line for the terminal."""
    return (
        f"{row.case}, {row.task}: {row.interventions:,} images in {row.seconds.median:.3f} s, "
        f"{per_minute(row).median:,.0f} a minute; {PLAIN} {_spread(row.ratios[PLAIN])}; "
        f"images differ by {max(row.difference.values()):.0e} at most ({row.rounds} rounds)"
    )


def per_minute(row: Row) -> Spread:
    """Images per minute of circuitprobe."""
    seconds = row.seconds
    return Spread(*(60 * row.interventions / each for each in (seconds.median, seconds.high, seconds.low)))


def section(row: Row, clock: str = "time") -> str:
    """The section of RESULTS.md."""
    speed = per_minute(row)
    met = "yes" if speed.median >= TARGET else "no"
    return "\n\n".join(
        [
            "## Rendering dSprites",
            f"{row.interventions:,} images drawn at random from all 737,280. {PLAIN}: the same geometry at every pixel of one "
            f"image after the other, on 1 in {1 / row.share:.0f} of them, its {clock} multiplied; both give the same pixels there.",
            "| images | circuitprobe | " + PLAIN + " | images a minute | at least | met | pixels that differ | rounds |\n"
            + "|" + "---|" * 8 + "\n"
            + f"| {row.interventions:,} | {row.seconds.median:.3g} s | {_spread(row.ratios[PLAIN])} | {speed.median:,.0f} "
            f"[{speed.low:,.0f}, {speed.high:,.0f}] | {TARGET:,} | {met} | {max(row.difference.values()):.0f} | {row.rounds} |",
        ]
    )  # fmt: skip


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} [{spread.low:.2f}, {spread.high:.2f}]"
