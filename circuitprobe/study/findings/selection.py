"""Which runs a figure is computed from."""

from __future__ import annotations

from collections.abc import Sequence

from circuitprobe.study.findings.model import LeftOut
from circuitprobe.study.records import Metric, Modality, RunRecord, in_order


def defined(records: Sequence[RunRecord], *metrics: Metric) -> tuple[RunRecord, ...]:
    """The runs for which all of the figures are defined, in the order of their names.

    Raises:
        UsageError: two records are of one run.
    """
    return tuple(record for record in in_order(records) if all(record.figure(metric) is not None for metric in metrics))


def left_out(records: Sequence[RunRecord], *metrics: Metric) -> LeftOut:
    """The others."""
    kept = set(map(id, defined(records, *metrics)))
    names = tuple(record.name for record in in_order(records) if id(record) not in kept)
    return LeftOut(metrics=metrics, runs=names, count=len(names))


def values(records: Sequence[RunRecord], metric: Metric) -> list[float]:
    """A figure of each of these runs; all have it."""
    found = [record.figure(metric) for record in records]
    return [value for value in found if value is not None]


def of_modality(records: Sequence[RunRecord], modality: Modality) -> tuple[RunRecord, ...]:
    """The runs on tables, or on images."""
    return tuple(record for record in records if record.modality == modality)


def of_arch(records: Sequence[RunRecord], arch: str) -> tuple[RunRecord, ...]:
    """The runs of one architecture."""
    return tuple(record for record in records if record.arch == arch)


def of_benchmark(records: Sequence[RunRecord], benchmark: str) -> tuple[RunRecord, ...]:
    """The runs on one benchmark."""
    return tuple(record for record in records if record.benchmark == benchmark)


def archs_of(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """The architectures, by name."""
    return tuple(sorted({record.arch for record in records}))


def benchmarks_of(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """The benchmarks: tables, then images, each by name."""
    places = {record.benchmark: (record.modality == "image", record.benchmark) for record in records}
    return tuple(sorted(places, key=lambda name: places[name]))
