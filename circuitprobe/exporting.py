"""``circuitprobe data export``: a benchmark as a file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from circuitprobe.adapters.benchmarks import ALL_BENCHMARKS, IMAGE_BENCHMARKS, benchmark, image_benchmark
from circuitprobe.adapters.data.near_names import did_you_mean, shell_word
from circuitprobe.errors import DataError, UsageError
from circuitprobe.report.files import check_writable, write_atomically
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from circuitprobe.adapters.benchmarks import Benchmark
    from circuitprobe.levels.chosen import Progress
    from circuitprobe.types import IntArray

    Write = Callable[[IntArray, BinaryIO, Callable[[int], None]], None]

TABLE_SUFFIXES = (".csv", ".parquet")
IMAGE_SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class Exported:
    """A benchmark that was written to a file.

    Attributes:
        name: of the benchmark.
        path: the file.
        rows: how many were written.
        total: how many the benchmark has.
        described: what the file holds and how it is used, in words.
    """

    name: str
    path: Path
    rows: int
    total: int
    described: str

    def __str__(self) -> str:
        return f"Wrote {self.path}: {self.described}"


def export(
    name: str, out: str | Path, *, rows: int | None = None, seed: int = 0, progress: Progress | None = None
) -> Exported:
    """Write a benchmark to a file; it appears whole or not at all.

    Args:
        name: of a benchmark.
        out: .csv or .parquet for a table; .npz (images and factors) or .csv (factors) for dSprites. An existing file is replaced.
        rows: how many; None for all. The same are drawn as an audit with this seed draws.
        seed: of that draw.
        progress: told how far it is.

    Raises:
        DataError: no such benchmark.
        UsageError: another suffix, fewer than 2 rows, a place that cannot be written to.
    """
    if name not in ALL_BENCHMARKS:
        raise DataError(
            f"There is no benchmark {name!r}.",
            expected=f"one of {', '.join(ALL_BENCHMARKS)}",
            fix=did_you_mean(name, ALL_BENCHMARKS) or "circuitprobe data list",
        )
    path, images = Path(out), name in IMAGE_BENCHMARKS
    suffix = _suffix(name, path, IMAGE_SUFFIXES if images else TABLE_SUFFIXES)
    if rows is not None and rows < 2:
        raise UsageError(f"rows is {rows}.", expected="at least 2", fix="leave it out for all of them")
    check_writable(path)
    return (_images if images else _table)(name, path, suffix, rows, seed, progress)


def _suffix(name: str, path: Path, suffixes: tuple[str, ...]) -> str:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        better = path / f"{name}{suffixes[0]}" if path.is_dir() else path.with_suffix(suffixes[0])
        raise UsageError(
            f"{path} ends in {path.suffix!r}" if path.suffix else f"{path} has no suffix",
            expected=f"{' or '.join(suffixes)} for {name}",
            fix=f"circuitprobe data export {name} {shell_word(str(better))}",
        )
    return suffix


def _table(name: str, path: Path, suffix: str, rows: int | None, seed: int, progress: Progress | None) -> Exported:
    from circuitprobe.adapters.benchmarks.published import count_rows, published_columns, write_csv, write_parquet
    from circuitprobe.adapters.data.reservoir import drawn_rows

    declared = benchmark(name)
    total = count_rows(declared)
    index = drawn_rows(total, rows, seed)
    write = write_csv if suffix == ".csv" else write_parquet
    with progress.phase("writing", None) if progress else nullcontext():
        write_atomically(path, lambda handle: write(declared, index, handle))
    described = f"{_rows(len(index), total, seed)} x {len(published_columns(declared))} columns of {declared.title}, "
    described += f"as published.\n{_how_to_audit(declared, path)}\n{declared.attribution}"
    return Exported(name, path, len(index), total, described)


def _how_to_audit(declared: Benchmark, path: Path) -> str:
    """The command, with what the benchmark's name says of the columns and a file cannot."""
    from circuitprobe.adapters.data import read_table

    words = [f"Audit it: circuitprobe audit MODEL {shell_word(str(path))} --target {declared.target}"]
    words += [f"--ignore {name}" for name in (*declared.ignore, *declared.outcomes) if name != declared.target]
    kinds = {column.name: column.kind for column in declared.schema.columns if column.kind is not None}
    read = {column.name: column.kind for column in read_table(path, rows=2).columns}
    others = [name for name, kind in kinds.items() if read[name] not in (kind, ColumnKind.CONSTANT)]
    if not others:
        return " ".join(words)
    tables = "\n".join(f'  [columns.{name}]\n  kind = "{kinds[name].value}"' for name in others)
    return (
        f"{' '.join(words)} --schema schema.toml\nwith this in schema.toml, which the cells alone do not say:\n{tables}"
    )


def _images(name: str, path: Path, suffix: str, rows: int | None, seed: int, progress: Progress | None) -> Exported:
    from circuitprobe.adapters.benchmarks.dsprites_files import write_archive, write_factors
    from circuitprobe.adapters.data.reservoir import drawn_rows

    declared = image_benchmark(name)
    index = drawn_rows(declared.images, rows, seed)
    write: Write = write_archive if suffix == ".npz" else write_factors
    with progress.phase("writing", len(index)) if progress else nullcontext(_untold) as tick:
        write_atomically(path, lambda handle: write(index, handle, tick))
    counted = _rows(len(index), declared.images, seed, "images")
    if suffix == ".npz":
        words = f"{counted} of {declared.side} x {declared.side}, with their factors: {declared.note}."
        words += f"\nAudit it: circuitprobe audit MODEL {shell_word(str(path))} --target {declared.target}"
    else:
        words = f"the factors of {counted} of {declared.title}, without the images (.npz has them)."
    return Exported(name, path, len(index), declared.images, f"{words}\n{declared.attribution}")


def _untold(done: int | None = None) -> None:
    """A tick that nobody sees."""
    del done


def _rows(count: int, total: int, seed: int, what: str = "rows") -> str:
    return f"{total:,} {what}" if count == total else f"{count:,} of {total:,} {what} (seed {seed})"
