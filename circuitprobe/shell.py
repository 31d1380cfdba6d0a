"""Exit codes and messages of the command line: no traceback for what a user can mend."""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from circuitprobe.errors import CircuitProbeError
from circuitprobe.import_path import leave_out_current_folder
from circuitprobe.streams import abandon, abandon_output, open_closed_streams, shown_streams

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Entry point: runs the command line and turns what users can mend into a message and exit code 2."""
    leave_out_current_folder()
    open_closed_streams()
    try:
        from circuitprobe.cli import app
    except KeyboardInterrupt:
        leave(_interrupted())
    leave(guarded(app))


def leave(code: int) -> NoReturn:
    """End this process with an exit code, whatever threads still run in it.

    Threads of a library, or of a user's model, that are in native code while the interpreter is taken down abort the process: its
    exit code is then theirs. What ends in order comes first: handlers that were registered for the end, such as those that remove
    temporary folders, then what is still to be written.
    """
    # a second ctrl-C ends a handler that hangs, without a traceback
    with suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with shown_streams():
        atexit._run_exitfuncs()  # noqa: SLF001 - what Py_Finalize calls; there is no public name for it
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            abandon(stream)
    os._exit(code)


def guarded(app: Callable[..., object]) -> int:
    """Run a typer application and give the process's exit code.

    0 success; 2 usage, input or tool error, with a message on standard error; 130 interrupted by ctrl-C. A reader that closes the
    pipe early (``| head``) is no error.
    """
    with shown_streams():
        return _code_of(app)


def _code_of(app: Callable[..., object]) -> int:
    try:
        code = app(standalone_mode=False, prog_name="circuitprobe")
        sys.stdout.flush()
    except CircuitProbeError as error:
        sys.stderr.write(f"circuitprobe: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        sys.stderr.write(
            f"circuitprobe: code that was run on the way asked the process to end: exit({error.code!r})\n"
            "  expected: a model, and files of --import, that define classes and functions and go on\n"
            '  try:      put what ends the process under if __name__ == "__main__":\n'
        )
        return EXIT_ERROR
    except OSError as error:
        return _output_failed(error)
    except MemoryError:
        sys.stderr.write("circuitprobe: out of memory\n  try:      fewer rows (--rows 512) or a smaller --chunk\n")
        return EXIT_ERROR
    except Exception as error:  # noqa: BLE001 - the last line of defence: a defect of ours is told as one
        return _usage(error) if hasattr(error, "format_message") else _defect(error)
    # typer turns ctrl-C into the exit code without a word
    return _interrupted() if code == EXIT_INTERRUPTED else code if isinstance(code, int) else 0


def _usage(error: Exception) -> int:
    """Typer's own errors; their class has moved between its versions, what they can do has not."""
    error.show(file=sys.stderr)  # type: ignore[attr-defined]
    return EXIT_ERROR


def _interrupted() -> int:
    sys.stderr.write("circuitprobe: interrupted\n")
    return EXIT_INTERRUPTED


def _output_failed(error: OSError) -> int:
    """Standard output cannot be written to: its reader has left, or its disk is full."""
    abandon_output()
    if isinstance(error, BrokenPipeError):
        return 0
    if error.errno not in {errno.ENOSPC, errno.EIO, errno.EBADF}:
        return _defect(error)
    sys.stderr.write(
        f"circuitprobe: cannot write standard output: {error.strerror}\n"
        "  expected: a terminal, file or pipe with room\n"
        "  try:      --json FILE --quiet\n"
    )
    return EXIT_ERROR


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
