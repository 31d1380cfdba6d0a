"""A DataFrame as a stream of batches."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from circuitprobe.adapters.data.blocks import Blocks, RawColumn, Reading, batch_rows, check_header
from circuitprobe.adapters.data.number_text import NumberStyle, number_label
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.schema import TableSchema


def frame_blocks(frame: pd.DataFrame, schema: TableSchema, name: str) -> Blocks:
    """The stream of a DataFrame; its index is no column.

    Types are taken at their word: text stays text even if it looks like numbers, categories stay categories. Only a
    column of Python objects of several types is read like one of a CSV.

    Args:
        frame: any index; column names become text.
        schema: what is declared.
        name: a short name for messages.

    Returns:
        The stream.

    Raises:
        DataError: several levels of column names, doubled names, columns of lists, complex numbers or other objects.
    """
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(
            f"{name} has column names of {frame.columns.nlevels} levels.",
            expected="one name for each column",
            fix='df.columns = ["_".join(map(str, names)) for names in df.columns]',
        )
    header = [_column_name(label) for label in frame.columns]
    check_header(header, schema, name)
    ignored = set(schema.ignored)
    kept = [position for position, label in enumerate(header) if label not in ignored]
    columns = tuple(
        RawColumn(header[position], _reading(frame.iloc[:, position], header[position], name)) for position in kept
    )
    return Blocks(
        name=name,
        columns=columns,
        batches=_stream(frame, kept, columns),
        where=lambda row: f"row {row + 1}",
        missing=("",),
        declared_missing=schema.missing,
        style=NumberStyle(),
    )


def _column_name(label: object) -> str:
    if isinstance(label, numbers.Real) and not isinstance(label, bool):
        return number_label(float(label))
    return str(label)


def _reading(column: pd.Series[Any], name: str, table: str) -> Reading:
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        dtype = dtype.subtype
    if pd.api.types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        return Reading.TEXT
    if pd.api.types.is_complex_dtype(dtype):
        raise _unusable(name, table, "complex numbers")
    if pd.api.types.is_numeric_dtype(dtype):
        return Reading.NUMBER
    if pd.api.types.is_object_dtype(dtype):
        return _object_reading(column, name, table)
    return Reading.TEXT


def _object_reading(column: pd.Series[Any], name: str, table: str) -> Reading:
    kinds = set(column[column.notna()].map(type))
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if issubclass(kind, list | tuple | dict | set | bytes | np.ndarray | complex):
            raise _unusable(name, table, f"values of type {kind.__name__}")
    if all(issubclass(kind, numbers.Number) and not issubclass(kind, bool | np.bool_) for kind in kinds) and kinds:
        return Reading.NUMBER
    mixed = any(issubclass(kind, numbers.Number) and not issubclass(kind, bool | np.bool_) for kind in kinds)
    return Reading.ANY if mixed else Reading.TEXT


def _unusable(name: str, table: str, what: str) -> DataError:
    return DataError(
        f"Column {name!r} of {table} holds {what}.",
        expected="numbers, text, booleans, categories or dates, one value per row",
        fix=f"leave it out: df.drop(columns=[{name!r}])",
    )


def _stream(frame: pd.DataFrame, kept: list[int], columns: tuple[RawColumn, ...]) -> Iterator[Any]:
    step = batch_rows(len(columns))
    names = [column.name for column in columns]
    for start in range(0, len(frame), step):
        part = frame.iloc[start : start + step]
        arrays = [_to_arrow(part.iloc[:, position], raw) for position, raw in zip(kept, columns, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=names)


def _to_arrow(column: pd.Series[Any], raw: RawColumn) -> Any:  # noqa: ANN401 - pyarrow has no type stubs
    if raw.reading is Reading.NUMBER:
        values = pd.to_numeric(column, errors="coerce") if column.dtype == object else column
        return pa.array(values.to_numpy(dtype=np.float64, na_value=np.nan), pa.float64())
    if isinstance(column.dtype, pd.CategoricalDtype):
        labels = np.array([*(_text(value) for value in column.cat.categories), None], dtype=object)
        return pa.array(labels[column.cat.codes.to_numpy()], pa.string())
    if isinstance(column.dtype, pd.StringDtype):
        texts = pa.array(column, pa.string(), from_pandas=True)
        return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    missing = column.isna().to_numpy()
    return pa.array(
        [None if absent else _text(value) for value, absent in zip(column, missing, strict=True)], pa.string()
    )


def _text(value: object) -> str:
    if isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_):
        return number_label(float(value))
    return str(value)
