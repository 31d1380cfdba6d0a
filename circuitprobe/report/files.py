"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from circuitprobe.errors import UsageError


def check_writable(path: str | Path) -> None:
    """Refuse a place that cannot be written to, before minutes are spent on what should go there.

    Raises:
        UsageError: the folder is not there or not writable, or the path is a folder.
    """
    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise _refused(target, "it is a folder")
    if not folder.is_dir():
        raise _refused(target, f"there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise _refused(target, f"the folder {folder} is not writable")


def write_atomically(path: str | Path, text: str) -> None:
    """Write to a temporary file beside the target, then rename; on any failure nothing new is left behind.

    Raises:
        UsageError: the file cannot be written (no such folder, no permission, disk full).
    """
    target = Path(path)
    check_writable(target)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=f".{target.name}.", delete=False, encoding="utf-8"
        ) as handle:
            temporary = Path(handle.name)
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise _refused(target, str(error.strerror or error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _refused(target: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot write {target}: {reason}", expected="a writable place with room", fix="name another file"
    )
