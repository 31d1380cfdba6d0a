"""Reading the TOML files a user writes: schema, groups, spec, gates, study. One reader, with bounds on what it takes.

TOML's own reader recurses with every bracket, and its time grows with the square of the parts of a dotted key. Both are counted
before it sees the text.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from circuitprobe.adapters.user_files import MOST_TEXT, read_file
from circuitprobe.errors import CircuitProbeError, DataError

MOST_DEPTH = 32
"""Brackets within brackets, and parts of a dotted key: a file that is written by hand has three or four."""
LARGEST_INTEGER = 2**63

_STRINGS_AND_COMMENTS = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5})?"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_AROUND_DOTS = re.compile(r"[ \t]*+\.[ \t]*+")
_BRACKETS = re.compile(r"[\[\]{}]")
_DOTTED = re.compile(r"[\w.-]++")


def load_toml(path: str | Path, *, what: str, error: type[CircuitProbeError] = DataError) -> dict[str, Any]:
    """Read a TOML file of at most 4 MiB.

    Args:
        path: the file.
        what: what it is to the user, such as ``schema file``.
        error: the class of what is raised.

    Returns:
        The file's top-level table; its integers have 64 bits at most.

    Raises:
        CircuitProbeError: of that class: no such file; a folder, a device or a pipe; too large or nested too deep; not text, or not
            TOML (with line and column).
    """
    name = f"{what} {str(path)!r}"
    try:
        text = read_file(path, MOST_TEXT)
    except FileNotFoundError:
        raise error(f"There is no {name}.", expected=f"the path of a {what} in TOML", fix="check the path") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise error(
            f"The {name} cannot be read: {reason}.",
            expected=f"a readable {what} in TOML",
            fix="check the path and its permissions",
        ) from None
    return parse_toml(text, name, error=error)


def parse_toml(text: bytes, name: str, *, error: type[CircuitProbeError] = DataError) -> dict[str, Any]:
    """The top-level table of a TOML file's bytes.

    Args:
        text: of the file.
        name: for messages, such as ``study file 'study.toml'``.
        error: the class of what is raised.

    Raises:
        CircuitProbeError: of that class: too large or nested too deep, not text, or not TOML (with line and column).
    """
    if len(text) > MOST_TEXT:
        raise error(
            f"The {name} has more than {MOST_TEXT:,} bytes.",
            expected="a TOML file of a few kilobytes",
            fix="check the path; leave out what the defaults say already",
        )
    try:
        content = text.decode("utf-8-sig")
        _check_depth(content, name, error)
        found = tomllib.loads(content)
    except UnicodeDecodeError:
        raise error(f"The {name} is not UTF-8 text.", expected="a TOML file", fix="save it as UTF-8") from None
    except ValueError as problem:
        # tomllib's own error, or Python's of a number or a date that it cannot hold
        raise error(
            f"The {name} is not valid TOML: {problem}.",
            expected='lines such as name = "value" under [table] headings; text in double quotes',
            fix="correct that line",
        ) from None
    _check_integers(found, name, error)
    return found


def _check_depth(content: str, name: str, error: type[CircuitProbeError]) -> None:
    """Count brackets and dots outside strings and comments; as far as the text is TOML, they are found as tomllib finds them."""
    structure = _AROUND_DOTS.sub(".", _STRINGS_AND_COMMENTS.sub("s", content))
    depth = 0
    for bracket in _BRACKETS.findall(structure):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        if depth > MOST_DEPTH:
            raise _too_deep(f"brackets nested more than {MOST_DEPTH} deep", name, error)
    parts = max((word.count(".") for word in _DOTTED.findall(structure)), default=0)
    if parts >= MOST_DEPTH:
        raise _too_deep(f"a key of {parts + 1:,} parts", name, error)


def _too_deep(seen: str, name: str, error: type[CircuitProbeError]) -> CircuitProbeError:
    return error(
        f"The {name} has {seen}.",
        expected="tables in tables a few levels deep",
        fix="take out what is nested",
    )


def _check_integers(content: object, name: str, error: type[CircuitProbeError]) -> None:
    """TOML's integers have 64 bits; Python's parser gives longer ones, which cannot even be shown in a message."""
    pending = [("", content)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{place}.{key}" if place else key, item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(place, item) for item in value]
        elif isinstance(value, int) and not -LARGEST_INTEGER <= value < LARGEST_INTEGER:
            raise error(
                f"The {name} says {place} = an integer of {value.bit_length():,} bits.",
                expected="integers of 64 bits at most",
                fix=f"correct {place}",
            )
