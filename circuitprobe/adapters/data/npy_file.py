"""Arrays in .npy and .npz files, of which only the wanted rows are read."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitprobe.types import IntArray

MAGIC = b"\x93NUMPY"
NUMBERS = "fiub"
LOCAL_HEADER = 30
PIECE = 1 << 22
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


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
    with path.open("rb") as handle:
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
        with zipfile.ZipFile(path) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            return tuple(_member(path, archive, entry) for entry in members)
    except DAMAGE as error:
        raise _damaged(path.name, str(error) or type(error).__name__) from error


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> StoredArray:
    name = entry.filename.removesuffix(".npy")
    if entry.flag_bits & 1:
        raise DataError(
            f"{path.name} is encrypted.",
            expected="an archive that numpy.savez wrote",
            fix="unpack it with its password",
        )
    with archive.open(entry) as handle:
        header = _read_header(handle, f"{name} in {path.name}")
    if not header.dtype.hasobject and entry.file_size != header.size:
        raise _damaged(path.name, f"{name} has {entry.file_size:,} bytes and its shape takes {header.size:,}")
    if entry.compress_type == zipfile.ZIP_STORED:
        start = _start_of(path, entry)
        return _stored(name, header, lambda index: _mapped(path, header, start, index))
    return _stored(name, header, lambda index: _inflated(path, entry.filename, header, index))


def _start_of(path: Path, entry: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header, whose extra field may differ from the directory's."""
    with path.open("rb") as handle:
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


def _read_header(handle: IO[bytes], name: str) -> _Header:
    try:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(handle)
    except (ValueError, SyntaxError, TypeError, RecursionError) as error:
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
        with zipfile.ZipFile(path) as archive, archive.open(member) as handle:
            handle.read(header.length)
            if header.fortran:
                return _rows_of_columns(handle, header, index)
            return _rows_in_order(handle, header, index)
    except DAMAGE as error:
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
    rest = header.shape[1:]
    length = header.shape[0] * header.dtype.itemsize
    kept = np.empty((math.prod(rest), len(index)), dtype=header.dtype)
    for place in range(len(kept)):
        kept[place] = np.frombuffer(_exactly(handle, length), header.dtype)[index]
    return kept.reshape(*rest[::-1], len(index)).T


def _skip(handle: IO[bytes], count: int) -> None:
    while count > 0:
        taken = len(handle.read(min(PIECE, count)))
        if not taken:
            raise EOFError("it ends early")
        count -= taken


def _exactly(handle: IO[bytes], count: int) -> bytes:
    content = handle.read(count)
    if len(content) != count:
        raise EOFError("it ends early")
    return content


def _damaged(name: str, why: str) -> DataError:
    return DataError(
        f"{name} is damaged or cut off: {why}.",
        expected="a complete file that numpy.save or numpy.savez wrote",
        fix="copy or save it again; compare the size with the original's",
    )
