"""Finding the file that a user means and opening it, whatever it is compressed with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from circuitprobe.adapters.archives import Bounds, inflated
from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE_FILE = Bounds(
    "a table, which shrinks by a hundred at most",
    DataError,
    "unpack it, and name the unpacked file",
    per_byte=120,
    free=64 * 2**20,
)
"""What may come out of a compressed table."""

_NOT_TABLES = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"\x93NUMPY": ("a NumPy array", "load it in Python with numpy.load and hand over the array"),
    b"\x89HDF": ("an HDF5 file", "read it in Python with pandas.read_hdf and hand over the DataFrame"),
    b"ARROW1": ("an Arrow or Feather file", "read it in Python with pandas.read_feather and hand over the DataFrame"),
    b"FEA1": ("a Feather file", "read it in Python with pandas.read_feather and hand over the DataFrame"),
    b"Obj\x01": ("an Avro file", "convert it to CSV or Parquet"),
    b"ORC": ("an ORC file", "convert it to Parquet"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV"),
    b"%PDF": ("a PDF document", "give the table as CSV or Parquet"),
    b"\x89PNG": ("a picture", "give a table as CSV or Parquet"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it, or compress it with gzip, bzip2 or xz"),
}


@dataclass(frozen=True)
class RawFile:
    """A file to read a table from.

    Attributes:
        name: short name for messages and reports.
        shown: the file as the user typed it.
        open: opens the bytes as they lie on disk.
    """

    name: str
    shown: str
    open: Callable[[], BinaryIO]

    def open_plain(self) -> BinaryIO:
        """Open for reading, unpacked if it is compressed with gzip, bzip2 or xz (told by its first bytes)."""
        return inflated(self.open(), TABLE_FILE, self.name)


def find_file(source: str | Path) -> RawFile:
    """The file behind a path or a benchmark's name; an existing file of that name wins.

    Args:
        source: what the user typed.

    Returns:
        The file, not opened yet.

    Raises:
        DataError: nothing of that name (with close names), a benchmark of images, a directory, a file that cannot be opened.
    """
    from circuitprobe.adapters.benchmarks import (
        ALL_BENCHMARKS,
        BENCHMARKS,
        IMAGE_BENCHMARKS,
        benchmark,
        benchmark_file,
        not_a_table,
    )

    path, shown = Path(source), str(source)
    if path.is_file():
        raw = RawFile(path.name, shown, lambda: open_file(path))
        _check_opens(raw)
        return raw
    if shown in BENCHMARKS:
        resource = benchmark_file(benchmark(shown))
        return RawFile(shown, shown, lambda: cast("BinaryIO", resource.open("rb")))
    if shown in IMAGE_BENCHMARKS and not path.exists():
        raise not_a_table(shown)
    if path.exists() and not path.is_dir():
        raise DataError(
            f"{shown!r} is a pipe or a device, not a file.",
            expected="one CSV or Parquet file, which is read more than once",
            fix="write what comes out of it to a file first, then name that file",
        )
    if path.is_dir():
        raise DataError(f"{shown!r} is a directory.", expected="one CSV or Parquet file", fix=_files_inside(path))
    if "://" in shown:
        raise DataError(f"{shown!r} is an address.", expected="a file on this machine", fix="download it first")
    raise DataError(
        f"There is no file {shown!r}.",
        expected=f"a CSV or Parquet file, or a benchmark: {', '.join(BENCHMARKS)}; {', '.join(IMAGE_BENCHMARKS)} for images",
        fix=_nearby(path, ALL_BENCHMARKS) or "check the path",
    )


def _check_opens(raw: RawFile) -> None:
    try:
        with raw.open():
            return
    except OSError as error:
        raise DataError(
            f"{raw.shown!r} cannot be opened: {error.strerror}.",
            expected="a readable file",
            fix="check its permissions",
        ) from None


def _files_inside(folder: Path) -> str:
    tables = sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".csv", ".tsv", ".parquet", ".gz"))
    return f"a file in it, such as {str(folder / tables[0])!r}" if tables else "give the path of a file"


def _nearby(path: Path, benchmarks: tuple[str, ...]) -> str:
    guess = did_you_mean(str(path), benchmarks)
    if guess:
        return guess
    folder = path.parent
    if not folder.is_dir():
        return f"check the path: there is no directory {str(folder)!r}"
    siblings = {entry.name: str(folder / entry.name) for entry in folder.iterdir() if entry.is_file()}
    return did_you_mean(path.name, siblings)


def refuse_binary(head: bytes, shown: str) -> None:
    """Refuse what is plainly no table.

    Args:
        head: first bytes of the unpacked file.
        shown: the file as the user typed it.

    Raises:
        DataError: a zip archive, a workbook, a pickle or a picture, with what to do about it.
    """
    for magic, (what, fix) in _NOT_TABLES.items():
        if head.startswith(magic):
            raise DataError(f"{shown!r} is {what}.", expected="a CSV or Parquet file", fix=fix)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise DataError(
            f"{shown!r} is a Python pickle.",
            expected="a CSV or Parquet file; pickles are never opened as tables, since they can run code",
            fix="write the DataFrame with to_csv or to_parquet",
        )
