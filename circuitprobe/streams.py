"""The standard streams: the one place through which the command line writes to a terminal.

``shown_streams`` puts a ``Shown`` in place of standard output and of standard error. Whatever is written there, by this program, by
a library that warns, or by a user's model, is escaped on its way. Only the console of ``circuitprobe.console``, which escapes what
it renders and adds colours of its own, writes past it.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from circuitprobe.text import visible_lines


class Forgiving:
    """A stream that can be written to or not: standard error, whose failure cannot be reported and must change no exit code."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write if possible."""
        with suppress(OSError):
            self.raw.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if possible; what cannot be written is dropped, or Python would try again at exit."""
        try:
            self.raw.flush()
        except OSError:
            abandon(self.raw)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self.raw, name)


class Shown:
    """A stream on which no control character of what is written gets through.

    Args:
        raw: where escaped text goes.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write with every character that is not printable as its escape; line feeds and tabs stay."""
        self.raw.write(visible_lines(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        if name in ("buffer", "detach"):
            # the bytes behind it would be a way past the escapes
            raise AttributeError(name)
        return getattr(self.raw, name)


def own(stream: Any) -> TextIO:  # noqa: ANN401 - a stream, or what stands in for one
    """The stream behind: for what renders and escapes by itself."""
    while True:
        if isinstance(stream, Shown):
            stream = stream.raw
        elif hasattr(stream, "rich_proxied_file"):
            stream = stream.rich_proxied_file
        else:
            return cast("TextIO", stream)


@contextmanager
def shown_streams() -> Iterator[None]:
    """Standard output and standard error escape what is written to them."""
    before = sys.stdout, sys.stderr
    for stream in before:
        # a column's name must not end an audit because the terminal cannot show its letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stdout = cast("TextIO", Shown(before[0]))
    sys.stderr = cast("TextIO", Shown(cast("TextIO", Forgiving(before[1]))))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def say(text: str, *, error: bool = False) -> None:
    """One line on standard output, or on standard error, at once."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def open_closed_streams() -> None:
    """Give a process that was begun with closed streams (``>&-``) empty ones.

    Otherwise the first file that it opens gets their number, and whatever a library prints ends up in that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is this one
            os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def abandon_output() -> None:
    """Send what is still to be printed nowhere: what Python holds for a closed pipe must not raise again at exit."""
    abandon(sys.stdout)


def abandon(stream: TextIO) -> None:
    """Likewise for any stream; one without a file behind it is left as it is."""
    with suppress(OSError, ValueError):
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
