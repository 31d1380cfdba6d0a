"""Rows drawn at random from a stream of unknown length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray


DRAWN_AT_ONCE = 1 << 20
MOST_KEYS = 1 << 28
"""Rows that are each given a key: a second's work. Of more, rows are drawn without looking at each."""


def row_keys(seed: int) -> np.random.Generator:
    """The generator of the rows' random keys; drawn in row order, so block sizes do not matter.

    Args:
        seed: the audit's seed.
    """
    return np.random.default_rng([seed, 1])


def smallest_keys(keys: FloatArray, rows: int) -> IntArray:
    """Which rows win: those with the smallest keys, the earlier one on a tie.

    Args:
        keys: one per row, in row order.
        rows: how many may stay.

    Returns:
        Positions in ascending order, at most ``rows`` of them.
    """
    if len(keys) <= rows:
        return np.arange(len(keys), dtype=np.int64)
    return np.sort(np.argsort(keys, kind="stable")[:rows]).astype(np.int64)


def drawn_rows(total: int, rows: int | None, seed: int) -> IntArray:
    """Which rows of so many are audited, in memory that does not grow with them.

    Args:
        total: rows of the whole.
        rows: how many are wanted; None for all.
        seed: the audit's seed.

    Returns:
        Row numbers, ascending, shape (rows,): up to ``MOST_KEYS`` rows the same as ``smallest_keys`` of all keys.
    """
    if rows is None or total <= rows:
        return np.arange(total, dtype=np.int64)
    generator = row_keys(seed)
    if total > MOST_KEYS:
        return np.sort(generator.choice(total, rows, replace=False, shuffle=False)).astype(np.int64)
    keys: FloatArray = np.empty(0)
    index: IntArray = np.empty(0, dtype=np.int64)
    for start in range(0, total, DRAWN_AT_ONCE):
        fresh = generator.random(min(DRAWN_AT_ONCE, total - start))
        # once enough rows are kept, few of a block are better
        better = np.flatnonzero(fresh < keys.max()) if len(keys) == rows else np.arange(len(fresh))
        keys = np.append(keys, fresh[better])
        index = np.append(index, better.astype(np.int64) + start)
        kept = smallest_keys(keys, rows)
        keys, index = keys[kept], index[kept]
    return index


class Reservoir:
    """Keeps a uniform random sample of fixed size, in memory of fixed size.

    Args:
        rows: how many rows are kept; None keeps all.
        seed: the audit's seed.
    """

    def __init__(self, rows: int | None, seed: int) -> None:
        self._rows = rows
        self._generator = row_keys(seed)
        self._keys: FloatArray = np.empty(0)
        self._index: IntArray = np.empty(0, dtype=np.int64)
        self._kept: list[Any] = []
        self._threshold = np.inf

    def update(self, batch: Any, first_row: int) -> None:  # noqa: ANN401 - pyarrow has no type stubs
        """Take in the next block.

        Args:
            batch: pyarrow record batch.
            first_row: the table's row of its first one.
        """
        if self._rows is None:
            self._kept.append(batch)
            self._index = np.arange(first_row + batch.num_rows, dtype=np.int64)
            return
        keys = self._generator.random(batch.num_rows)
        candidates = np.flatnonzero(keys < self._threshold)
        candidates = candidates[smallest_keys(keys[candidates], self._rows)]
        if not len(candidates):
            return
        self._kept.append(batch.take(pa.array(candidates)))
        self._keys = np.append(self._keys, keys[candidates])
        self._index = np.append(self._index, candidates + first_row)
        if len(self._keys) >= 2 * self._rows:
            self._settle(self._rows)

    def _settle(self, rows: int) -> None:
        winners = smallest_keys(self._keys, rows)
        table = pa.Table.from_batches(self._kept).take(pa.array(winners)).combine_chunks()
        self._kept = table.to_batches()
        self._keys, self._index = self._keys[winners], self._index[winners]
        if len(self._keys) == rows:
            self._threshold = float(self._keys.max())

    def rows(self) -> tuple[IntArray, Any]:
        """The sample.

        Returns:
            Rows of the table, ascending, shape (rows,), and a pyarrow table of them.
        """
        if self._rows is not None:
            self._settle(self._rows)
        return self._index, pa.Table.from_batches(self._kept).combine_chunks()
