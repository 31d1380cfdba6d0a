"""Bringing a table and a model together: the encoding under which the model reconstructs best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.benchmarks import Benchmark, named_benchmark
from circuitprobe.adapters.data import (
    ColumnSchema,
    TableSchema,
    array_data,
    candidate_encodings,
    check_groups,
    cluster_groups,
    encoding_features,
    load_groups,
    patch_features,
    read_table,
)
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.models import ProbedVAE, check_finite, input_width, require_width
from circuitprobe.errors import CircuitProbeError, DataError, UsageError
from circuitprobe.fitting.links import choose_links, some_rows
from circuitprobe.fitting.model_rows import model_rows
from circuitprobe.levels.reconstruction import squared_errors
from circuitprobe.probe import Readout
from circuitprobe.probe.readout import feature_std
from circuitprobe.types import AuditData, ColumnKind, Feature, FeatureGroup, FeatureKind, LeftOut, Table, TableEncoding

if TYPE_CHECKING:
    import pandas as pd

    from circuitprobe.types import FloatArray


LARGEST = 1e18


@dataclass(frozen=True)
class DataOptions:
    """What the caller says about the rows.

    Attributes:
        rows: how many are audited.
        seed: of their choice.
        schema: overrides what is inferred.
        groups: feature groups, by name or in a file; None: the benchmark's, else clustered.
        target: the label column; never a feature.
        features: how the dimensions of an array read.
    """

    rows: int = 2048
    seed: int = 0
    schema: TableSchema | None = None
    groups: Mapping[str, Sequence[str]] | str | Path | None = None
    target: str | None = None
    features: Sequence[Feature] | None = None


@dataclass(frozen=True)
class Tried:
    """One encoding and its reconstruction MSE over that of the column means; None where the model gave no finite rows."""

    encoding: TableEncoding
    mse: float | None
    chosen: bool = False


@dataclass(frozen=True)
class Fitted:
    """A model settled on rows that fit it."""

    vae: ProbedVAE
    data: AuditData
    tried: tuple[Tried, ...]


def fit(
    vae: ProbedVAE,
    source: str | Path | pd.DataFrame | FloatArray | Tensor,
    options: DataOptions,
    tick: Callable[[int], None] | None = None,
) -> Fitted:
    """Read rows and turn them into the model's input.

    Args:
        vae: the model, inside ``untouched``.
        source: a file, a benchmark's name, a DataFrame, or rows already in the model's space.
        options: what the caller says about them.
        tick: called now and then with the number of rows read so far.

    Raises:
        DataError: the rows cannot be read or do not fit the model.
        ModelError: the model does not behave like a VAE on them.
    """
    if isinstance(source, (np.ndarray, Tensor)):
        return _fit_array(vae, source, options)
    schema = options.schema if vae.encoding is None else encoding_schema(vae.encoding).merged(options.schema)
    table = read_table(source, rows=options.rows, seed=options.seed, schema=schema, progress=tick)
    known = named_benchmark(source)
    target = options.target or (options.schema.target if options.schema else None)
    _check_target(table, target)
    exclude = {name for name in (target, vae.target, *(known.not_features if known else ())) if name}
    exclude |= set(options.schema.ignored if options.schema else ())
    if vae.encoding is not None:
        candidates = [vae.encoding]
    else:
        candidates = candidate_encodings(table, width=input_width(vae), exclude=exclude, schema=options.schema)
    settled, encoding, tried = _choose(vae, table, candidates)
    x, missing = model_rows(settled, table, encoding)
    features = choose_links(settled, x, encoding_features(encoding))
    data = AuditData(
        x=x,
        features=features,
        groups=(),
        groups_from="",
        source=table.source,
        total=table.total,
        index=table.index,
        target=_labels(table, target, known),
        target_name=target,
        left_out=_left_out(table, encoding, exclude),
        missing=missing,
        encoding=encoding,
        columns=table.columns,
    )
    return Fitted(settled, _grouped(_without_constants(data), table, options, known), tried)


def encoding_schema(encoding: TableEncoding) -> TableSchema:
    """What a model's own recipe says of the kinds of its columns; it wins over what a new table looks like."""
    kinds = {FeatureKind.NUMERIC: ColumnKind.NUMERIC, FeatureKind.CATEGORICAL: ColumnKind.CATEGORICAL}
    columns = tuple(ColumnSchema(c.name, kind=kinds[c.kind]) for c in encoding.columns if c.kind in kinds)
    return TableSchema(columns=columns, source="the model's schema", optional=tuple(c.name for c in columns))


def _fit_array(vae: ProbedVAE, source: FloatArray | Tensor, options: DataOptions) -> Fitted:
    if options.target is not None:
        raise UsageError(
            f"target={options.target!r} with an array",
            expected="a table with named columns",
            fix="pass a DataFrame that holds the target",
        )
    row_shape = tuple(source.shape[1:]) if source.ndim > 2 else ()
    if row_shape:
        vae, source = replace(vae, row_shape=row_shape), source.reshape(len(source), -1)
    x, features, index, total = array_data(source, rows=options.rows, seed=options.seed)
    if row_shape and options.features is None:
        features = patch_features(row_shape)
    require_width(vae, x.shape[1])
    settled = vae.resolved(vae.to_input(some_rows(x)))
    features = tuple(options.features) if options.features is not None else choose_links(settled, x, features)
    data = AuditData(x=x, features=features, groups=(), groups_from="", source="array", total=total, index=index)
    return Fitted(settled, _grouped(_without_constants(data), None, options, None), ())


def _choose(
    vae: ProbedVAE, table: Table, candidates: Sequence[TableEncoding]
) -> tuple[ProbedVAE, TableEncoding, tuple[Tried, ...]]:
    """The candidate under which the model reconstructs best, and what was tried."""
    tried: list[Tried] = []
    errors: list[CircuitProbeError] = []
    for encoding in candidates:
        try:
            tried.append(Tried(encoding, relative_mse(vae, table, encoding)))
        except CircuitProbeError as error:
            errors.append(error)
            tried.append(Tried(encoding, None))
    scored = [(entry.mse, number) for number, entry in enumerate(tried) if entry.mse is not None]
    if not scored:
        raise errors[0]
    best = min(scored)[1]
    tried[best] = replace(tried[best], chosen=True)
    x, _ = model_rows(vae, table, tried[best].encoding)
    return vae.resolved(vae.to_input(some_rows(x))), tried[best].encoding, tuple(tried) if vae.encoding is None else ()


def relative_mse(vae: ProbedVAE, table: Table, encoding: TableEncoding) -> float:
    """Reconstruction MSE (METHOD.md section 5) of the table's rows under an encoding, over that of the column means.

    Raises:
        CircuitProbeError: the encoding does not fit the table, or the model fails on it.
    """
    x = some_rows(model_rows(vae, table, encoding)[0])
    settled = vae.resolved(vae.to_input(x))
    features = tuple(f for f in choose_links(settled, x, encoding_features(encoding)) if not _constant(x, f))
    if not features:
        raise _nothing_varies(table.source)
    readout = Readout.build(features, feature_std(x, features), settled.device)
    inputs = settled.to_input(x)
    output = settled.decode(settled.encode(inputs).mean)
    check_finite(output, settled.recognition.decode)
    rows = readout.rows(torch.as_tensor(x, device=inputs.device))
    errors, constant = squared_errors(readout, readout.read(output), rows)
    return float(errors.mean() / constant.mean())


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


def _constant(x: FloatArray, feature: Feature) -> bool:
    return feature.kind is FeatureKind.NUMERIC and float(np.ptp(x[:, feature.dims[0]])) == 0.0


def _without_constants(data: AuditData) -> AuditData:
    _check_magnitudes(data.x, data.features, data.source)
    constant = [feature.name for feature in data.features if _constant(data.x, feature)]
    kept = tuple(feature for feature in data.features if feature.name not in constant)
    if not kept:
        raise _nothing_varies(data.source)
    reasons = tuple(LeftOut(name, "constant over the audited rows; the model still gets it") for name in constant)
    return replace(data, features=kept, left_out=(*data.left_out, *reasons))


def _nothing_varies(source: str) -> DataError:
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


def _check_target(table: Table, target: str | None) -> None:
    names = [column.name for column in table.columns]
    if target is not None and target not in names:
        from circuitprobe.adapters.data.near_names import did_you_mean

        raise DataError(
            f"{table.source} has no target column {target!r}",
            expected=f"one of its columns: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}",
            fix=did_you_mean(target, names) or "--target with one of these",
        )


def _labels(table: Table, target: str | None, known: Benchmark | None) -> tuple[str | None, ...] | None:
    """The target of every audited row as a class name, None where it is missing."""
    if target is None:
        return None
    values = table.frame[target]
    present = values[values.notna()]
    derived = known is not None and target == known.target
    names = (
        known.target_labels(present)
        if known is not None and derived
        else [number_label(v) if isinstance(v, float) else str(v) for v in present]
    )
    labels = dict(zip(present.index, names, strict=True))
    return tuple(labels.get(row) for row in values.index)


def _left_out(table: Table, encoding: TableEncoding, exclude: set[str]) -> tuple[LeftOut, ...]:
    used = {column.name for column in encoding.columns}
    return tuple(
        LeftOut(
            column.name, "target or label" if column.name in exclude else f"{column.kind.value}: no input of the model"
        )
        for column in table.columns
        if column.name not in used
    )
