"""Names a user may have meant."""

from __future__ import annotations

import difflib
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LISTED = 10


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known names closest to a mistyped one.

    Args:
        name: what was typed.
        known: what would have been right.

    Returns:
        ``did you mean 'income'?``, or the empty string where nothing is close.
    """
    close = close_names(name, known)
    if not close:
        return ""
    return "did you mean " + " or ".join(repr(match) for match in close) + "?"


def close_names(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that are close to another, the closest first; case does not count."""
    lowered: dict[str, str] = {}
    for candidate in known:
        lowered.setdefault(candidate.lower(), candidate)
    return [lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=0.6)]


def shell_word(name: str) -> str:
    """A name as it is typed on a command line."""
    return name if name.replace("_", "").isalnum() and name.isascii() else shlex.quote(name)


def listed(names: Iterable[str], limit: int = LISTED) -> str:
    """Names for a message: quoted, separated by commas, cut after ``limit``.

    Args:
        names: any number of names.
        limit: how many are written out.

    Returns:
        ``'age', 'sex' and 3 more``.
    """
    every = [repr(name) for name in names]
    if len(every) <= limit:
        return ", ".join(every)
    return ", ".join(every[:limit]) + f" and {len(every) - limit} more"
