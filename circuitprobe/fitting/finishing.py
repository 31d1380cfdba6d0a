"""What rows of every kind need before they are audited: features that vary, and groups of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data import check_groups, cluster_groups, load_groups
from circuitprobe.errors import DataError
from circuitprobe.types import AuditData, Feature, FeatureGroup, FeatureKind, LeftOut

if TYPE_CHECKING:
    from circuitprobe.adapters.benchmarks import Benchmark
    from circuitprobe.fitting.options import DataOptions
    from circuitprobe.types import FloatArray, Table

LARGEST = 1e18


def finished(data: AuditData, table: Table | None, options: DataOptions, known: Benchmark | None) -> AuditData:
    """The rows with constant features left out and groups made.

    Args:
        data: rows without groups.
        table: the table they come from.
        options: what the caller says about groups.
        known: the benchmark they come from.

    Raises:
        DataError: numbers too large to be audited, nothing that varies, groups that are no partition.
    """
    return _grouped(_without_constants(data), table, options, known)


def _check_magnitudes(x: FloatArray, features: Sequence[Feature], source: str) -> None:
    """Refuse numbers whose squares no float32 holds; standard deviations and effects would be infinite."""
    for feature in features:
        largest = float(np.abs(x[:, feature.dims[0]]).max())
        if feature.kind is FeatureKind.NUMERIC and largest > LARGEST:
            raise DataError(
                f"column {feature.name!r} of {source} reaches {largest:.3g} in the model's space",
                expected=f"numbers below {LARGEST:.0e}",
                fix="rescale the column, or declare how it was scaled in training (--schema)",
            )


def is_constant(x: FloatArray, feature: Feature) -> bool:
    """Whether a numeric feature has one value in all rows."""
    return feature.kind is FeatureKind.NUMERIC and float(np.ptp(x[:, feature.dims[0]])) == 0.0


def _without_constants(data: AuditData) -> AuditData:
    _check_magnitudes(data.x, data.features, data.source)
    constant = [feature.name for feature in data.features if is_constant(data.x, feature)]
    kept = tuple(feature for feature in data.features if feature.name not in constant)
    if not kept:
        raise nothing_varies(data.source)
    reasons = tuple(LeftOut(name, "constant over the audited rows; the model still gets it") for name in constant)
    return replace(data, features=kept, left_out=(*data.left_out, *reasons))


def nothing_varies(source: str) -> DataError:
    """The error for rows of which no feature varies."""
    return DataError(
        f"no feature of {source} varies over the audited rows",
        expected="at least one that does",
        fix="audit other rows",
    )


def _grouped(data: AuditData, table: Table | None, options: DataOptions, known: Benchmark | None) -> AuditData:
    names = [feature.name for feature in data.features]
    if isinstance(options.groups, Mapping):
        return replace(data, groups=check_groups(options.groups, names), groups_from="caller")
    if options.groups is not None:
        return replace(data, groups=load_groups(options.groups, names), groups_from="file")
    if known is not None:
        members = {group.name: tuple(name for name in group.features if name in names) for group in known.groups}
        covered = {name for group in members.values() for name in group}
        if covered == set(names):
            kept = tuple(FeatureGroup(name, features) for name, features in members.items() if features)
            return replace(data, groups=kept, groups_from="benchmark")
    return replace(data, groups=cluster_groups(table, data.x, data.features), groups_from="clustered")
