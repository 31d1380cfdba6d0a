"""Which row gives a row its other values (METHOD.md section 0, source rows)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import UsageError
from circuitprobe.stats.draws import derangements

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import IntArray

SOURCES = 4


def source_rows(sources: int | npt.ArrayLike, rows: int, seed: int) -> IntArray:
    """Source rows as an array, shape (R, rows).

    Args:
        sources: R, how many derangements are drawn; or the rows themselves, integers of shape (R, rows).
        rows: n.
        seed: of the draw.

    Raises:
        UsageError: an array of another shape, or with numbers that are no rows.
    """
    if isinstance(sources, int):
        if sources < 1 or rows < 2:
            raise UsageError(
                f"sources={sources} for {rows} rows",
                expected="at least 1 draw of source rows and at least 2 rows",
                fix=f"sources={SOURCES}",
            )
        return derangements(rows, sources, seed)
    given = np.asarray(sources)
    fits = given.ndim == 2 and given.shape[1] == rows and given.shape[0] >= 1 and given.dtype.kind in "iu"
    if not fits or given.min() < 0 or given.max() >= rows:
        raise UsageError(
            f"sources of shape {given.shape} and type {given.dtype}",
            expected=f"integers from 0 to {rows - 1} of shape (R, {rows})",
            fix="one permutation of the rows per line",
        )
    return given.astype(np.int64)
