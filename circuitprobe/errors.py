"""Errors that a user can act on: what was seen, what was expected, what to type next."""

from __future__ import annotations

from collections.abc import Callable

from circuitprobe.text import visible_lines

LONGEST = 4000
"""Characters of one part of a message."""


class CircuitProbeError(Exception):
    """Bad input, told in three parts; the command line prints them and exits with code 2.

    Args:
        seen: what was found, with names and figures.
        expected: what would have been right.
        fix: what to type or change next.
    """

    exit_code = 2

    def __init__(self, seen: str, *, expected: str, fix: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.expected = expected
        self.fix = fix

    def __reduce__(self) -> tuple[Callable[..., CircuitProbeError], tuple[type[CircuitProbeError], str, str, str]]:
        """Errors cross from one process to another."""
        return _again, (type(self), self.seen, self.expected, self.fix)

    def __str__(self) -> str:
        # also a traceback, a notebook and pytest print it: what a file is called must not steer a terminal there either
        seen, expected, fix = (_bounded(part) for part in (self.seen, self.expected, self.fix))
        return visible_lines(f"{seen}\n  expected: {expected}\n  try:      {fix}")


def _bounded(text: str) -> str:
    """A part of a message that quotes what is in a file may quote a megabyte."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"


def _again(kind: type[CircuitProbeError], seen: str, expected: str, fix: str) -> CircuitProbeError:
    return kind(seen, expected=expected, fix=fix)


class DataError(CircuitProbeError):
    """The table, the schema file or the groups file cannot be used."""


class ModelError(CircuitProbeError):
    """The model cannot be loaded, recognised or run."""


class UsageError(CircuitProbeError):
    """An option or argument has a value that makes no sense."""
