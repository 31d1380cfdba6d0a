"""Errors as a test shows them: the line of the test, and of the user's own model where that failed, without what lies between."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from circuitprobe.errors import CircuitProbeError

if TYPE_CHECKING:
    from types import TracebackType

Told = TypeVar("Told", bound=CircuitProbeError)
_PACKAGE = str(Path(__file__).parents[1])


def short(error: Told) -> Told:
    """Cut the frames of circuitprobe and of libraries off an error that says in words what to do.

    The cause stays where the user's own code raised it, from the first line of that code on.

    Args:
        error: just caught; to be raised again.

    Returns:
        The same error.
    """
    cause = error.__cause__
    own = None if cause is None else _own_frames(cause.__traceback__)
    # this hides the context too, as raise ... from ... does
    error.__cause__ = None if cause is None or own is None else cause.with_traceback(own)
    return error.with_traceback(None)


def _own_frames(frames: TracebackType | None) -> TracebackType | None:
    """From the first frame on that belongs neither to circuitprobe nor to an installed package; None where none does."""
    installed = sysconfig.get_paths()
    foreign = (_PACKAGE, *(installed[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), "<")
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(foreign):
        frames = frames.tb_next
    return frames
