"""``--circuitprobe-update``: baselines are written instead of compared with, and what changed in them is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from circuitprobe.errors import CircuitProbeError, UsageError
from circuitprobe.gate.baseline_file import baseline_text, read_snapshot, write_baseline
from circuitprobe.gate.compare import compare
from circuitprobe.gate.snapshot import Snapshot
from circuitprobe.gate.words import figure_words

TOLD = 20
UPDATE = "--circuitprobe-update"


@dataclass(frozen=True)
class Renewal:
    """One run of pytest that writes baselines.

    Attributes:
        told: what changed is said here.
        written: the baselines so far; a second audit is compared with them, so that it cannot silently replace the first.
    """

    told: Callable[[str], None]
    written: set[Path] = field(default_factory=set)

    def takes(self, path: Path) -> bool:
        """Whether a baseline is yet to be written."""
        return path.resolve() not in self.written

    def renew(self, seen: Snapshot, path: Path) -> None:
        """Write a baseline, whole or not at all, then say how it differs from the one before.

        Raises:
            UsageError: the audit has no level 2, or the file cannot be written.
        """
        if "ces" not in seen.compared.figures:
            fix = "leave out levels=, or put 2 in it"
            raise UsageError(f"no level 2 to write into {shown(path)}", expected="an audit with level 2", fix=fix)
        lines = _changes(seen, path)
        if lines is not None:
            write_baseline(seen, path)
        self.written.add(path.resolve())
        for line in lines or [f"{shown(path)}: unchanged"]:
            self.told(line)


_renewals: list[Renewal] = []


@contextmanager
def renewing(told: Callable[[str], None]) -> Iterator[None]:
    """Within it, ``assert_no_regression`` writes baselines; runs of pytest within runs of pytest have their own."""
    _renewals.append(Renewal(told))
    try:
        yield
    finally:
        _renewals.pop()


def current() -> Renewal | None:
    """The run that writes baselines, if this one does."""
    return _renewals[-1] if _renewals else None


def shown(path: Path) -> str:
    """A path for messages, from the current folder where it lies below that."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)


def _changes(seen: Snapshot, path: Path) -> list[str] | None:
    """How a baseline will differ from the one before, in lines; None where not by a byte."""
    name = shown(path)
    if not path.exists():
        return [f"{name}: a new baseline"]
    try:
        # before its text is looked at: a baseline whose details are gone is not unchanged
        old = read_snapshot(path)
        if path.read_bytes() == baseline_text(seen).encode("utf-8"):
            return None
        rows = compare((old, seen))
    except OSError as error:
        return [f"{name}: a new baseline; the old one could not be read: {error.strerror}"]
    except CircuitProbeError as error:
        return [f"{name}: a new baseline; the old one: {error.seen}"]
    changed = [row for row in rows if row.change > 1.0]
    lines = [f"{name}: {len(changed)} of {len(rows)} figures differ from the old baseline beyond chance"]
    for row in changed[:TOLD]:
        before, now = ("none" if figure is None else figure_words(figure) for figure in row.figures)
        names = [entry or "gone" for entry in row.names]
        latent = "" if not names else f" of {names[0]}" if names[0] == names[1] else f" of {names[0]} (now {names[1]})"
        lines.append(f"  {row.metric}{latent}: {before} -> {now}")
    return [*lines, f"  and {len(changed) - TOLD} more"] if len(changed) > TOLD else lines
