"""A table from a file, a benchmark or a DataFrame: profiled over every row, audited rows drawn in the same pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuitprobe.adapters.data.blocks import Blocks, RawColumn, Reading, WrongEncodingError
from circuitprobe.adapters.data.column_names import renamed_columns
from circuitprobe.adapters.data.csv_blocks import csv_attempts
from circuitprobe.adapters.data.frame_blocks import frame_blocks
from circuitprobe.adapters.data.kinds import settle_column
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.data.parquet_blocks import is_parquet, parquet_blocks
from circuitprobe.adapters.data.profile import CellReader, ColumnProfile
from circuitprobe.adapters.data.raw_file import find_file
from circuitprobe.adapters.data.reservoir import Reservoir
from circuitprobe.adapters.data.schema import TableSchema
from circuitprobe.errors import DataError, UsageError
from circuitprobe.types import Column, ColumnKind, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MIN_ROWS = 2


def read_table(
    source: str | Path | pd.DataFrame,
    *,
    rows: int | None = 2048,
    seed: int = 0,
    schema: TableSchema | None = None,
    name: str | None = None,
    known: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Table:
    """Read a table in one pass and bounded memory.

    Every row counts for the columns' statistics (count, missing values, mean, standard deviation, range, categories);
    ``rows`` of them are drawn at random and kept. Each row has a random key from ``default_rng([seed, 1])``, the
    smallest keys win: a uniform sample without replacement that depends on nothing but the seed and the number of rows.

    Args:
        source: path of a CSV (any usual separator and encoding; also packed with gzip, bzip2 or xz) or Parquet file, a
            benchmark's name, or a DataFrame.
        rows: how many rows are audited; None for all. A table that has no more is taken whole, in order.
        seed: of the draw.
        schema: overrides what is inferred; on top of the benchmark's own for a benchmark.
        name: short name for messages and reports; the file's name by default.
        known: the model's names of its columns; columns that differ from them in case, spaces or signs get these names.
        progress: called now and then with the number of rows read so far.

    Returns:
        The audited rows and the profiled columns.

    Raises:
        DataError: the file or a column of it cannot be used; says where and what to do.
        UsageError: ``rows`` below 2.
    """
    if rows is not None and rows < MIN_ROWS:
        raise UsageError(
            f"rows is {rows}.",
            expected="at least 2 audited rows",
            fix="leave it at 2048: intervals narrow with the square root of the rows",
        )
    full_schema = _full_schema(source, schema)
    for blocks in _attempts(source, full_schema, name):
        try:
            renamed = renamed_columns([column.name for column in blocks.columns], known)
            table = _read(_with_names(blocks, renamed), rows, seed, _named_schema(full_schema, renamed), progress)
            path = "" if isinstance(source, pd.DataFrame) else str(source)
            return replace(table, renamed=tuple((new, old) for old, new in renamed.items()), path=path)
        except WrongEncodingError:
            continue
    raise AssertionError("the last encoding to fall back on decodes any byte")


def _full_schema(source: str | Path | pd.DataFrame, schema: TableSchema | None) -> TableSchema:
    from circuitprobe.adapters.benchmarks import BENCHMARKS, benchmark_schema

    if isinstance(source, str | Path) and str(source) in BENCHMARKS and not Path(source).is_file():
        return benchmark_schema(str(source), schema)
    return schema or TableSchema()


def _attempts(source: str | Path | pd.DataFrame, schema: TableSchema, name: str | None) -> Iterator[Blocks]:
    if isinstance(source, pd.DataFrame):
        yield frame_blocks(source, schema, name or "DataFrame")
        return
    if not isinstance(source, str | Path):
        raise DataError(
            f"The table is a {type(source).__name__}.",
            expected="the path of a CSV or Parquet file, a benchmark's name or a DataFrame",
            fix="for an array or tensor in the model's own space: array_data(x)",
        )
    raw = find_file(source)
    if is_parquet(raw):
        yield parquet_blocks(raw, schema)
    else:
        yield from csv_attempts(raw, schema)


def _with_names(blocks: Blocks, renamed: Mapping[str, str]) -> Blocks:
    columns = tuple(replace(column, name=renamed.get(column.name, column.name)) for column in blocks.columns)
    return replace(blocks, columns=columns)


def _named_schema(schema: TableSchema, renamed: Mapping[str, str]) -> TableSchema:
    """The schema under the model's names; what it says of a column under the table's name wins."""
    by_name = schema.by_name
    said = {new: replace(by_name[old], name=new) for old, new in renamed.items() if old in by_name}
    return replace(schema, columns=tuple((by_name | said).values())) if said else schema


def _read(
    blocks: Blocks, rows: int | None, seed: int, schema: TableSchema, progress: Callable[[int], None] | None
) -> Table:
    if not blocks.columns:
        raise DataError(
            f"{blocks.name} has no columns{' left: the schema ignores all of them' if schema.ignored else ''}.",
            expected="at least one column",
            fix='remove kind = "ignore" where a column is wanted' if schema.ignored else "check the table",
        )
    profiles = [
        ColumnProfile(CellReader(raw.reading, blocks.missing, blocks.declared_missing, blocks.style))
        for raw in blocks.columns
    ]
    reservoir = Reservoir(rows, seed)
    total = 0
    for batch in blocks.batches:
        for position, profile in enumerate(profiles):
            profile.update(batch.column(position))
        reservoir.update(batch, total)
        total += batch.num_rows
        if progress is not None:
            progress(total)
    _check_size(blocks, total)
    declared = schema.by_name
    settled = [
        (raw, profile, settle_column(raw, profile, declared.get(raw.name), blocks))
        for raw, profile in zip(blocks.columns, profiles, strict=True)
    ]
    index, sample = reservoir.rows()
    frame: dict[str, Any] = {}
    columns: list[Column] = []
    for position, (raw, profile, column) in enumerate(settled):
        if column is None:
            continue
        _refuse_nameless(raw, position, blocks)
        columns.append(column)
        frame[column.name] = _cells(sample.column(position).combine_chunks(), profile, column)
    return Table(source=blocks.name, total=total, index=index, frame=pd.DataFrame(frame), columns=tuple(columns))


def _check_size(blocks: Blocks, total: int) -> None:
    if total < MIN_ROWS:
        raise DataError(
            f"{blocks.name} has a header and {'no rows' if total == 0 else 'only 1 row'}.",
            expected="at least 2 rows below the header",
            fix="give the rows the model was trained on, or held-out ones",
        )


def _refuse_nameless(raw: RawColumn, position: int, blocks: Blocks) -> None:
    if raw.droppable and position > 0:
        raise DataError(
            f"Column {raw.name.removeprefix('Unnamed: ')} of {blocks.name} (counted from 0) has values and no name.",
            expected="a name for each column; only a first column without name is taken, for an index",
            fix="add its name to the header",
        )


def _cells(array: Any, profile: ColumnProfile, column: Column) -> Any:  # noqa: ANN401 - pyarrow has no type stubs
    """Audited cells of one column as the frame holds them: float64 with nan, or str with None."""
    exact_text = profile.numbers.beyond_exact and profile.cells.reading is not Reading.NUMBER
    if column.kind is ColumnKind.NUMERIC:
        return profile.cells.numbers(array)
    if profile.all_numbers and not exact_text:
        numbers = profile.cells.numbers(array).tolist()
        return pd.Series([None if value != value else number_label(value) for value in numbers], dtype=object)
    return pd.Series(profile.cells.texts(array).to_pylist(), dtype=object)
