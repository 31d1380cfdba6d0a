"""Reading the TOML files a user writes: schema and groups."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from circuitprobe.errors import DataError


def load_toml(path: str | Path, *, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        what: what it is to the user, such as ``schema file``.

    Returns:
        The file's top-level table.

    Raises:
        DataError: no such file, a directory, not text, or not TOML (with line and column).
    """
    file = Path(path)
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"There is no {what} {str(path)!r}.", expected=f"the path of a {what} in TOML", fix="check the path"
        ) from None
    except OSError as error:
        raise DataError(
            f"The {what} {str(path)!r} cannot be read: {error.strerror}.",
            expected=f"a readable {what} in TOML",
            fix="check the path and its permissions",
        ) from None
    return parse_toml(text, f"{what} {str(path)!r}")


def parse_toml(text: bytes, name: str) -> dict[str, Any]:
    """The top-level table of a TOML file's bytes.

    Args:
        text: of the file.
        name: for messages, such as ``study file 'study.toml'``.

    Raises:
        DataError: not text, or not TOML (with line and column).
    """
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"The {name} is not UTF-8 text.", expected="a TOML file", fix="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(
            f"The {name} is not valid TOML: {error}.",
            expected='lines such as name = "value" under [table] headings; text in double quotes',
            fix="correct that line",
        ) from None
