"""Opening the files that a user names: regular files alone, never more of one than asked for.

A pipe, a device or a socket can wait for ever, or never end. Each is refused before anything is read, also where it lies inside a
folder or behind a link. What goes wrong is an ``OSError`` whose ``strerror`` says it, so that a reader of files says it as it says
that a file is missing.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

MOST_JSON = 64 * 2**20
"""Bytes of a JSON file: an audit has less than a hundredth of that for each latent and column."""
MOST_TEXT = 4 * 2**20
"""Bytes of a file that somebody writes by hand."""


class NotAFileError(OSError):
    """A pipe, a device or a socket where a file was expected."""


class TooLargeError(OSError):
    """A file with more bytes than one of its kind has."""


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file for reading its bytes.

    Raises:
        NotAFileError: it is a pipe, a device or a socket.
        OSError: it is not there, a folder, or may not be read.
    """
    # without O_NONBLOCK the opening of a pipe waits for somebody to write into it
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise NotAFileError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
        return cast("BinaryIO", os.fdopen(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | Path, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        TooLargeError: it has more.
        OSError: as of ``open_file``.
    """
    with open_file(path) as handle:
        # the size is looked at first: a file of holes has any size
        size = os.fstat(handle.fileno()).st_size
        content = handle.read(most + 1) if size <= most else b""
    if size > most or len(content) > most:
        raise TooLargeError(errno.EFBIG, f"it has {max(size, len(content)):,} bytes, more than {most:,}", str(path))
    return content


def read_json(path: str | Path, most: int = MOST_JSON) -> Any:  # noqa: ANN401 - any JSON
    """The content of a JSON file.

    Raises:
        OSError: as of ``read_file``.
        ValueError: it is no JSON, or nests too deeply.
    """
    return parse_json(read_file(path, most))


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The content of JSON in UTF-8.

    Raises:
        ValueError: it is no JSON, or nests too deeply.
    """
    try:
        return json.loads(text.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def files_below(folder: Path, most: int) -> Iterator[Path]:
    """Every file below a folder in order; links to folders are not followed.

    Args:
        folder: where to look.
        most: entries that it may have.

    Raises:
        NotAFileError: a pipe, a device or a socket lies in it, or a link leads to one.
        TooLargeError: it has more entries.
    """
    seen = 0
    for place, inner, names in os.walk(folder):
        inner.sort()
        seen += len(inner) + len(names)
        if seen > most:
            raise TooLargeError(errno.EFBIG, f"it has more than {most:,} files and folders", str(folder))
        for name in sorted(names):
            path = Path(place) / name
            # a link to nothing is no file
            if not path.exists():
                continue
            mode = path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise NotAFileError(errno.EINVAL, f"{name} in it is a pipe or a device, not a file", str(folder))
            if stat.S_ISREG(mode):
                yield path
