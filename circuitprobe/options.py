"""Options of the command line that are words for something else."""

from __future__ import annotations

import csv
import re
from typing import Literal

from circuitprobe.errors import UsageError

LEAST_MEMORY = 16 * 2**20
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


Level = Literal[1, 2, 3, 4]
_LEVELS: dict[str, Level] = {"1": 1, "2": 2, "3": 3, "4": 4}


def level_numbers(text: str) -> tuple[Level, ...]:
    """``1,3`` as (1, 3).

    Raises:
        UsageError: anything but numbers from 1 to 4.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part in _LEVELS for part in parts):
        raise UsageError(f"--levels {text}", expected="numbers from 1 to 4 with commas", fix="--levels 1,2,3,4")
    return tuple(level for text, level in _LEVELS.items() if text in parts)


def memory_bytes(text: str) -> int:
    """``512MiB``, ``512M``, ``2GB`` or ``1000000000`` in bytes; MB is 10^6, M and MiB are 2^20.

    Raises:
        UsageError: no such size, or one in which an audit would take hours.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if found is None or float(found[1]) <= 0 or (found[3] and not found[2]):
        raise UsageError(f"--memory {text}", expected="a size such as 512MiB, 2GiB or 1000000000", fix="--memory 1GiB")
    decimal = not found[3] and text.lower().rstrip().endswith("b")
    size = int(float(found[1]) * (1000 if decimal else 1024) ** _POWERS[found[2]])
    if size < LEAST_MEMORY:
        raise UsageError(f"--memory {text}", expected="at least 16MiB", fix="--memory 1GiB")
    return size


def backend_name(text: str) -> Literal["hooks", "nnsight"]:
    """The backend's name.

    Raises:
        UsageError: there is no such backend.
    """
    if text == "hooks":
        return "hooks"
    if text == "nnsight":
        return "nnsight"
    raise UsageError(f"--backend {text}", expected="hooks or nnsight", fix="--backend hooks")


def names(text: str | None) -> tuple[str, ...] | None:
    """``label,year`` as (label, year); a name with a comma in it stands in double quotes.

    Raises:
        UsageError: an empty name.
    """
    if text is None:
        return None
    found = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), [""]))
    if not all(found):
        raise UsageError(f"--condition {text!r}", expected="column names with commas", fix="--condition label,year")
    return found
