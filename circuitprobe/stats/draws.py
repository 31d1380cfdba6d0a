"""One seed, one stream per purpose: no draw depends on how many others were made before it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import IntArray


class Stream(IntEnum):
    """What random numbers are drawn for; the generator is ``numpy.random.default_rng([seed, stream])``."""

    ROWS = 1
    BOOTSTRAP = 2
    FEATURE_GROUPS = 3
    SOURCES = 4
    MEDIATION = 5
    DIRECTIONS = 6
    PATCHED = 7
    PRIOR = 8
    TRUTH_ROWS = 20
    TRUTH_NULL = 21
    TRUTH_VOTES = 22
    TRUTH_VALUES = 23
    COMPARED = 30


def derangements(rows: int, count: int, seed: int) -> IntArray:
    """Source rows: random permutations in which no row is its own source.

    Args:
        rows: n, at least 2.
        count: R.
        seed: one generator gives them all; a permutation with a fixed point is thrown away and drawn again.

    Returns:
        Shape (count, rows): row j takes its values from row ``[r, j]``.
    """
    rng = generator(seed, Stream.SOURCES)
    own = np.arange(rows)
    found = np.empty((count, rows), dtype=np.int64)
    for number in range(count):
        drawn = rng.permutation(rows)
        while (drawn == own).any():
            drawn = rng.permutation(rows)
        found[number] = drawn
    return found


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """The generator of one purpose."""
    return np.random.default_rng([seed, int(stream)])
