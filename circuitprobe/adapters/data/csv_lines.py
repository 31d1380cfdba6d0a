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


class EndlessFieldError(Exception):
    """A field that is longer than any: a quote was opened and never closed.

    Args:
        line: where its row starts.
    """

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


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
            try:
                for row in reader:
                    first, start = start + 1, dialect.skip_lines + reader.line_num
                    if row:
                        yield first, row
            except csv.Error:
                raise EndlessFieldError(start + 1) from None

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
    passed = 0
    try:
        with _rows(raw, dialect) as rows:
            for line, _ in rows:
                if passed == row:
                    return f"line {line}"
                passed += 1
    except EndlessFieldError as error:
        if passed == row:
            return f"line {error.line}"
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
    try:
        with _rows(raw, dialect) as rows:
            line, row = next(((line, row) for line, row in rows if len(row) != expected), (0, []))
    except EndlessFieldError as error:
        line, row = error.line, []
    if not row:
        return DataError(
            f"{raw.shown!r} cannot be read as CSV" + (f" from line {line} on." if line else f": {message}."),
            expected=f"fields separated by {_shown(dialect.separator)}, quotes closed",
            fix=f"look for a quote that opens a field{f' in line {line}' if line else ''} and is never closed",
        )
    return DataError(
        f"{raw.shown!r}, line {line}: {len(row)} field{'s' * (len(row) != 1)}.",
        expected=f"{expected} as in the header, separated by {_shown(dialect.separator)}",
        fix=_ragged_fix(dialect, line, row),
    )


def check_last_quote(raw: RawFile, dialect: Dialect, cell: str | None, row: int) -> None:
    """Make sure that the last field of a file was not left open, which the parser forgives and takes all the rest for.

    Args:
        raw: the file.
        dialect: how it is written.
        cell: the last field of the last row.
        row: that row, counted from 0.

    Raises:
        DataError: it holds a line break, and the file does not end with a quote.
    """
    if cell is None or ("\n" not in cell and "\r" not in cell):
        return
    tail = b""
    with closing(raw.open_plain()) as file:
        while chunk := file.read(1 << 20):
            tail = (tail + chunk)[-64:]
    # Bytes of wide encodings are 0 beside ASCII characters.
    if tail.rstrip(b"\r\n\x00 ").endswith(b'"'):
        return
    line = line_of_row(raw, dialect, row)
    raise DataError(
        f"{raw.shown!r}: a quote that opens in the row at {line} is not closed by the end of the file.",
        expected="quotes closed",
        fix=f"look for a quote that opens a field in {line} and is never closed",
    )


def _shown(separator: str) -> str:
    return {"\t": "tabs", " ": "blanks"}.get(separator, repr(separator))


def _ragged_fix(dialect: Dialect, line: int, row: list[str]) -> str:
    expected = len(dialect.header)
    if len(row) == expected + 1 and not row[-1].strip():
        return f"remove the separator at the end of line {line} and of those like it, or add one to the header"
    if len(row) == expected + 1 and line == dialect.skip_lines + 1:
        return "add a name for the first column to the header, or write the table without row names"
    if "\n" in row[-1]:
        return f"look for a quote that opens a field in line {line} and is never closed"
    if expected == 1:
        return 'name the separator in a schema file, for example: separator = " "'
    return f"correct line {line}; a field that holds {_shown(dialect.separator)} must be in quotes"
