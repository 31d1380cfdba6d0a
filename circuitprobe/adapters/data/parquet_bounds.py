"""What comes out of a Parquet file, from its own page headers, before pyarrow makes room for it.

A page of a few bytes can stand for two billion cells, or inflate to two gigabytes. The headers that the reader goes by are read
here first, in Thrift's compact protocol (https://github.com/apache/parquet-format), and their sums bounded.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from circuitprobe.adapters.archives import Bounds
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

PARQUET_FILE = Bounds(
    "a Parquet file as pyarrow, pandas or Spark write it",
    DataError,
    "write the table again as Parquet or CSV",
    per_byte=60,
    free=64 * 2**20,
    entries=100_000,
    entry=64 * 2**20,
)
"""What may come out of a Parquet file: bytes of its pages and of its texts; column chunks; bytes of a page of a small file."""
CELLS_PER_BYTE, CELLS = 20, 20_000_000
_MAGIC, _TAIL = b"PAR1", 8
_LONGEST_FOOTER, _LONGEST_HEADER = 2 * 2**20, 1 << 16
_DEEPEST_SCHEMA, _MOST_PARTS = 8, 2_000_000
_DELTA_TEXTS = 7
# fields of the records, by their numbers in parquet.thrift
_SCHEMA, _GROUPS, _COLUMNS, _CHUNK, _CHILDREN = 2, 4, 1, 3, 5
_CHUNK_LENGTH, _DATA_PAGE, _DICTIONARY_PAGE = 7, 9, 11
_PLAIN_LENGTH, _PACKED_LENGTH, _PAGE_V1, _PAGE_DICTIONARY, _PAGE_V2 = 2, 3, 5, 7, 8


@dataclass(frozen=True)
class Pages:
    """What a file's pages hold.

    Attributes:
        deltas: places of columns with texts that are written as changes to the text before.
        longest: bytes of the largest page of these columns; 0 for none.
        texts: bytes that all texts may have.
    """

    deltas: frozenset[int]
    longest: int
    texts: int


def check_pages(handle: BinaryIO, name: str) -> Pages:
    """Bound the cells and bytes of a Parquet file.

    Args:
        handle: the file.
        name: for messages.

    Returns:
        What a reader has to go by.

    Raises:
        DataError: more than a table of that size has.
        ValueError: it is damaged.
    """
    size = handle.seek(0, os.SEEK_END)
    groups, schema = _footer(handle, size, name)
    _check_schema(schema, name)
    budget = PARQUET_FILE.budget(size)
    cells = max(CELLS, CELLS_PER_BYTE * size)
    chunks, deltas, longest = 0, set[int](), dict[int, int]()
    for group in groups:
        for place, column in enumerate(_list(group, _COLUMNS)):
            chunks += 1
            if chunks > PARQUET_FILE.entries:
                raise PARQUET_FILE.refused(f"{name} has more than {chunks:,} column chunks.")
            chunk = _record(column, _CHUNK)
            for length, values, encoding in _pages(handle, chunk, size):
                budget.take(length, name)
                cells -= values
                if cells < 0 or length > PARQUET_FILE.entry + size:
                    raise PARQUET_FILE.refused(
                        f"{name} of {size:,} bytes says that it has a page of {values:,} cells in {length:,} bytes."
                    )
                longest[place] = max(longest.get(place, 0), length)
                if encoding == _DELTA_TEXTS:
                    deltas.add(place)
    return Pages(
        frozenset(deltas),
        max((longest[place] for place in deltas), default=0),
        PARQUET_FILE.per_byte * size + 2 * PARQUET_FILE.free,
    )


def _footer(handle: BinaryIO, size: int, name: str) -> tuple[list[Any], list[Any]]:
    """Records of the row groups and of the schema."""
    if size < _TAIL + len(_MAGIC):
        raise ValueError("too short")
    handle.seek(size - _TAIL)
    (length,), magic = struct.unpack("<I", handle.read(4)), handle.read(4)
    if magic != _MAGIC or length > size - _TAIL:
        raise ValueError("no footer at its end")
    if length > max(_LONGEST_FOOTER, size // 10):
        raise PARQUET_FILE.refused(f"{name} of {size:,} bytes has a footer of {length:,}.")
    handle.seek(size - _TAIL - length)
    footer = _Reader(handle.read(length)).record()
    return _list(footer, _GROUPS), _list(footer, _SCHEMA)


def _check_schema(schema: list[Any], name: str) -> None:
    """Bound how deep the columns nest: the reader follows them by calling itself."""
    open_now: list[int] = []
    for element in schema:
        while open_now and open_now[-1] == 0:
            open_now.pop()
        if open_now:
            open_now[-1] -= 1
        children = element.get(_CHILDREN, 0) if isinstance(element, dict) else 0
        if isinstance(children, int) and children > 0:
            open_now.append(children)
        if len(open_now) > _DEEPEST_SCHEMA:
            raise PARQUET_FILE.refused(f"{name} has columns more than {_DEEPEST_SCHEMA} deep in each other.")


def _pages(handle: BinaryIO, chunk: dict[int, Any], size: int) -> Iterator[tuple[int, int, int]]:
    """Plain length, number of values and encoding of each page of a column chunk."""
    starts = [place for key in (_DICTIONARY_PAGE, _DATA_PAGE) if (place := _number(chunk, key)) > 0]
    place = min(starts, default=0)
    end = place + _number(chunk, _CHUNK_LENGTH)
    if not 0 <= place <= end <= size:
        raise ValueError("a column chunk outside the file")
    while place < end:
        handle.seek(place)
        reader = _Reader(handle.read(min(_LONGEST_HEADER, end - place)))
        header = reader.record()
        packed, plain = _number(header, _PACKED_LENGTH), _number(header, _PLAIN_LENGTH)
        if packed < 0 or plain < 0:
            raise ValueError("a page of negative length")
        kinds = (_PAGE_V1, _PAGE_V2, _PAGE_DICTIONARY)
        about = next((_record(header, kind) for kind in kinds if kind in header), dict[int, Any]())
        encoding = _number(about, 4 if _PAGE_V2 in header else 2)
        yield plain, max(0, _number(about, 1)), encoding
        place += reader.place + packed


def _number(record: dict[int, Any], key: int) -> int:
    value = record.get(key, 0)
    return value if isinstance(value, int) else 0


def _record(record: Any, key: int) -> dict[int, Any]:  # noqa: ANN401
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, dict) else {}


def _list(record: Any, key: int) -> list[Any]:  # noqa: ANN401
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, list) else []


class _Reader:
    """Thrift's compact protocol: records as dictionaries by field number.

    Args:
        content: bytes that begin with a record.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts = 0
        self.place = 0

    def record(self, depth: int = 0) -> dict[int, Any]:
        """The record that begins here."""
        if depth > _DEEPEST_SCHEMA:
            raise ValueError("records nest too deeply")
        found: dict[int, Any] = {}
        field = 0
        while (head := self._byte()) != 0:
            field = field + (head >> 4) if head >> 4 else _zigzag(self._varint())
            kind = head & 15
            # true and false are kinds of their own
            found[field] = kind == 1 if kind in {1, 2} else self._value(kind, depth)
        return found

    def _byte(self) -> int:
        self._parts += 1
        if self.place >= len(self._content) or self._parts > _MOST_PARTS:
            raise ValueError("it breaks off")
        self.place += 1
        return self._content[self.place - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _value(self, kind: int, depth: int) -> Any:  # noqa: ANN401
        if kind in {1, 2, 3}:
            return self._byte()
        if kind in {4, 5, 6}:
            return _zigzag(self._varint())
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in {9, 10}:
            return self._list(depth)
        if kind == 12:
            return self.record(depth + 1)
        raise ValueError(f"a field of kind {kind}")

    def _skip(self, length: int) -> None:
        self.place += length
        if self.place > len(self._content):
            raise ValueError("it breaks off")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._content) - self.place:
            raise ValueError("it breaks off")
        return [self._value(head & 15, depth + 1) for _ in range(count)]


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
