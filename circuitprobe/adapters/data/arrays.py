"""Rows that come as an array, already in the model's space."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.data.blocks import CELLS_PER_BATCH
from circuitprobe.adapters.data.near_names import listed
from circuitprobe.adapters.data.plain_arrays import plain_array, readable
from circuitprobe.adapters.data.reservoir import drawn_rows
from circuitprobe.errors import DataError, UsageError
from circuitprobe.types import Decode, Feature, FeatureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from circuitprobe.types import FloatArray, IntArray


def array_data(
    x: np.ndarray[Any, Any] | Tensor, *, names: Sequence[str] | None = None, rows: int | None = 2048, seed: int = 0
) -> tuple[FloatArray, tuple[Feature, ...], IntArray, int]:
    """Take an array as it is: one feature per column.

    Args:
        x: shape (all rows, dims), in the model's space.
        names: of the columns; ``x0``, ``x1``, ... by default.
        rows: how many rows are audited; None for all.
        seed: of the draw, by the rule of ``read_table``.

    Returns:
        The audited rows as float64 of shape (rows, dims); the features: binary where a column holds 0 and 1 and nothing
        else, numeric otherwise; which rows they are; how many there were.

    Raises:
        DataError: not two axes, no numbers, fewer than 2 rows, nan or infinite values, names that do not fit.
        UsageError: ``rows`` below 2.
    """
    if rows is not None and rows < 2:
        raise UsageError(f"rows is {rows}.", expected="at least 2 audited rows", fix="leave it at 2048")
    x = readable(x)
    _check_shape(x)
    total, dims = (int(side) for side in x.shape)
    labels = _column_names(names, dims)
    ones = _profiled(x, labels)
    index = drawn_rows(total, rows, seed)
    features = tuple(
        Feature(label, FeatureKind.BINARY, (dim,), Decode((dim,)), ("0", "1"))
        if ones[dim]
        else Feature(label, FeatureKind.NUMERIC, (dim,), Decode((dim,)))
        for dim, label in enumerate(labels)
    )
    return _rows_of(x, index), features, index, total


def _check_shape(array: np.ndarray[Any, Any] | Tensor) -> None:
    if array.ndim != 2:
        raise DataError(
            f"The array has shape {tuple(array.shape)}.",
            expected="two axes: rows and model dimensions",
            fix="x.reshape(len(x), -1) if the model takes flat rows",
        )
    if isinstance(array, np.ndarray) and array.dtype.kind not in "fiub":
        raise DataError(
            f"The array holds {array.dtype}.", expected="numbers in the model's space", fix="x.astype(float)"
        )
    if len(array) < 2 or array.shape[1] == 0:
        raise DataError(
            f"The array has shape {tuple(array.shape)}.",
            expected="at least 2 rows and 1 dimension",
            fix="give more rows",
        )


def _rows_of(x: np.ndarray[Any, Any] | Tensor, rows: IntArray | slice) -> FloatArray:
    """Some rows as float64, shape (rows, dims): the whole may be larger than memory."""
    if isinstance(x, np.ndarray):
        return np.array(x[rows], dtype=np.float64)
    import torch

    chosen = rows if isinstance(rows, slice) else torch.as_tensor(rows, device=x.device)
    return plain_array(x[chosen]).astype(np.float64)


def _profiled(x: np.ndarray[Any, Any] | Tensor, labels: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which columns hold 0 and 1 and nothing else, shape (dims,), by a pass over all rows in blocks.

    Raises:
        DataError: values are not finite.
    """
    total, dims = (int(side) for side in x.shape)
    # an expanded row is one row in memory, however many it stands for
    repeated = total if (x.strides[0] if isinstance(x, np.ndarray) else x.stride(0)) == 0 else 1
    step = max(1, CELLS_PER_BATCH // dims)
    ones = np.ones(dims, dtype=bool)
    low, high = np.full(dims, np.inf), np.full(dims, -np.inf)
    bad, first = 0, None
    for start in range(0, total // repeated, step):
        block = _rows_of(x, slice(start, min(start + step, total // repeated)))
        finite = np.isfinite(block)
        if not finite.all():
            row, column = (int(position) for position in np.argwhere(~finite)[0])
            first = first or (block[row, column], row + start, column)
            bad += int((~finite).sum()) * repeated
        ones &= ((block == 0) | (block == 1)).all(axis=0)
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    if first is not None:
        value, row, column = first
        raise DataError(
            f"The array holds {value} at row {row}, column {column} ({labels[column]}); "
            f"{bad:,} of its values are not finite.",
            expected="finite numbers, as the model saw them in training",
            fix="fill or drop these rows the way training did: x[np.isfinite(x).all(axis=1)]",
        )
    return np.asarray(ones & (low != high))


def _column_names(names: Sequence[str] | None, dims: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{dim}" for dim in range(dims))
    labels = tuple(str(name) for name in names)
    if len(labels) != dims:
        raise DataError(f"There are {len(labels)} names.", expected=f"{dims}, one per column", fix="names=[...]")
    doubled = [label for label, times in Counter(labels).items() if times > 1]
    if doubled:
        raise DataError(f"Names are doubled: {listed(doubled)}.", expected="different names", fix="rename them")
    return labels
