"""The console that reports, tables and bars are drawn on: content is escaped as it is rendered, colours are rich's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.file_proxy import FileProxy

from circuitprobe.streams import Shown, own
from circuitprobe.text import visible_lines

if TYPE_CHECKING:
    from rich.segment import Segment


class Terminal(Console):
    """Rich's console; what is rendered on it holds no control character but those that rich adds.

    A reader that stops early (``| head``) is the caller's business; rich would end the process with code 1.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See rich: every renderable, whatever it is part of, becomes segments of text here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible_lines(segment.text))

    @property
    def file(self) -> IO[str]:
        """The stream past the escapes of ``streams.Shown``: rich's colours are control characters too."""
        return own(super().file)

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def on_broken_pipe(self) -> None:
        """Leave it to the caller."""
        raise BrokenPipeError


def terminal(*, error: bool = False, **options: Any) -> Terminal:  # noqa: ANN401 - rich's
    """A console on standard output, or on standard error."""
    return Terminal(stderr=error, highlight=False, **options)


@contextmanager
def lines_above(console: Console) -> Iterator[None]:
    """While bars are drawn, what is written to standard error goes above them, escaped before rich reads colours in it."""
    if not console.is_terminal:
        yield
        return
    with redirect_stderr(cast("TextIO", Shown(cast("TextIO", FileProxy(console, sys.stderr))))):
        yield
