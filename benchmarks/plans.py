"""What is timed, on how much of it, and how each contender's time is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import engine, limit, tasks
from benchmarks.tasks import Case, Contender, Figures
from benchmarks.timing import ENGINE, Timed, now

UNIT, PATH, MEDIATION = "unit patching", "path patching", "mediation"
SWEEP, GROUPS = "latent sweep", "mediation of groups"
PREPARING = "with preparation"
MEASURES = {UNIT: tasks.unit_patching, PATH: tasks.path_patching, MEDIATION: tasks.unit_mediation}


@dataclass(frozen=True)
class Plan:
    """One line of the results.

    Attributes:
        case: what it runs on.
        title: how the results call it.
        task: which task.
        contenders: besides the engine and the limit.
        senders: latents, for tasks that have some.
        stride: contenders that make one intervention after the other make every stride-th; their time is multiplied.
    """

    case: Case
    title: str
    task: str
    contenders: tuple[Contender, ...]
    senders: tuple[int, ...] = ()
    stride: int = 1

    @property
    def interventions(self) -> int:
        """How many the engine makes."""
        latents, units = 10, sum(self.case.layers.values())
        if self.task == SWEEP:
            return latents * len(sweep_values()[0])
        if self.task == GROUPS:
            return len(column_groups(self.case)) * (1 + 2 * latents)
        return units * limit.task_runs(self.task, self.senders)

    def timed(self) -> dict[str, Timed]:
        """A function for each contender that runs it once: seconds for the whole task, and the figures of the sample."""
        if self.task in MEASURES:
            return {
                ENGINE: self._engine(),
                PREPARING: self._engine(counted=True),
                **{c.name: self._one_by_one(c) for c in self.contenders},
                "limit": self._limit(),
            }
        case, groups = self.case, column_groups(self.case) if self.task == GROUPS else None
        if groups is None:
            run: Callable[[Contender], Figures] = lambda c: tasks.sweep(c, case, sweep_values())  # noqa: E731
        else:
            run = lambda c: tasks.group_mediation(c, case, groups)  # noqa: E731
        codes = tasks.prepare(case).base.z
        bare = lambda: limit.decodes(case, codes, self.interventions)  # noqa: E731
        others = {c.name: clocked(lambda c=c: run(c)) for c in self.contenders}  # type: ignore[misc]
        return {ENGINE: self._engine(), PREPARING: self._engine(counted=True), **others, "limit": clocked(bare)}

    def _engine(self, *, counted: bool = False) -> Timed:
        """The engine on a prepared model, its preparation counted or not."""
        case, sample = self.case, self.case.sample(self.stride)
        groups = column_groups(case) if self.task == GROUPS else None
        calls: Mapping[str, Callable[[Any], Figures]] = {
            UNIT: lambda ready: engine.unit_patching(ready, case),
            PATH: lambda ready: engine.path_patching(ready, case, self.senders),
            MEDIATION: lambda ready: engine.unit_mediation(ready, case, self.senders),
            SWEEP: lambda ready: engine.sweep(ready, sweep_values()),
            GROUPS: engine.group_mediation,
        }

        def run() -> tuple[float, Figures]:
            begin = now()
            with engine.prepared(case, groups) as ready:
                start = begin if counted else now()
                figures = calls[self.task](ready)
                seconds = now() - start
            return seconds, engine.picked(case, figures, sample) if self.task in MEASURES else figures

        return run

    def _one_by_one(self, contender: Contender) -> Timed:
        sample = self.case.sample(self.stride)
        scale = sum(self.case.layers.values()) / sum(map(len, sample.values()))

        def run() -> tuple[float, Figures]:
            start = now()
            runs = tasks.prepare(self.case, self.senders)
            ready = now()
            figures = MEASURES[self.task](contender, self.case, runs, sample)
            return ready - start + scale * (now() - ready), figures

        return run

    def _limit(self) -> Timed:
        sample, runs = self.case.sample(self.stride), tasks.prepare(self.case)
        scale = sum(self.case.layers.values()) / sum(map(len, sample.values()))
        bare = clocked(lambda: limit.downstream(self.case, runs, sample, limit.task_runs(self.task, self.senders)))
        return lambda: (scale * bare()[0], None)


def clocked(function: Callable[[], Figures | None]) -> Timed:
    """The function with its seconds."""

    def run() -> tuple[float, Figures | None]:
        start = now()
        figures = function()
        return now() - start, figures

    return run


def sweep_values() -> np.ndarray:
    """8 values from -2 to 2 for each of the 10 latents."""
    return np.tile(np.linspace(-2.0, 2.0, 8), (10, 1))


def column_groups(case: Case) -> Sequence[Sequence[int]]:
    """Groups of 8 columns."""
    return [range(start, start + 8) for start in range(0, len(case.features), 8)]
