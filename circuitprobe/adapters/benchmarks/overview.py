"""What there is to know about a benchmark before it is used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from circuitprobe.adapters.benchmarks import ALL_BENCHMARKS, IMAGE_BENCHMARKS, benchmark, image_benchmark
from circuitprobe.adapters.benchmarks.published import published_columns


@dataclass(frozen=True)
class Overview:
    """A benchmark in a few lines.

    Attributes:
        name: what a user types for it.
        title: its published name.
        rows: how many rows or images it has.
        size: columns of the published file, or pixels of an image.
        features: how many of each kind; for images the factors and their numbers of values.
        target: the target, and in brackets what can be named instead.
        groups: names of the feature groups.
        attribution: authors, title, source and licence.
    """

    name: str
    title: str
    rows: int
    size: str
    features: str
    target: str
    groups: str
    attribution: str


def overview(name: str) -> Overview:
    """Look a benchmark up, reading its table.

    Args:
        name: of any benchmark.
    """
    return _images(name) if name in IMAGE_BENCHMARKS else _table(name)


def overviews() -> tuple[Overview, ...]:
    """All benchmarks, tables first."""
    return tuple(overview(name) for name in ALL_BENCHMARKS)


def _table(name: str) -> Overview:
    from circuitprobe.adapters.data import read_table

    declared = benchmark(name)
    table = read_table(name, rows=2)
    kinds = Counter(column.kind.value for column in table.columns if column.name not in declared.not_features)
    target = declared.target
    if declared.positive_from is not None:
        target += f" >= {declared.positive_from:g}"
    others = [outcome for outcome in declared.outcomes if outcome != declared.target]
    return Overview(
        name=name,
        title=declared.title,
        rows=table.total,
        size=f"{len(published_columns(declared))} columns",
        features=", ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
        target=_target(target, others),
        groups=", ".join(group.name for group in declared.groups),
        attribution=declared.attribution,
    )


def _images(name: str) -> Overview:
    declared = image_benchmark(name)
    sizes = {factor.name: len(factor.values) for factor in declared.factors}
    return Overview(
        name=name,
        title=declared.title,
        rows=declared.images,
        size=f"{declared.side} x {declared.side} pixels",
        features="patches; factors: " + ", ".join(f"{name} {sizes[name]}" for name in declared.targets),
        target=_target(declared.target, [name for name in declared.targets if name != declared.target]),
        groups="clustered patches",
        attribution=declared.attribution,
    )


def _target(first: str, others: list[str]) -> str:
    return f"{first} (or {', '.join(others)})" if others else first
