"""Where in a CSV something went wrong: a slow, exact second look, taken only when there is an error to explain."""

from __future__ import annotations

import csv
import io
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.csv_dialect import Dialect
    from circuitprobe.adapters.data.raw_file import RawFile


@contextmanager
def _rows(raw: RawFile, dialect: Dialect) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """Rows below the header with the physical line (counted from 1) they start on; blank lines are no rows."""
    with closing(raw.open_plain()) as file:
        text = io.TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="")
        for _ in range(dialect.skip_lines):
            text.readline()
        reader = csv.reader(text, delimiter=dialect.separator)

        def numbered() -> Iterator[tuple[int, list[str]]]:
            start = dialect.skip_lines
            for row in reader:
                first, start = start + 1, dialect.skip_lines + reader.line_num
                if row:
                    yield first, row

        yield numbered()


def line_of_row(raw: RawFile, dialect: Dialect, row: int) -> str:
    """Name the place of a row.

    Args:
        raw: the file.
        dialect: how it is written.
        row: counted from 0 below the header, blank lines not counted.

    Returns:
        ``line 17``, or ``row 16`` where lines cannot be counted.
    """
    try:
        with _rows(raw, dialect) as rows:
            for position, (line, _) in enumerate(rows):
                if position == row:
                    return f"line {line}"
    except csv.Error:
        pass
    return f"row {row + 1}"


def ragged_error(raw: RawFile, dialect: Dialect, message: str) -> DataError:
    """Explain why a CSV does not parse.

    Args:
        raw: the file.
        dialect: how it is written.
        message: what the parser said, used where the second look finds nothing.

    Returns:
        The error, naming the first line that has another number of fields than the header.
    """
    expected = len(dialect.header)
    shown = {"\t": "tabs"}.get(dialect.separator, repr(dialect.separator))
    try:
        with _rows(raw, dialect) as rows:
            line, row = next(((line, row) for line, row in rows if len(row) != expected), (0, []))
    except csv.Error:
        line, row = 0, []
    if not line:
        return DataError(
            f"{raw.shown!r} cannot be read as CSV: {message}.",
            expected=f"fields separated by {shown}, quotes closed",
            fix="look for a quote that opens a field and is never closed",
        )
    fix = f"correct line {line}; a field that holds {shown} must be in quotes"
    if len(row) == expected + 1 and not row[-1].strip():
        fix = f"remove the separator at the end of line {line} and of those like it, or add one to the header"
    elif len(row) == expected + 1 and line == dialect.skip_lines + 1:
        fix = "add a name for the first column to the header, or write the table without row names"
    elif len(row) < expected and max(map(len, row)) > 1000:
        fix = f"look for a quote that opens a field in line {line} and is never closed"
    elif expected == 1:
        fix = 'name the separator in a schema file, for example: separator = " "'
    return DataError(
        f"{raw.shown!r}, line {line}: {len(row)} field{'s' * (len(row) != 1)}.",
        expected=f"{expected} as in the header, separated by {shown}",
        fix=fix,
    )
