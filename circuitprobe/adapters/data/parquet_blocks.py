"""A Parquet file as a stream of batches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from circuitprobe.adapters.data.blocks import Blocks, RawColumn, Reading, batch_rows, check_header
from circuitprobe.adapters.data.number_text import NumberStyle, number_label
from circuitprobe.adapters.data.parquet_bounds import PARQUET_FILE, Pages, check_pages
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.raw_file import RawFile
    from circuitprobe.adapters.data.schema import TableSchema

MAGIC = b"PAR1"
TEXT_AT_ONCE = 1 << 25
"""Bytes of text that are written out at a time."""
_PANDAS_INDEX = "__index_level_"


def is_parquet(raw: RawFile) -> bool:
    """Whether the file says so itself, in its first four bytes; its name does not matter."""
    with raw.open() as file:
        return file.read(4) == MAGIC


def parquet_blocks(raw: RawFile, schema: TableSchema) -> Blocks:
    """The stream of a Parquet file.

    Types are taken at their word: text stays text even if it looks like numbers, dictionaries are categories.

    Args:
        raw: the file.
        schema: what is declared.

    Returns:
        The stream.

    Raises:
        DataError: a damaged file, nested or binary columns, names that cannot be used.
    """
    with closing(raw.open()) as file:
        try:
            pages = check_pages(file, raw.name)
            file.seek(0)
            arrow_schema = parquet.ParquetFile(file).schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(raw, error) from None
    fields = [field for field in arrow_schema if not field.name.startswith(_PANDAS_INDEX)]
    check_header([field.name for field in fields], schema, raw.name)
    kept = [field for field in fields if field.name not in set(schema.ignored)]
    columns = tuple(RawColumn(field.name, reading_of(field.type, field.name, raw.name)) for field in kept)
    return Blocks(
        name=raw.name,
        columns=columns,
        batches=_stream(raw, columns, pages),
        where=lambda row: f"row {row + 1}",
        missing=(),
        declared_missing=schema.missing,
        style=NumberStyle(),
    )


def _unreadable(raw: RawFile, error: BaseException) -> DataError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return DataError(
        f"{raw.shown!r} is damaged Parquet: {reason}.", expected="a complete Parquet file", fix="write or copy it again"
    )


def _stream(raw: RawFile, columns: tuple[RawColumn, ...], pages: Pages) -> Iterator[Any]:
    names = [column.name for column in columns]
    rows = batch_rows(len(names))
    if pages.longest:
        # a text that is written as a change to the one before may be as long as its page
        rows = min(rows, 2 * TEXT_AT_ONCE // pages.longest + 1)
    left = pages.texts
    with closing(raw.open()) as file:
        try:
            # texts stay in their dictionaries: a long one may be there many times; pyarrow makes none of changes
            places = {name: place for place, name in enumerate(parquet.ParquetFile(file).schema_arrow.names)}
            kept = [c.name for c in columns if c.reading is Reading.TEXT and places[c.name] not in pages.deltas]
            opened = parquet.ParquetFile(file, read_dictionary=kept)
            for batch in opened.iter_batches(batch_size=rows, columns=names):
                for part, length in _parts(batch):
                    left -= length
                    if left < 0:
                        raise PARQUET_FILE.refused(f"{raw.shown!r} holds more than {pages.texts:,} bytes of text.")
                    arrays = [read_typed(part.column(column.name), column.reading) for column in columns]
                    yield pa.RecordBatch.from_arrays(arrays, names=names)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(raw, error) from None


def _parts(batch: Any) -> Iterator[tuple[Any, int]]:  # noqa: ANN401 - pyarrow has no type stubs
    """A batch in parts whose texts, written out, have a bounded length; and that length."""
    lengths = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and pc.any(pc.is_valid(column)).as_py():
            each = pc.binary_length(column.dictionary.cast(pa.large_string())).to_numpy(zero_copy_only=False)
            codes = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
            lengths += np.nan_to_num(each).astype(np.int64)[codes]
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            lengths += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + TEXT_AT_ONCE, side="right")))
        yield batch.slice(start, end - start), int(ends[min(end, batch.num_rows) - 1]) - before
        start = end


def reading_of(arrow_type: Any, name: str, table: str) -> Reading:  # noqa: ANN401 - pyarrow has no type stubs
    """How a typed column is read.

    Args:
        arrow_type: its pyarrow type.
        name: its name.
        table: the table's short name.

    Returns:
        NUMBER for integers, floats and decimals; TEXT for text, booleans, dictionaries, dates and times.

    Raises:
        DataError: a nested or binary column.
    """
    types = pa.types
    if types.is_integer(arrow_type) or types.is_floating(arrow_type) or types.is_decimal(arrow_type):
        return Reading.NUMBER
    nested_or_binary = types.is_nested(arrow_type) or types.is_binary(arrow_type) or types.is_large_binary(arrow_type)
    if nested_or_binary or types.is_fixed_size_binary(arrow_type):
        raise DataError(
            f"Column {name!r} of {table} holds {arrow_type}.",
            expected="numbers, text, booleans, categories or dates, one value per row",
            fix=f'leave it out: [columns."{name}"] with kind = "ignore" in a schema file',
        )
    return Reading.TEXT


def read_typed(array: Any, reading: Reading) -> Any:  # noqa: ANN401
    """A typed pyarrow array as the string or double array that a batch holds.

    Args:
        array: shape (rows,).
        reading: what it is to become.

    Returns:
        A double array, null where missing; or a string array with numbers as ``1`` and booleans as ``True``.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if reading is Reading.NUMBER:
        return pc.cast(array, pa.float64(), safe=False)
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "True", "False")
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(array, pa.float64(), safe=False)
        return pa.array([None if v is None or v != v else number_label(v) for v in numbers.to_pylist()], pa.string())
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    return pc.cast(array, pa.string())
