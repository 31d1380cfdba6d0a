"""Rows that come as an array, already in the model's space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.data.near_names import listed
from circuitprobe.adapters.data.plain_arrays import plain_array, readable
from circuitprobe.adapters.data.reservoir import row_keys, smallest_keys
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
    values = _to_numpy(x)
    total, dims = values.shape
    labels = _column_names(names, dims)
    _check_finite(values, labels)
    index = smallest_keys(row_keys(seed).random(total), total if rows is None else rows)
    ones = ((values == 0) | (values == 1)).all(axis=0) & (values.min(axis=0) != values.max(axis=0))
    features = tuple(
        Feature(label, FeatureKind.BINARY, (dim,), Decode((dim,)), ("0", "1"))
        if ones[dim]
        else Feature(label, FeatureKind.NUMERIC, (dim,), Decode((dim,)))
        for dim, label in enumerate(labels)
    )
    return values[index], features, index, total


def _to_numpy(x: np.ndarray[Any, Any] | Tensor) -> FloatArray:
    array = plain_array(readable(x))
    if array.ndim != 2:
        raise DataError(
            f"The array has shape {array.shape}.",
            expected="two axes: rows and model dimensions",
            fix="x.reshape(len(x), -1) if the model takes flat rows",
        )
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"The array holds {array.dtype}.", expected="numbers in the model's space", fix="x.astype(float)"
        )
    if len(array) < 2 or array.shape[1] == 0:
        raise DataError(
            f"The array has shape {array.shape}.", expected="at least 2 rows and 1 dimension", fix="give more rows"
        )
    return np.array(array, dtype=np.float64)


def _column_names(names: Sequence[str] | None, dims: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"x{dim}" for dim in range(dims))
    labels = tuple(str(name) for name in names)
    if len(labels) != dims:
        raise DataError(f"There are {len(labels)} names.", expected=f"{dims}, one per column", fix="names=[...]")
    doubled = sorted({label for label in labels if labels.count(label) > 1})
    if doubled:
        raise DataError(f"Names are doubled: {listed(doubled)}.", expected="different names", fix="rename them")
    return labels


def _check_finite(values: FloatArray, labels: tuple[str, ...]) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    row, column = (int(position) for position in np.argwhere(~finite)[0])
    raise DataError(
        f"The array holds {values[row, column]} at row {row}, column {column} ({labels[column]}); "
        f"{int((~finite).sum()):,} of its values are not finite.",
        expected="finite numbers, as the model saw them in training",
        fix="fill or drop these rows the way training did: x[np.isfinite(x).all(axis=1)]",
    )
