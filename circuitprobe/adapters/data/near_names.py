"""Names a user may have meant."""

from __future__ import annotations

import difflib
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
    lowered: dict[str, str] = {}
    for candidate in known:
        lowered.setdefault(candidate.lower(), candidate)
    close = [lowered[match] for match in difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=0.6)]
    if not close:
        return ""
    return "did you mean " + " or ".join(repr(match) for match in close) + "?"


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
