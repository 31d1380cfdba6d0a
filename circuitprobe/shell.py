"""Exit codes and messages of the command line: no traceback for what a user can mend."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable

import click

from circuitprobe.errors import CircuitProbeError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def guarded(app: Callable[..., object]) -> int:
    """Run a typer application and give the process's exit code.

    0 success; 2 usage, input or tool error, told on standard error; 130 interrupted by ctrl-C. A reader that closes the
    pipe early (``| head``) is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        # a column's name must not end an audit because the terminal cannot show its letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False)
    except CircuitProbeError as error:
        return _tell(error)
    except click.exceptions.Abort:
        return _interrupted()
    except KeyboardInterrupt:
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return EXIT_ERROR
    except BrokenPipeError:
        # what Python still holds for the closed pipe must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        sys.stderr.write("circuitprobe: out of memory\n  try:      fewer rows (--rows 512) or a smaller --chunk\n")
        return EXIT_ERROR
    except Exception as error:  # noqa: BLE001 - the last line of defence: a defect of ours is told as one
        return _defect(error)
    # typer turns ctrl-C into the exit code without a word
    return _interrupted() if code == EXIT_INTERRUPTED else code if isinstance(code, int) else 0


def _tell(error: CircuitProbeError) -> int:
    sys.stderr.write(f"circuitprobe: {error}\n")
    return error.exit_code


def _interrupted() -> int:
    sys.stderr.write("circuitprobe: interrupted; nothing was written\n")
    return EXIT_INTERRUPTED


def _defect(error: Exception) -> int:
    if os.environ.get("CIRCUITPROBE_TRACEBACK"):
        traceback.print_exception(error)
    else:
        sys.stderr.write(
            f"circuitprobe: internal error, {type(error).__name__}: {error}\n"
            "  expected: this never to happen\n"
            "  try:      CIRCUITPROBE_TRACEBACK=1 in front of the command, and report what it prints\n"
        )
    return EXIT_ERROR
