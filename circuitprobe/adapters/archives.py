"""Archives and compressed files, read within bounds: every byte is counted as it comes out.

What an archive says of itself is checked first, so that a message can name it, and is never believed: a bound holds for the bytes
that come out. One ``Bounds`` says what is allowed at one door; a budget that is shared counts archives inside archives together.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, cast

from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import CircuitProbeError

PIECE = 1 << 20
"""Bytes that come out at a time."""
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, NotImplementedError,
    RuntimeError, struct.error,
)  # fmt: skip
"""What Python's readers raise where an archive is damaged or encrypted."""
_END, _END64, _LOCATOR = 22, 56, 20
_PLAIN_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_TAR_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE}


@dataclass(frozen=True)
class Bounds:
    """What may come out of a user's archive.

    Attributes:
        what: what was expected, such as ``a model file``.
        error: what a refusal is.
        fix: what to do about one.
        per_byte: bytes that may come out for each byte of the file.
        free: bytes that may come out besides, however small the file.
        entries: entries of an archive.
        entry: bytes of one entry that is read as a whole.
    """

    what: str
    error: type[CircuitProbeError]
    fix: str
    per_byte: int
    free: int = 16 * 2**20
    entries: int = 20_000
    entry: int = 2**40

    def budget(self, size: int) -> Budget:
        """What may come out of a file of ``size`` bytes."""
        return Budget(self, self.per_byte * size + self.free)

    def refused(self, seen: str) -> CircuitProbeError:
        """The error for a file that is beyond these bounds."""
        return self.error(seen, expected=self.what, fix=self.fix)


class Budget:
    """Bytes that may still come out of a file, whatever depth they come from.

    Args:
        bounds: what is allowed.
        total: bytes.
    """

    def __init__(self, bounds: Bounds, total: int) -> None:
        self.bounds = bounds
        self.total = total
        self.left = total

    def take(self, count: int, name: str) -> None:
        """Count bytes that came out.

        Raises:
            CircuitProbeError: of the bounds' class, where there are more than allowed.
        """
        self.left -= count
        if self.left < 0:
            raise self.bounds.refused(f"{name} inflates to more than {self.total:,} bytes")


class Counted(io.RawIOBase):
    """A stream of which every byte is counted, and no more than a piece comes out at a time.

    Args:
        inner: the stream; closed with this one.
        budget: what is counted against.
        name: of the file, for messages.
    """

    def __init__(self, inner: IO[bytes], budget: Budget, name: str) -> None:
        self._inner = inner
        self._budget = budget
        self._name = name

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill as much of a buffer as comes out in one piece."""
        content = self._inner.read(min(len(buffer), PIECE))
        self._budget.take(len(content), self._name)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close both."""
        if not self.closed:
            self._inner.close()
        super().close()


class ZipReader:
    """A zip archive of which no more is read than the bounds allow; use it as a context manager.

    Args:
        source: a file, or the bytes of an archive inside another.
        bounds: what is allowed.
        name: of the file, for messages.
        budget: of the archive that this one lies in; None for a file.

    Raises:
        CircuitProbeError: of the bounds' class: too many entries, one name twice, a compression that torch and numpy do not
            use, or more bytes than allowed.
        OSError: the file cannot be read.
        zipfile.BadZipFile: it is damaged.
    """

    def __init__(self, source: Path | bytes, bounds: Bounds, name: str, budget: Budget | None = None) -> None:
        self.name = name
        self.bounds = bounds
        self._handle: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else open_file(source)
        try:
            self.size = self._handle.seek(0, os.SEEK_END)
            self.budget = budget or bounds.budget(self.size)
            self._check_directory()
            self._archive = zipfile.ZipFile(self._handle)
            self.entries = self._checked()
        except BaseException:
            self._handle.close()
            raise

    def __enter__(self) -> ZipReader:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._archive.close()
        self._handle.close()

    @property
    def names(self) -> list[str]:
        """Names of the entries in the archive's order."""
        return list(self.entries)

    def read(self, name: str) -> bytes:
        """An entry as a whole.

        Raises:
            CircuitProbeError: it is larger than the bounds allow.
            KeyError: there is no such entry.
            zipfile.BadZipFile: it is damaged, or has another length than the archive says.
        """
        if self.entries[name].file_size > self.bounds.entry:
            raise self._too_large(name)
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """An entry piece by piece; see ``read``."""
        entry = self.entries[name]
        left = entry.file_size
        with self._archive.open(entry) as handle:
            while piece := handle.read(PIECE):
                self.budget.take(len(piece), self.name)
                left -= len(piece)
                if left < 0:
                    break
                yield piece
        if left:
            raise zipfile.BadZipFile(f"{name} has another length than its archive says")

    def open(self, name: str) -> BinaryIO:
        """An entry as a stream whose bytes are counted."""
        inner = self._archive.open(self.entries[name])
        return cast("BinaryIO", io.BufferedReader(Counted(inner, self.budget, self.name)))

    def check(self) -> None:
        """Read everything once.

        Raises:
            zipfile.BadZipFile: an entry is damaged.
        """
        budget = self.budget.left
        for name in self.entries:
            for _ in self.pieces(name):
                pass
        # nothing of it was kept
        self.budget.left = budget

    def check_end(self) -> None:
        """Make sure that every reader finds the same directory: at the end, with nothing behind or between.

        Raises:
            zipfile.BadZipFile: there is a comment, or bytes in front of the archive or behind its directory.
        """
        start, length, _ = self._directory()
        if start + length != self.size - self._tail:
            raise zipfile.BadZipFile("its directory is not at its end")

    def _too_large(self, name: str) -> CircuitProbeError:
        return self.bounds.refused(f"{self.name} holds {name} of {self.entries[name].file_size:,} bytes")

    def _directory(self) -> tuple[int, int, int]:
        """Where the directory begins, its bytes and entries, by the record at the very end of the file."""
        self._tail = _END
        self._handle.seek(max(0, self.size - _END - _LOCATOR - _END64))
        tail = self._handle.read(_END + _LOCATOR + _END64)
        end = tail[-_END:]
        if len(end) < _END or not end.startswith(b"PK\x05\x06") or end[-2:] != b"\0\0":
            raise zipfile.BadZipFile("there is no directory at its end")
        entries, length, start = struct.unpack("<4x2x2x2xHLL2x", end)
        locator, end64 = tail[-_END - _LOCATOR : -_END], tail[: -_END - _LOCATOR]
        if locator.startswith(b"PK\x06\x07"):
            place = struct.unpack("<4x4xQ4x", locator)[0]
            if len(end64) != _END64 or not end64.startswith(b"PK\x06\x06") or place != self.size - len(tail):
                raise zipfile.BadZipFile("its directory is not where it says")
            self._tail = len(tail)
            entries, length, start = struct.unpack("<4x8x2x2x4x4x8xQQQ", end64)
        return start, length, entries

    def _check_directory(self) -> None:
        """Bound the directory before Python reads it; an archive with a comment at its end is found by its last 64 KiB."""
        self._handle.seek(max(0, self.size - 2**16 - _END))
        tail = self._handle.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0:
            raise zipfile.BadZipFile("there is no directory at its end")
        end = tail[at : at + _END].ljust(_END, b"\0")
        entries, length = struct.unpack("<4x2x2x2xHL4x2x", end)
        end64 = tail[max(0, at - _LOCATOR - _END64) : at]
        if end64[-_LOCATOR:].startswith(b"PK\x06\x07") and end64.startswith(b"PK\x06\x06"):
            entries, length = struct.unpack("<4x8x2x2x4x4x8xQQ8x", end64[:_END64])
        # 46 bytes at least, and names
        if entries > self.bounds.entries or length > 1024 * self.bounds.entries:
            raise self.bounds.refused(f"{self.name} says that it has {entries:,} entries, {length:,} bytes of names")
        self._handle.seek(0)

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        listed = self._archive.infolist()
        if len(listed) > self.bounds.entries:
            raise self.bounds.refused(f"{self.name} has {len(listed):,} entries")
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in listed:
            # which of two is read differs between readers, so that one could be shown and another run
            if entry.filename in entries:
                raise self.bounds.refused(
                    f"{self.name} holds the entry {entry.filename} twice: damaged, or made to look like another file"
                )
            if entry.compress_type not in _PLAIN_METHODS:
                raise self.bounds.refused(f"{self.name} compresses {entry.filename} by method {entry.compress_type}")
            entries[entry.filename] = entry
        inflated = sum(entry.file_size for entry in listed)
        if inflated > self.budget.left:
            raise self.bounds.refused(
                f"{self.name} is a zip archive of {self.size:,} bytes that would inflate to {inflated:,}"
            )
        packed = sum(entry.compress_size for entry in listed)
        if packed > self.size:
            raise self.bounds.refused(f"{self.name} has entries that share their bytes: {packed:,} of {self.size:,}")
        return entries


def inflated(handle: BinaryIO, bounds: Bounds, name: str) -> BinaryIO:
    """A file's bytes, unpacked if it is compressed with gzip, bzip2 or xz (by its first bytes), and counted if so.

    Args:
        handle: the file at its beginning; closed with what is returned.
        bounds: what may come out.
        name: of the file, for messages.
    """
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    magic = handle.read(6)
    handle.seek(0)
    inner: IO[bytes]
    if magic.startswith(b"\x1f\x8b"):
        inner = cast("IO[bytes]", gzip.GzipFile(fileobj=handle))
    elif magic.startswith(b"BZh"):
        inner = bz2.BZ2File(handle)
    elif magic == b"\xfd7zXZ\x00":
        inner = lzma.LZMAFile(handle)  # noqa: SIM115 - closed with what is returned
    else:
        return handle
    return cast("BinaryIO", io.BufferedReader(_Closing(inner, bounds.budget(size), name, handle), PIECE))


class _Closing(Counted):
    """Closes the file under a decompressor, too, which leaves it open."""

    def __init__(self, inner: IO[bytes], budget: Budget, name: str, handle: BinaryIO) -> None:
        super().__init__(inner, budget, name)
        self._handle = handle

    def close(self) -> None:
        super().close()
        self._handle.close()


class TarReader:
    """The files of a tar archive by name, unpacked once into a temporary file; use ``read_tar``."""

    def __init__(self, held: IO[bytes], places: dict[str, tuple[int, int]]) -> None:
        self._held = held
        self._places = places

    @property
    def names(self) -> list[str]:
        """Names of the files in the archive's order."""
        return list(self._places)

    def read(self, name: str) -> bytes | None:
        """A file; None where there is none."""
        if name not in self._places:
            return None
        start, length = self._places[name]
        self._held.seek(start)
        content = self._held.read(length)
        if len(content) != length:
            raise tarfile.ReadError("unexpected end of data")
        return content


@contextmanager
def read_tar(path: Path, bounds: Bounds, first: int | None = None) -> Iterator[TarReader]:
    """The files of a tar archive, plain or compressed with gzip, bzip2 or xz.

    A compressed one is unpacked from front to back once. Links, devices and files with holes are refused.

    Args:
        path: the archive.
        bounds: what may come out.
        first: how many members are looked at; None for all.

    Raises:
        CircuitProbeError: of the bounds' class: beyond them, or members that are no plain files.
        OSError: the file cannot be read.
        tarfile.TarError: it is damaged; see ``DAMAGED``.
    """
    with open_file(path) as handle, tempfile.TemporaryFile() as held:
        stream = inflated(handle, bounds, path.name)
        plain = stream is handle
        places: dict[str, tuple[int, int]] = {}
        with tarfile.open(fileobj=stream, mode="r:" if plain else "r|", tarinfo=_Member) as archive:
            for count, member in enumerate(archive, start=1):
                _check_member(member, count, path, bounds)
                # the list of all members is of no use here
                archive.members = []  # type: ignore[attr-defined]
                if member.type in _TAR_FILES:
                    places[member.name] = (
                        (member.offset_data, member.size) if plain else _unpacked(archive, member, held)
                    )
                if count == first:
                    break
        yield TarReader(handle if plain else held, places)


def _unpacked(archive: tarfile.TarFile, member: tarfile.TarInfo, held: IO[bytes]) -> tuple[int, int]:
    """Where a member lies in the temporary file, after it was written there."""
    source = archive.extractfile(member)
    start, length = held.tell(), 0
    while source is not None and (piece := source.read(PIECE)):
        length += held.write(piece)
    if length != member.size:
        raise tarfile.ReadError("unexpected end of data")
    return start, length


def _check_member(member: tarfile.TarInfo, count: int, path: Path, bounds: Bounds) -> None:
    if count > bounds.entries:
        raise bounds.refused(f"{path.name} has more than {bounds.entries:,} members")
    if member.type not in _TAR_FILES | {tarfile.DIRTYPE} or member.sparse is not None:
        raise bounds.refused(f"{path.name} holds {member.name}, which is a link, a device or a file with holes")
    if member.size > bounds.entry:
        raise bounds.refused(f"{path.name} holds {member.name} of {member.size:,} bytes")


class _Member(tarfile.TarInfo):
    """A member whose long name and further settings are short: tarfile reads these as a whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in _TAR_FILES and self.size > PIECE:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


def gunzip(content: bytes, bounds: Bounds, name: str) -> bytes:
    """The content of a gzip file.

    Raises:
        CircuitProbeError: of the bounds' class, where more comes out than allowed.
        OSError: it is damaged, as are ``EOFError`` and ``zlib.error``.
    """
    budget, found = bounds.budget(len(content)), []
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        while piece := stream.read(PIECE):
            budget.take(len(piece), name)
            found.append(piece)
    return b"".join(found)
