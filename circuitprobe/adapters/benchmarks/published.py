"""The benchmark tables as files: every column as it was published, targets and ignored ones too."""

from __future__ import annotations

import lzma
from typing import TYPE_CHECKING, BinaryIO

from circuitprobe.adapters.benchmarks import benchmark_file
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.benchmarks import Benchmark
    from circuitprobe.types import IntArray


def published_columns(declared: Benchmark) -> tuple[str, ...]:
    """The names in the header, in their order."""
    return tuple(next(_lines(declared)).decode("utf-8").rstrip("\n").split(","))


def count_rows(declared: Benchmark) -> int:
    """How many rows a benchmark has."""
    return sum(1 for _ in _lines(declared)) - 1


def write_csv(declared: Benchmark, index: IntArray, handle: BinaryIO) -> None:
    """Write rows as they stand in the published file, byte by byte.

    Args:
        declared: the benchmark.
        index: which rows, ascending, shape (rows,).
        handle: open for writing.
    """
    lines = _lines(declared)
    handle.write(next(lines))
    wanted = set(index.tolist())
    for row, line in enumerate(lines):
        if row in wanted:
            handle.write(line)


def write_parquet(declared: Benchmark, index: IntArray, handle: BinaryIO) -> None:
    """Write rows with a type for each column: integers, doubles, and text for categories, also where codes are numbers.

    Args:
        declared: the benchmark.
        index: which rows, ascending, shape (rows,).
        handle: open for writing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    # no cell is missing: what looks like it ("?", "NA") is a category
    texts = {column.name: pa.string() for column in declared.schema.columns if column.kind is ColumnKind.CATEGORICAL}
    options = csv.ConvertOptions(column_types=texts, null_values=[], strings_can_be_null=False)
    with benchmark_file(declared).open("rb") as packed, lzma.open(packed) as plain:
        # types are those of the whole column, whichever rows are written
        table = csv.read_csv(plain, convert_options=options)
    pq.write_table(table.take(pa.array(index)), handle)


def _lines(declared: Benchmark) -> Iterator[bytes]:
    """Header and rows; no cell of these tables holds a line end."""
    with benchmark_file(declared).open("rb") as packed, lzma.open(packed) as plain:
        yield from plain
