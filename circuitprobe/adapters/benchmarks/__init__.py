"""The benchmark tables that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.adapters.benchmarks.adult import ADULT
from circuitprobe.adapters.benchmarks.declaration import Benchmark
from circuitprobe.adapters.benchmarks.default_credit import DEFAULT_CREDIT
from circuitprobe.adapters.benchmarks.german_credit import GERMAN_CREDIT
from circuitprobe.adapters.benchmarks.wine_quality import WINE_QUALITY
from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from circuitprobe.adapters.data.schema import TableSchema

_DECLARED = {declared.name: declared for declared in (ADULT, DEFAULT_CREDIT, GERMAN_CREDIT, WINE_QUALITY)}
BENCHMARKS: tuple[str, ...] = tuple(_DECLARED)

__all__ = ["BENCHMARKS", "Benchmark", "benchmark", "benchmark_file", "benchmark_schema", "named_benchmark"]


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Args:
        name: one of ``BENCHMARKS``.

    Returns:
        What is declared about it.

    Raises:
        DataError: no such benchmark.
    """
    if name not in _DECLARED:
        raise DataError(
            f"There is no benchmark {name!r}.",
            expected=f"one of {', '.join(BENCHMARKS)}",
            fix=did_you_mean(name, BENCHMARKS) or "name one of them, or a file",
        )
    return _DECLARED[name]


def named_benchmark(source: object) -> Benchmark | None:
    """The benchmark that a user's DATA names; a file of that name in the current folder wins."""
    if isinstance(source, str | Path) and str(source) in _DECLARED and not Path(source).is_file():
        return _DECLARED[str(source)]
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
