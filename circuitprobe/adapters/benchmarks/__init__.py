"""The benchmarks that come with the package: tables, and images that are rendered."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.adapters.benchmarks.adult import ADULT
from circuitprobe.adapters.benchmarks.declaration import Benchmark, ImageBenchmark
from circuitprobe.adapters.benchmarks.default_credit import DEFAULT_CREDIT
from circuitprobe.adapters.benchmarks.dsprites import DSPRITES
from circuitprobe.adapters.benchmarks.german_credit import GERMAN_CREDIT
from circuitprobe.adapters.benchmarks.wine_quality import WINE_QUALITY
from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from circuitprobe.adapters.data.schema import TableSchema

_DECLARED = {declared.name: declared for declared in (ADULT, DEFAULT_CREDIT, GERMAN_CREDIT, WINE_QUALITY)}
_IMAGES = {declared.name: declared for declared in (DSPRITES,)}
BENCHMARKS: tuple[str, ...] = tuple(_DECLARED)
IMAGE_BENCHMARKS: tuple[str, ...] = tuple(_IMAGES)

ALL_BENCHMARKS: tuple[str, ...] = (*BENCHMARKS, *IMAGE_BENCHMARKS)

__all__ = [
    "ALL_BENCHMARKS",
    "BENCHMARKS",
    "IMAGE_BENCHMARKS",
    "Benchmark",
    "ImageBenchmark",
    "benchmark",
    "benchmark_file",
    "benchmark_schema",
    "image_benchmark",
    "named_benchmark",
    "named_images",
    "not_a_table",
]


def benchmark(name: str) -> Benchmark:
    """A benchmark table by its name.

    Args:
        name: one of ``BENCHMARKS``.

    Returns:
        What is declared about it.

    Raises:
        DataError: no such benchmark, or one of images.
    """
    if name in _IMAGES:
        raise not_a_table(name)
    if name not in _DECLARED:
        raise DataError(
            f"There is no benchmark {name!r}.",
            expected=f"one of {', '.join(BENCHMARKS)}",
            fix=did_you_mean(name, BENCHMARKS) or "name one of them, or a file",
        )
    return _DECLARED[name]


def image_benchmark(name: str) -> ImageBenchmark:
    """A benchmark of images by its name.

    Args:
        name: one of ``IMAGE_BENCHMARKS``.
    """
    return _IMAGES[name]


def not_a_table(name: str) -> DataError:
    """The error for a benchmark of images where a table is wanted."""
    return DataError(
        f"{name} is a benchmark of images, not a table.",
        expected=f"a CSV or Parquet file, or a benchmark of tables: {', '.join(BENCHMARKS)}",
        fix=f"a table of its factors: circuitprobe data export {name} {name}.csv",
    )


def named_benchmark(source: object) -> Benchmark | None:
    """The benchmark that a user's DATA names; a file of that name in the current folder wins."""
    if isinstance(source, str | Path) and str(source) in _DECLARED and not Path(source).is_file():
        return _DECLARED[str(source)]
    return None


def named_images(source: object) -> ImageBenchmark | None:
    """The benchmark of images that a user's DATA names; a file or folder of that name in the current folder wins."""
    if isinstance(source, str | Path) and str(source) in _IMAGES and not Path(source).exists():
        return _IMAGES[str(source)]
    return None


def benchmark_file(declared: Benchmark) -> Traversable:
    """The benchmark's data inside the package: CSV packed with xz.

    Args:
        declared: the benchmark.
    """
    return resources.files("circuitprobe.adapters.benchmarks").joinpath("files", declared.filename)


def benchmark_schema(name: str, over: TableSchema | None = None) -> TableSchema:
    """A benchmark's schema, with the user's on top.

    Args:
        name: one of ``BENCHMARKS``.
        over: the user's schema; it wins wherever it says something.

    Raises:
        DataError: no such benchmark.
    """
    return benchmark(name).schema.merged(over)
