"""Help pages: typer draws them with colours on a console of its own, which must not be escaped as content is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from typer.core import TyperCommand, TyperGroup

from circuitprobe.streams import own


@contextmanager
def _drawn_by_typer() -> Iterator[None]:
    try:
        with redirect_stdout(own(sys.stdout)), redirect_stderr(own(sys.stderr)):
            yield
    except SystemExit:
        # how rich answers a reader that has left
        raise BrokenPipeError from None


class Command(TyperCommand):
    """A command whose help page, which holds our own words alone, keeps its colours."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, which typer brings along or not
        """See click."""
        with _drawn_by_typer():
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """Likewise for a group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """See click."""
        with _drawn_by_typer():
            super().format_help(ctx, formatter)
