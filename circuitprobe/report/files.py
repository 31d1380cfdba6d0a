"""Files that appear whole or not at all, and never in place of what they were made from."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from circuitprobe.errors import UsageError


def check_writable(path: str | Path, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a place that cannot be written to, before minutes are spent on what should go there.

    Args:
        path: where a file is to be written; an existing file is replaced, a link followed.
        inputs: files that are read in the same run and must not be replaced.

    Raises:
        UsageError: the folder is not there or not writable, the path is a folder, a device or a pipe, or one of the inputs.
    """
    target = Path(path)
    if target.is_dir():
        raise _refused(target, "it is a folder")
    if target.exists() and not target.is_file():
        raise _refused(target, "it is a device or a pipe")
    folder = target.resolve().parent
    if not folder.is_dir():
        above = next(place for place in (folder, *folder.parents) if place.exists())
        if not above.is_dir():
            raise _refused(target, f"{above.name} is a file, no folder")
        raise _refused(target, f"there is no folder {target.parent}", fix=f"mkdir -p {target.parent}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(target, f"the folder {target.parent} is not writable")
    for given in inputs:
        if given is not None and target.exists() and Path(given).exists() and target.samefile(given):
            raise _refused(target, "it is read in the same run and would be lost")
        if given is not None and _picture_in(target, Path(given)):
            raise _refused(target, f"it is a picture of {given}, which is read in the same run, and would be lost")


def _picture_in(target: Path, folder: Path) -> bool:
    """Whether a file is one of the pictures that a folder is read for."""
    from circuitprobe.adapters.data.picture_folder import SUFFIXES

    if not folder.is_dir() or not target.is_file() or target.suffix.lower() not in SUFFIXES:
        return False
    return target.resolve().is_relative_to(folder.resolve())


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write to a temporary file beside the target, then rename; on any failure nothing new is left behind.

    Args:
        path: the target; the file that a link leads to is replaced, not the link.
        write: writes the content to an open binary file.

    Raises:
        UsageError: the file cannot be written (no such folder, no permission, disk full).
    """
    check_writable(path)
    # beside the target, as a rename is atomic only within one file system
    final = Path(path).resolve()
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(final)
    except OSError as error:
        raise _refused(Path(path), str(error.strerror or error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _refused(target: Path, reason: str, *, fix: str = "name another file") -> UsageError:
    return UsageError(f"cannot write {target}: {reason}", expected="a writable place with room", fix=fix)
