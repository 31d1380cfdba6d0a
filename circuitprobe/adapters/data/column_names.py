"""Column names that are the same but for case, spaces and signs, and names that say index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

# as pandas, R and databases call a running number
INDEX_NAMES = frozenset(
    {"index", "idx", "id", "row", "rowid", "rowindex", "rownumber", "rownum", "rownames", "level0", "unnamed0"}
)


def bare(name: str) -> str:
    """A name without case, spaces and signs: ``educationnum`` for ``Education-Num``; the name where nothing is left."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def names_an_index(name: str) -> bool:
    """Whether a name is one that running numbers have."""
    return bare(name) in INDEX_NAMES


def renamed_columns(present: Sequence[str], known: Iterable[str]) -> dict[str, str]:
    """Which columns are a model's under another spelling.

    Args:
        present: the table's columns.
        known: the model's.

    Returns:
        The table's name -> the model's, for names that differ in case, spaces or signs only. A column that the table has under
        the model's own name is never replaced, and two that could be the same are left alone.
    """
    known = tuple(known)
    wanted = [name for name in known if name not in set(present)]
    taken = set(known) & set(present)
    of_bare = Counter(bare(name) for name in wanted)
    candidates = [name for name in present if name not in taken]
    seen = Counter(bare(name) for name in candidates)
    model = {bare(name): name for name in wanted}
    return {name: model[bare(name)] for name in candidates if seen[bare(name)] == 1 and of_bare[bare(name)] == 1}
