"""A CSV as a stream of batches: pyarrow's streaming reader, every column as text."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from circuitprobe.adapters.archives import DAMAGED
from circuitprobe.adapters.data.blocks import (
    MISSING_TOKENS,
    Blocks,
    RawColumn,
    Reading,
    WrongEncodingError,
    check_header,
)
from circuitprobe.adapters.data.csv_dialect import FALLBACKS, Dialect, damaged, detect_dialect, undecodable
from circuitprobe.adapters.data.csv_lines import check_last_quote, line_of_row, ragged_error
from circuitprobe.adapters.data.number_text import NumberStyle, parse_numbers
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.raw_file import RawFile
    from circuitprobe.adapters.data.schema import TableSchema

BLOCK_BYTES = 1 << 22


def csv_attempts(raw: RawFile, schema: TableSchema) -> Iterator[Blocks]:
    """The stream of a CSV, and another per encoding to fall back on.

    A file whose first part is valid UTF-8 may still hold cp1252 or latin-1 bytes further down: iterating over the
    batches then raises ``WrongEncodingError``, and the next attempt starts from the first row.

    Args:
        raw: the file.
        schema: what is declared.

    Yields:
        The stream under each encoding in turn.

    Raises:
        DataError: an empty or binary file, a header that cannot be used.
    """
    encoding: str | None = None
    while True:
        dialect = detect_dialect(raw, schema, encoding)
        yield _open(raw, dialect, schema)
        encoding = None if schema.encoding else FALLBACKS.get(dialect.encoding)
        if encoding is None:
            return


def _open(raw: RawFile, dialect: Dialect, schema: TableSchema) -> Blocks:
    columns = _name_columns(raw, dialect)
    check_header([column.name for column in columns], schema, raw.name)
    ignored = set(schema.ignored)
    kept = [position for position, column in enumerate(columns) if column.name not in ignored]
    tokens = tuple(dict.fromkeys((*MISSING_TOKENS, *schema.missing)))
    return Blocks(
        name=raw.name,
        columns=tuple(columns[position] for position in kept),
        batches=_stream(raw, dialect, kept, tokens, can_fall_back=not schema.encoding),
        where=lambda row: line_of_row(raw, dialect, row),
        missing=tokens,
        declared_missing=schema.missing,
        style=dialect.style,
    )


def _name_columns(raw: RawFile, dialect: Dialect) -> list[RawColumn]:
    header = dialect.header
    _refuse_headerless(raw, header)
    columns = []
    for position, name in enumerate(header):
        # An index written by pandas has no name; pandas reads it back under this one.
        columns.append(RawColumn(name or f"Unnamed: {position}", Reading.ANY, droppable=not name))
    return columns


def _refuse_headerless(raw: RawFile, header: tuple[str, ...]) -> None:
    named = [name for name in header if name]
    numbers = parse_numbers(pa.array(named, pa.string()), NumberStyle(comma=True))
    if named and (numbers != numbers).any():
        return
    # A DataFrame without column names is written with the names 0, 1, 2, ...
    counted = [str(position + start) for start in (0, 1) for position in range(len(named))]
    if len(named) >= 3 and named in (counted[: len(named)], counted[len(named) :]):
        return
    raise DataError(
        f"The first line of {raw.shown!r} holds "
        + (f"numbers: {', '.join(named[:6])}{', ...' * (len(named) > 6)}." if named else "no column names."),
        expected="column names in the first line",
        fix="add a header line with a name for each column",
    )


def _stream(
    raw: RawFile, dialect: Dialect, kept: list[int], tokens: tuple[str, ...], *, can_fall_back: bool
) -> Iterator[Any]:
    names = [f"f{position}" for position in range(len(dialect.header))]
    try:
        with closing(raw.open_plain()) as file:
            stream = pa.PythonFile(file, mode="r")
            if dialect.encoding != "utf-8":
                stream = pa.transcoding_input_stream(stream, dialect.encoding, "utf-8")
            reader = arrow_csv.open_csv(
                stream,
                # Without threads the reader keeps one block in memory and rows come in the same batches every time.
                read_options=arrow_csv.ReadOptions(
                    use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=dialect.skip_lines
                ),
                parse_options=arrow_csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    strings_can_be_null=True,
                    null_values=list(tokens),
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[names[position] for position in kept],
                ),
            )
            total, last = 0, None
            # closed before its file is: it reads ahead in a thread of its own
            with reader:
                for batch in reader:
                    if batch.num_rows:
                        yield batch
                        total += batch.num_rows
                        last = batch
        if last is not None and kept[-1] == len(names) - 1:
            check_last_quote(raw, dialect, last.column(len(kept) - 1)[-1].as_py(), total - 1)
    except DAMAGED as error:
        raise damaged(raw.shown, error) from None
    except UnicodeError as error:
        raise _wrong_encoding(raw, dialect, error, can_fall_back=can_fall_back) from None
    except pa.ArrowInvalid as error:
        message = str(error)
        if "Empty CSV file" in message or "Could not skip initial" in message:
            return
        if "invalid UTF8" in message:
            raise _wrong_encoding(raw, dialect, error, can_fall_back=can_fall_back) from None
        raise ragged_error(raw, dialect, message) from None


def _wrong_encoding(raw: RawFile, dialect: Dialect, error: Exception, *, can_fall_back: bool) -> Exception:
    if can_fall_back and dialect.encoding in FALLBACKS:
        return WrongEncodingError(dialect.encoding)
    return undecodable(raw.shown, dialect.encoding, error)
