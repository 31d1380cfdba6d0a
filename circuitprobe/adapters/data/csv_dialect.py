"""How a CSV is written: encoding, separator, header, decimal mark, told from its first part."""

from __future__ import annotations

import codecs
import csv
import io
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

from circuitprobe.adapters.archives import DAMAGED
from circuitprobe.adapters.data.number_text import NumberStyle
from circuitprobe.adapters.data.raw_file import RawFile, refuse_binary
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.schema import TableSchema

HEAD_BYTES = 1 << 18
HEADER_LIMIT = 1 << 24
HEAD_ROWS = 500
MOST_COLUMNS = 100_000
SEPARATORS = (";", "\t", "|", ",")  # in a tie, a comma is a decimal comma
FALLBACKS = {"utf-8": "cp1252", "cp1252": "latin-1"}

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_CONTROL = re.compile("[\x00-\x08]")
_SEPARATOR_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\r?\n", re.IGNORECASE)
# Numbers that can be read in one way only: 3,5 has a decimal comma, 3.5 and 1,234,567 have not; 1,234 says nothing.
_DECIMAL_COMMA = re.compile(r"\s*[+-]?(\d{1,3}(\.\d{3})+,\d+|0*,\d+|0+,\d+|\d+,(\d{1,2}|\d{4,})|\d{4,},\d+)\s*")
_DECIMAL_POINT = re.compile(
    r"\s*[+-]?(\d{1,3}(,\d{3})+\.\d*|\d{1,3}(,\d{3}){2,}|\d*\.(\d{1,2}|\d{4,})|0*\.\d+|\d{4,}\.\d+)\s*"
)


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written.

    Attributes:
        encoding: a codec's name; ``utf-8`` with or without a byte order mark.
        separator: between fields.
        header: names as in the first line, stripped; may be empty or doubled.
        skip_lines: physical lines up to the first row.
        style: how numbers are written.
    """

    encoding: str
    separator: str
    header: tuple[str, ...]
    skip_lines: int
    style: NumberStyle


def detect_dialect(raw: RawFile, schema: TableSchema, encoding: str | None = None) -> Dialect:
    """Tell the dialect from the first part of a file.

    Args:
        raw: the file.
        schema: its separator and encoding win.
        encoding: overrides detection (a second try after the first turned out wrong further down).

    Returns:
        The dialect.

    Raises:
        DataError: an empty file, a binary file, no decodable text.
    """
    head = _read_head(raw)
    if not head.strip():
        raise DataError(f"{raw.shown!r} is empty.", expected="a header line and at least 2 rows", fix="check the file")
    chosen = encoding or schema.encoding or detect_encoding(head)
    text, complete = _decode(head, chosen, raw.shown)
    if _CONTROL.search(text):
        raise DataError(
            f"{raw.shown!r} holds NUL or control bytes: it is binary, not text.",
            expected="a CSV or Parquet file",
            fix="write the table as CSV or Parquet",
        )
    text = _whole_lines(text, complete)
    marked = _SEPARATOR_LINE.match(text)
    separator = schema.separator or (marked[1] if marked else detect_separator(text[: HEAD_BYTES // 4]))
    widest = max((line.count(separator) for line in text.splitlines()), default=0)
    if widest >= MOST_COLUMNS:
        raise DataError(
            f"{raw.shown!r} has a line of {widest + 1:,} fields.",
            expected=f"at most {MOST_COLUMNS:,} columns",
            fix="write the columns that the model takes to a file of their own",
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    if marked:
        next(reader)
    try:
        header = next((row for row in reader if any(field.strip() for field in row) or len(row) > 1), [])
    except csv.Error:
        raise DataError(
            f"The first line of {raw.shown!r} has a name of more than {csv.field_size_limit():,} characters.",
            expected="column names in the first line",
            fix="look for a quote that opens a name and is never closed",
        ) from None
    names = tuple(name.strip() for name in header)
    skip_lines = reader.line_num
    return Dialect(chosen, separator, names, skip_lines, _number_style(_first_rows(reader), separator))


def _first_rows(reader: Iterator[list[str]]) -> list[list[str]]:
    rows = []
    with suppress(csv.Error):  # where a row breaks off is for the parser proper to say
        for row in islice(reader, HEAD_ROWS):
            rows.append(row)  # noqa: PERF402 - the rows before the error are wanted
    return rows


def _read_head(raw: RawFile) -> bytes:
    try:
        with raw.open_plain() as file:
            head = file.read(HEAD_BYTES)
            while b"\n" not in head and b"\r" not in head and len(head) < HEADER_LIMIT:
                more = file.read(HEAD_BYTES)
                if not more:
                    break
                head += more
    except DAMAGED as error:
        raise damaged(raw.shown, error) from None
    refuse_binary(head, raw.shown)
    return head


def damaged(shown: str, error: BaseException) -> DataError:
    """The error for a compressed file that does not unpack to its end."""
    return DataError(
        f"{shown!r} is compressed and cannot be unpacked: {error or type(error).__name__}.",
        expected="a complete gzip, bzip2 or xz file",
        fix="download or write it again",
    )


def detect_encoding(head: bytes) -> str:
    """Encoding of a text, from its byte order mark, its NUL bytes and whether it is valid UTF-8.

    Args:
        head: the first bytes of the text.

    Returns:
        utf-8, utf-16, utf-16-le, utf-16-be, utf-32, cp1252 or latin-1.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:4096]
    if len(sample) >= 4 and b"\x00" in sample:
        for encoding, offset in (("utf-16-le", 1), ("utf-16-be", 0)):
            # Latin text in UTF-16 has every second byte 0 and hardly any other.
            if sample[offset::2].count(0) > 0.7 * len(sample) / 2 and sample[1 - offset :: 2].count(0) == 0:
                return encoding
        return "utf-8"
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(head, final=False)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _decode(head: bytes, encoding: str, shown: str) -> tuple[str, bool]:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except UnicodeError as error:
        raise undecodable(shown, encoding, error) from None
    return text.removeprefix("\ufeff"), len(head) < HEAD_BYTES


def undecodable(shown: str, encoding: str, error: BaseException) -> DataError:
    """The error for a file that is not in the encoding it was taken to be in."""
    return DataError(
        f"{shown!r} is not {encoding} text: {error}.",
        expected="text in one encoding, complete to its last byte",
        fix='save it as UTF-8, or name its encoding in a schema file: encoding = "cp1252"',
    )


def _whole_lines(text: str, complete: bool) -> str:
    if complete:
        return text
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text[: end + 1] if end >= 0 else text


def detect_separator(text: str) -> str:
    """The character between fields: the one under which most lines have as many fields as the first.

    Args:
        text: the first lines.

    Returns:
        Comma, semicolon, tab or pipe; another one that csv.Sniffer finds and every line agrees on; a comma for a
        single column.
    """
    scored = [(*_agreement(text, separator), -position) for position, separator in enumerate(SEPARATORS)]
    agreement, _, position = max(scored)
    if agreement > 0:
        return SEPARATORS[-position]
    try:
        sniffed = csv.Sniffer().sniff(text[:8192]).delimiter
    except csv.Error:
        return ","
    if sniffed.isalnum() or sniffed in "_.-+\"'\r\n":
        return ","
    return sniffed if _agreement(text, sniffed)[0] == 1 else ","


def _agreement(text: str, separator: str) -> tuple[float, int]:
    try:
        rows = [row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), HEAD_ROWS) if row]
    except csv.Error:
        return 0.0, 0
    if not rows or len(rows[0]) < 2 or median(len(row) for row in rows) < 2:
        return 0.0, 0
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0])


def _number_style(rows: list[list[str]], separator: str) -> NumberStyle:
    fields = [field for row in rows for field in row]
    commas = any(_DECIMAL_COMMA.fullmatch(field) for field in fields)
    points = any(_DECIMAL_POINT.fullmatch(field) for field in fields)
    if separator == ",":
        return NumberStyle(comma_groups=points and not commas)
    # Semicolons stand between fields because commas stand inside numbers.
    return NumberStyle(
        comma=commas or (separator == ";" and not points),
        dot_groups=commas and not points,
        comma_groups=points and not commas,
    )
