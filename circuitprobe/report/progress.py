"""Progress bars on standard error, so that a piped report stays clean."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from circuitprobe.console import lines_above, terminal


class BarProgress:
    """One bar per phase; shows nothing where standard error is no terminal."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    @contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Callable[..., None]]:
        """A bar of ``total`` steps, or a count where nobody knows how many; what is yielded advances it."""
        task = self._bars.add_task(name, total=total)

        def tick(done: int | None = None) -> None:
            if done is None:
                self._bars.advance(task)
            else:
                self._bars.update(task, completed=done)

        yield tick
        self._bars.update(task, total=total or 1, completed=total or 1, visible=total is not None)


@contextmanager
def progress_display(*, quiet: bool = False) -> Iterator[BarProgress]:
    """Bars that vanish when the work is done."""
    console = terminal(error=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    bars = Progress(
        *columns, console=console, transient=True, disable=hidden, redirect_stdout=False, redirect_stderr=False
    )
    if hidden:
        yield BarProgress(bars)
        return
    with bars, lines_above(console):
        yield BarProgress(bars)


@contextmanager
def model_output_aside(*, quiet: bool = False) -> Iterator[None]:
    """What a stranger's model prints goes to standard error, or nowhere, and never into the report."""
    with redirect_stdout(io.StringIO() if quiet else sys.stderr):
        yield


class Losses(Protocol):
    """What a training step reports, nats per row."""

    @property
    def reconstruction(self) -> float:
        """-log p(x|z)."""

    @property
    def kl(self) -> float:
        """KL( q(z|x) || N(0, I) )."""

    @property
    def regulariser(self) -> float:
        """The objective's own term, before its weight."""

    @property
    def total(self) -> float:
        """The objective."""


class TrainingBar:
    """A bar of training steps, and under it the latest losses."""

    def __init__(self, bars: Progress, losses: Text) -> None:
        self._bars, self._losses = bars, losses
        self._task = bars.add_task("training", total=None)
        self._began, self._rows, self._seconds, self._batch = 0.0, 0, 0.0, 1

    def start(self, total_steps: int, done: int = 0, batch: int = 1) -> None:
        """The number of steps is known, how many an earlier run has done, and how many rows each takes."""
        self._began, self._batch = time.monotonic(), batch
        self._bars.update(self._task, total=total_steps, completed=done)

    @property
    def pace(self) -> str:
        """``128,000 rows in 220 s (580 a second)`` of this run, "" before its first steps."""
        if not self._rows or not self._seconds:
            return ""
        return f"{self._rows:,} rows in {self._seconds:.0f} s ({self._rows / self._seconds:,.0f} a second)"

    def advance(self, steps: int, losses: Losses) -> None:
        """``steps`` more steps are done, with the means of their losses."""
        self._rows += steps * self._batch
        self._seconds = time.monotonic() - self._began
        pace = f"{self._rows / max(self._seconds, 1e-3):,.0f} rows/s"
        shown = f"{pace}  loss {losses.total:.2f}  reconstruction {losses.reconstruction:.2f}  KL {losses.kl:.2f}"
        if losses.regulariser:
            shown += f"  regulariser {losses.regulariser:.3f}"
        self._losses.plain = shown
        self._bars.update(self._task, advance=steps)

    def close(self) -> None:
        """Training has ended."""
        self._bars.refresh()


@contextmanager
def training_display(*, quiet: bool = False) -> Iterator[TrainingBar]:
    """A bar that vanishes when training has ended."""
    console = terminal(error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars, losses = Progress(*columns, console=console), Text(no_wrap=True, overflow="ellipsis")
    if quiet or not console.is_terminal:
        yield TrainingBar(bars, losses)
        return
    drawn = Live(Group(bars, losses), console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    with drawn, lines_above(console):
        yield TrainingBar(bars, losses)
