"""Arrays in .npy and .npz files, of which only the wanted rows are read."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.archives import DAMAGED, Bounds, ZipReader
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitprobe.types import IntArray

MAGIC = b"\x93NUMPY"
NUMBERS = "fiub"
LOCAL_HEADER = 30
PIECE = 1 << 22
LONGEST_HEADER = 1 << 16
ARRAY_FILE = Bounds(
    "an archive that numpy.savez or numpy.savez_compressed wrote",
    DataError,
    "save the arrays again, or without compression: numpy.savez",
    # dSprites, black and white, inflates 120-fold
    per_byte=400,
)
"""What may come out of an archive of arrays."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Attributes:
        name: inside its file; "" where the file is the array.
        shape: of the whole.
        dtype: of its elements; None for what is never read, such as Python objects.
        what: dtype or what it holds instead, in words.
        rows: reads the rows of ascending numbers, shape (rows, ...).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    what: str
    rows: Callable[[IntArray], np.ndarray[Any, Any]]

    @property
    def is_number(self) -> bool:
        """Whether it holds real numbers or truth values."""
        return self.dtype is not None and self.dtype.kind in NUMBERS

    @property
    def described(self) -> str:
        """``imgs (uint8, 737280 x 64 x 64)``."""
        return f"{self.name or 'the array'} ({self.what}, {' x '.join(map(str, self.shape)) or 'one number'})"


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def size(self) -> int:
        return self.length + math.prod(self.shape) * self.dtype.itemsize


def npy_array(path: Path) -> tuple[StoredArray, ...]:
    """The one array of an .npy file, memory-mapped when it is read.

    Raises:
        DataError: the file is damaged.
    """
    with open_file(path) as handle:
        header = _read_header(handle, path.name)
    present = path.stat().st_size
    if not header.dtype.hasobject and present < header.size:
        raise _damaged(path.name, f"it has {present:,} bytes of {header.size:,}")
    return (_stored("", header, lambda index: _mapped(path, header, 0, index)),)


def npz_arrays(path: Path) -> tuple[StoredArray, ...]:
    """The arrays of an .npz archive in the order of the archive.

    Members that are stored as they are are memory-mapped; compressed ones are inflated up to the last wanted row, of which
    nothing but the wanted rows is kept.

    Raises:
        DataError: the archive is damaged or encrypted.
    """
    try:
        with ZipReader(path, ARRAY_FILE, path.name) as archive:
            members = [entry for name, entry in archive.entries.items() if name.endswith(".npy")]
            return tuple(_member(path, archive, entry) for entry in members)
    except DAMAGED as error:
        raise _damaged(path.name, str(error) or type(error).__name__) from error


def _member(path: Path, archive: ZipReader, entry: zipfile.ZipInfo) -> StoredArray:
    name = entry.filename.removesuffix(".npy")
    if entry.flag_bits & 1:
        raise DataError(
            f"{path.name} is encrypted.",
            expected="an archive that numpy.savez wrote",
            fix="unpack it with its password",
        )
    with archive.open(entry.filename) as handle:
        header = _read_header(handle, f"{name} in {path.name}")
    if not header.dtype.hasobject and entry.file_size != header.size:
        raise _damaged(path.name, f"{name} has {entry.file_size:,} bytes and its shape takes {header.size:,}")
    if entry.compress_type == zipfile.ZIP_STORED:
        start = _start_of(path, entry)
        return _stored(name, header, lambda index: _mapped(path, header, start, index))
    return _stored(name, header, lambda index: _inflated(path, entry.filename, header, index))


def _start_of(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header, whose extra field may differ from the directory's."""
    with open_file(path) as handle:
        handle.seek(entry.header_offset)
        local = handle.read(LOCAL_HEADER)
    if len(local) < LOCAL_HEADER or not local.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile(f"no member where {entry.filename} should begin")
    start = (
        entry.header_offset
        + LOCAL_HEADER
        + int.from_bytes(local[26:28], "little")
        + int.from_bytes(local[28:30], "little")
    )
    if start + entry.file_size > path.stat().st_size:
        raise zipfile.BadZipFile(f"{entry.filename} is cut off")
    return start


def _read_header(stream: IO[bytes], name: str) -> _Header:
    # numpy would read as many bytes as the header says that it has
    handle = io.BytesIO(stream.read(LONGEST_HEADER))
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(handle)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise _damaged(name, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if any(side < 0 for side in shape):
        raise _damaged(name, f"its shape is {shape}")
    return _Header(shape, fortran, dtype, handle.tell())


def _stored(name: str, header: _Header, rows: Callable[[IntArray], np.ndarray[Any, Any]]) -> StoredArray:
    if header.dtype.hasobject:
        return StoredArray(name, header.shape, None, "Python objects: a pickle, which is never opened", rows)
    return StoredArray(name, header.shape, header.dtype, str(header.dtype), rows)


def _mapped(path: Path, header: _Header, start: int, index: IntArray) -> np.ndarray[Any, Any]:
    # without a file descriptor left open, and without what another program appends
    order: Any = "F" if header.fortran else "C"
    whole = np.memmap(path, header.dtype, "r", start + header.length, header.shape, order)
    return np.array(whole[index])


def _inflated(path: Path, member: str, header: _Header, index: IntArray) -> np.ndarray[Any, Any]:
    try:
        with ZipReader(path, ARRAY_FILE, path.name) as archive, archive.open(member) as handle:
            handle.read(header.length)
            if header.fortran:
                return _rows_of_columns(handle, header, index)
            return _rows_in_order(handle, header, index)
    except DAMAGED as error:
        raise _damaged(path.name, str(error) or type(error).__name__) from error


def _rows_in_order(handle: IO[bytes], header: _Header, index: IntArray) -> np.ndarray[Any, Any]:
    """Row after row; what lies between two wanted rows is inflated piece by piece and dropped."""
    length = math.prod(header.shape[1:]) * header.dtype.itemsize
    kept = np.empty((len(index), *header.shape[1:]), dtype=header.dtype)
    at = 0
    for place, row in enumerate(index.tolist()):
        _skip(handle, (row - at) * length)
        kept[place] = np.frombuffer(_exactly(handle, length), header.dtype).reshape(header.shape[1:])
        at = row + 1
    return kept


def _rows_of_columns(handle: IO[bytes], header: _Header, index: IntArray) -> np.ndarray[Any, Any]:
    """Fortran order: one run over all rows per place of a row, the first axis of a row fastest."""
    rest, total = header.shape[1:], header.shape[0]
    step = max(1, PIECE // header.dtype.itemsize)
    kept = np.empty((math.prod(rest), len(index)), dtype=header.dtype)
    for place in range(len(kept)):
        for start in range(0, total, step):
            count = min(step, total - start)
            column = np.frombuffer(_exactly(handle, count * header.dtype.itemsize), header.dtype)
            wanted = slice(*np.searchsorted(index, (start, start + count)))
            kept[place, wanted] = column[index[wanted] - start]
    return kept.reshape(*rest[::-1], len(index)).T


def _skip(handle: IO[bytes], count: int) -> None:
    while count > 0:
        taken = len(handle.read(min(PIECE, count)))
        if not taken:
            raise EOFError("it ends early")
        count -= taken


def _exactly(handle: IO[bytes], count: int) -> bytes:
    # what a shape promises is not made room for before it is there
    found, left = [], count
    while left > 0:
        piece = handle.read(min(PIECE, left))
        if not piece:
            raise EOFError("it ends early")
        found.append(piece)
        left -= len(piece)
    return b"".join(found)


def _damaged(name: str, why: str) -> DataError:
    return DataError(
        f"{name} is damaged or cut off: {why}.",
        expected="a complete file that numpy.save or numpy.savez wrote",
        fix="copy or save it again; compare the size with the original's",
    )
