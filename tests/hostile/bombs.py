"""Streams and archives of a few bytes that stand for gigabytes, put together without inflating them."""

from __future__ import annotations

import bz2
import functools
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MEGABYTE = 2**20


@functools.cache
def _block(fill: bytes) -> bytes:
    """Eight megabytes of one byte, deflated, ending where another block can follow."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(fill * (8 * MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)


def deflated(megabytes: int, start: bytes = b"", fill: bytes = b"\0") -> bytes:
    """A raw deflate stream: some bytes, then one byte for many megabytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + _block(fill) * (megabytes // 8) + b"\x03\x00"


def gzipped(megabytes: int, start: bytes = b"", fill: bytes = b"\0") -> bytes:
    """A gzip file; its checksum is wrong, which shows at its end only."""
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + deflated(megabytes, start, fill) + bytes(8)


@functools.cache
def _streams(kind: str, fill: bytes) -> bytes:
    plain = fill * (32 * MEGABYTE)
    return bz2.compress(plain) if kind == "bz2" else lzma.compress(plain, preset=0)


def streams(kind: str, megabytes: int, start: bytes = b"", fill: bytes = b"\0") -> bytes:
    """Many bz2 or xz streams one behind the other, which readers take for one."""
    first = (bz2.compress if kind == "bz2" else lzma.compress)(start) if start else b""
    return first + _streams(kind, fill) * (megabytes // 32)


@dataclass(frozen=True)
class Entry:
    """An entry of a zip archive as it is written, not as it has to be.

    Attributes:
        name: of the entry.
        stored: its bytes in the archive.
        size: what the directory says that it inflates to; default as many as are stored.
        method: of compression.
        local: the size that its own header says; default as the directory.
    """

    name: str
    stored: bytes
    size: int | None = None
    method: int = 0
    local: int | None = None


def zip_file(entries: Sequence[Entry], more_names: Mapping[str, int] | None = None, zip64: bool = False) -> bytes:
    """A zip archive with any sizes.

    Args:
        entries: in their order.
        more_names: further names in the directory, and the number of the entry whose bytes they share.
        zip64: sizes in the directory's extra fields.
    """
    out, places = io.BytesIO(), []
    for entry in entries:
        places.append(out.tell())
        size = len(entry.stored) if entry.size is None else entry.size
        out.write(_local(entry, min(size if entry.local is None else entry.local, 0xFFFFFFFE)))
        out.write(entry.name.encode() + entry.stored)
    directory = out.tell()
    shared = [(name, number) for name, number in (more_names or {}).items()]
    for name, number in [(entry.name, number) for number, entry in enumerate(entries)] + shared:
        out.write(_listed(name, entries[number], places[number], zip64))
    length, count = out.tell() - directory, len(entries) + len(shared)
    if count > 0xFFFE:
        end64 = out.tell()
        out.write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, directory))
        out.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, end64, 1))
    few = min(count, 0xFFFF)
    out.write(struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, few, few, length, directory, 0))
    return out.getvalue()


def _local(entry: Entry, size: int) -> bytes:
    check = zlib.crc32(entry.stored) if not entry.method else 0
    return struct.pack(
        "<4sHHHHHIIIHH", b"PK\x03\x04", 45, 0, entry.method, 0, 33, check, len(entry.stored), size, len(entry.name), 0
    )


def _listed(name: str, entry: Entry, place: int, zip64: bool) -> bytes:
    size = len(entry.stored) if entry.size is None else entry.size
    extra = struct.pack("<HHQ", 1, 8, size) if zip64 or size > 0xFFFFFFFE else b""
    check = zlib.crc32(entry.stored) if not entry.method else 0
    head = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 45, 45, 0, entry.method, 0, 33, check, len(entry.stored),
        0xFFFFFFFF if extra else size, len(name), len(extra), 0, 0, 0, 0, place,
    )  # fmt: skip
    return head + name.encode() + extra


def tar_file(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar archive whose headers say what they like of their members' sizes."""
    out = io.BytesIO()
    for info, stored in members:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.write(stored + bytes(-len(stored) % 512))
    return out.getvalue() + bytes(1024)


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A tar archive's member."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def picture(width: int, height: int, megabytes: int, depth: int = 1) -> bytes:
    """A PNG file in grey that says its sides and holds zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return start + chunk(b"IDAT", b"\x78\xda" + deflated(megabytes) + bytes(4)) + chunk(b"IEND", b"")


def npy(shape: str, stored: bytes = b"", dtype: str = "<f4", fortran: bool = False) -> bytes:
    """A numpy file whose header says what it likes."""
    header = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + stored
