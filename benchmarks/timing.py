"""Interleaved timing: every contender once per round, the order rotated, ratios within a round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.tasks import Figures

ENGINE = "circuitprobe"
TOLERANCE = 2e-4

Timed = Callable[[], tuple[float, Figures | None]]


_clock = time.perf_counter


def use_processor_time() -> None:
    """Count processor time from here on: on a machine that others use too, it varies less."""
    global _clock  # noqa: PLW0603 - one clock for the whole run
    _clock = time.process_time


def now() -> float:
    """Seconds on the clock in use."""
    return _clock()


@dataclass(frozen=True)
class Spread:
    """Median, least and largest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """From one value per round."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """One task on one case.

    Attributes:
        case: such as "MLP, 256 rows".
        task: such as "unit patching".
        interventions: how many the engine made (one per unit, sender and effect).
        share: which share of them the contenders that make one after the other made; their time is scaled up.
        seconds: the engine's time.
        ratios: contender -> its time divided by the engine's in the same round.
        difference: contender -> largest difference of a figure, relative to the largest value of that figure.
        rounds: how many.
    """

    case: str
    task: str
    interventions: int
    share: float
    seconds: Spread
    ratios: Mapping[str, Spread]
    difference: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 0


class DifferentEffectsError(Exception):
    """Two contenders do not find the same effects."""


def compare(case: str, task: str, found: Mapping[str, Figures | None]) -> dict[str, float]:
    """Relative differences to the first contender that measures anything.

    Raises:
        DifferentEffectsError: one is above the tolerance of float32 runs.
    """
    measured = {name: figures for name, figures in found.items() if figures is not None}
    reference = next(iter(measured.values()))
    differences: dict[str, float] = {}
    for name, figures in measured.items():
        for figure in figures.keys() & reference.keys():
            own, other = figures[figure], reference[figure]
            if own.shape != other.shape:
                raise DifferentEffectsError(
                    f"{case}, {task}, {figure}: {name} has shape {own.shape}, not {other.shape}"
                )
            away = float(np.nanmax(np.abs(own - other)) / np.nanmax(np.abs(other)))
            if not away < TOLERANCE:
                raise DifferentEffectsError(
                    f"{case}, {task}, {figure}: {name} differs by {away:.1e} of the largest value"
                )
            differences[name] = max(away, differences.get(name, 0.0))
    return differences


def interleave(
    contenders: Mapping[str, Timed], rounds: int, budget: float, counted: Mapping[str, float] | None = None
) -> dict[str, list[float]]:
    """Seconds per round and contender; at least ``rounds``, then more until ``budget`` seconds are spent, at most 15.

    ``counted`` is a round that was run before.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [counted[name]] if counted else [] for name in names}
    start = time.perf_counter()
    number = 1 if counted else 0
    while number < rounds or (number < 15 and time.perf_counter() - start < budget):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(contenders[name]()[0])
        number += 1
    return seconds


def ratios(seconds: Mapping[str, list[float]]) -> dict[str, Spread]:
    """Each contender's time over the engine's in the same round; the engine itself left out."""
    own = seconds[ENGINE]
    return {
        name: Spread.of([t / o for t, o in zip(times, own, strict=True)])
        for name, times in seconds.items()
        if name != ENGINE
    }
