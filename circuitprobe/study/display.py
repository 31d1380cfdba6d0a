"""A study while it runs: a live table in a terminal, a line per run anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from circuitprobe.console import lines_above, terminal
from circuitprobe.study.executor import Progress
from circuitprobe.study.jobs import AuditJob, StudyJob
from circuitprobe.study.perform import Record
from circuitprobe.study.running import Silent, Watcher
from circuitprobe.study.store import Standing
from circuitprobe.study.time_left import seconds_left
from circuitprobe.text import visible

Job = StudyJob | AuditJob
SIGNS = {
    "finished": ("●", "#", "green"),
    "failed": ("✗", "x", "red"),
    "work": ("◐", ">", "yellow"),
    "waiting": ("·", ".", "dim"),
}
SHOWN_AT_WORK = 8
NARROW = 60
_ANY = 10_000


@dataclass
class Seen:
    """What is known of a study's runs."""

    jobs: tuple[Job, ...] = ()
    workers: int = 0
    ended: dict[str, Record] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    told: dict[str, Progress] = field(default_factory=dict)

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        """See ``Watcher``."""
        self.jobs, self.workers = tuple(jobs), workers
        self.ended = {**standing.finished, **standing.failed}

    def started(self, job: Job) -> None:
        """See ``Watcher``."""
        self.began[job.name] = time.monotonic()

    def progress(self, progress: Progress) -> None:
        """See ``Watcher``."""
        self.told[progress.name] = progress

    def lost(self, job: Job, reason: str, attempt: int) -> None:  # noqa: ARG002 - the protocol's
        """See ``Watcher``."""
        self._over(job)

    def ended_with(self, job: Job, record: Record) -> None:
        """A run has ended."""
        self._over(job)
        self.ended[job.name] = record

    def _over(self, job: Job) -> None:
        self.began.pop(job.name, None)
        self.told.pop(job.name, None)

    def state(self, job: Job) -> str:
        """``finished``, ``failed``, ``work`` or ``waiting``."""
        if job.name in self.ended:
            return self.ended[job.name].status
        return "work" if job.name in self.began else "waiting"

    def count(self, status: str) -> int:
        """How many runs ended so."""
        return sum(record.status == status for record in self.ended.values())

    @property
    def left(self) -> str:
        """``about 1 h 20 min left``, "" where nobody knows."""
        now = time.monotonic()
        seconds = seconds_left(
            self.jobs, self.ended, {name: now - began for name, began in self.began.items()}, self.workers
        )
        return "" if seconds is None or len(self.ended) == len(self.jobs) else f", about {spoken(seconds)} left"

    @property
    def summary(self) -> str:
        """``12 of 75 finished, 1 failed, 2 at work, about 1 h 20 min left``."""
        failed = f", {self.count('failed')} failed" if self.count("failed") else ""
        work = f", {len(self.began)} at work" if self.began else ""
        return f"{self.count('finished')} of {len(self.jobs)} finished{failed}{work}{self.left}"


@contextmanager
def study_display(*, quiet: bool = False) -> Iterator[Watcher]:
    """What shows a study on standard error; the live table vanishes when it ends."""
    console = terminal(error=True)
    if quiet:
        yield Silent()
    elif not console.is_interactive:
        # no terminal, or one that cannot go back to a line
        yield _Lines(console)
    else:
        drawn = Live(console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        with drawn as live, lines_above(console):
            yield _Table(Seen(), live, unicode=not console.options.ascii_only)


class _Watching:
    """Keeps what is seen; subclasses show it."""

    def __init__(self, seen: Seen | None = None) -> None:
        self.seen = seen or Seen()

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        self.seen.begin(jobs, standing, workers)

    def started(self, job: Job) -> None:
        self.seen.started(job)

    def progress(self, progress: Progress) -> None:
        self.seen.progress(progress)

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        self.seen.lost(job, reason, attempt)

    def ended(self, job: Job, record: Record) -> None:
        self.seen.ended_with(job, record)

    def tick(self) -> None:
        """Nothing to show."""


class _Lines(_Watching):
    """A line per run."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def begin(self, jobs: Sequence[Job], standing: Standing, workers: int) -> None:
        super().begin(jobs, standing, workers)
        self._say(f"{self.seen.summary}; {workers} at a time")

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        super().lost(job, reason, attempt)
        self._say(f"{job.name}: {reason}; tried again")

    def ended(self, job: Job, record: Record) -> None:
        super().ended(job, record)
        self._say(f"{ended_words(record)} ({self.seen.summary})")

    def _say(self, text: str) -> None:
        self._console.print(Text(visible(text)), soft_wrap=True)


class _Table(_Watching):
    """The live table."""

    def __init__(self, seen: Seen, live: Live, *, unicode: bool) -> None:
        super().__init__(seen)
        self._live, self._unicode, self._drawn = live, unicode, 0.0

    def lost(self, job: Job, reason: str, attempt: int) -> None:
        super().lost(job, reason, attempt)
        self._live.console.print(Text(visible(f"{job.name}: {reason}; tried again")))

    def ended(self, job: Job, record: Record) -> None:
        super().ended(job, record)
        if record.status == "failed":
            self._live.console.print(Text(visible(ended_words(record)), style="red"))

    def tick(self) -> None:
        if time.monotonic() - self._drawn >= 0.5:
            self._live.update(picture(self.seen, unicode=self._unicode), refresh=True)
            self._drawn = time.monotonic()


def picture(seen: Seen, *, unicode: bool = True) -> RenderableType:
    """The table of runs, those at work, and a summary."""
    return _Picture(seen, unicode)


@dataclass(frozen=True)
class _Picture:
    """Drawn as the terminal's width allows: no column of the table may fall off its edge."""

    seen: Seen
    unicode: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        seen = self.seen
        grid = [job for job in seen.jobs if isinstance(job, StudyJob)]
        if grid:
            table = _grid(grid, seen, unicode=self.unicode)
            fits = Measurement.get(console, options.update(max_width=_ANY), table).maximum <= options.max_width
            yield table if fits else _counts(grid, seen)
        yield _at_work(seen, options.max_width)
        yield Text(seen.summary, style="bold")


def _grid(jobs: Sequence[StudyJob], seen: Seen, *, unicode: bool) -> Table:
    table = Table(box=None, padding=(0, 1), collapse_padding=True)
    archs = list(dict.fromkeys(job.arch for job in jobs))
    for heading in ("", *archs):
        table.add_column(heading, no_wrap=True)
    for benchmark in dict.fromkeys(job.benchmark for job in jobs):
        cells = []
        for arch in archs:
            cell = Text()
            for job in jobs:
                if (job.benchmark, job.arch) == (benchmark, arch):
                    sign, ascii_sign, style = SIGNS[seen.state(job)]
                    cell.append(sign if unicode else ascii_sign, style=style)
            cells.append(cell)
        table.add_row(benchmark, *cells)
    return table


def _counts(jobs: Sequence[StudyJob], seen: Seen) -> Table:
    """A row per benchmark, where there is no room for a column per architecture."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for benchmark in dict.fromkeys(job.benchmark for job in jobs):
        states = [seen.state(job) for job in jobs if job.benchmark == benchmark]
        failed = f", {states.count('failed')} failed" if "failed" in states else ""
        table.add_row(benchmark, f"{states.count('finished')} of {len(states)}{failed}", style="red" if failed else "")
    return table


def _at_work(seen: Seen, width: int) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    now = time.monotonic()
    for name, began in list(seen.began.items())[:SHOWN_AT_WORK]:
        told = seen.told.get(name)
        phase = told.phase if told else "starting"
        cells: tuple[str, ...]
        if width >= NARROW:
            share = f"{told.done:,} of {told.total:,}" if told and told.total else ""
            cells = (phase, share, spoken(now - began))
        else:
            cells = (f"{phase} {told.done / told.total:.0%}" if told and told.total else phase,)
        room = width - sum(len(cell) + 2 for cell in cells) - 2
        table.add_row(*(Text(cell, no_wrap=True) for cell in (_end(visible(name), room), *cells)))
    if len(seen.began) > SHOWN_AT_WORK:
        table.add_row(f"and {len(seen.began) - SHOWN_AT_WORK} more")
    return table


def _end(name: str, room: int) -> str:
    """A run's name tells most at its end: ``..beta-vae-1``."""
    return name if len(name) <= room else f"..{name[-max(room - 2, 4) :]}"


def ended_words(record: Record) -> str:
    """``adult-vae-0: finished in 41 s``."""
    if record.failure is not None:
        return f"{record.name}: failed: {record.failure.seen}"
    return f"{record.name}: finished in {spoken(sum(record.seconds.values()))}"


def spoken(seconds: float) -> str:
    """``41 s``, ``12 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
