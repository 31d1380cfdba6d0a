"""Bringing rows of any kind and a model together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from circuitprobe.adapters.benchmarks import Benchmark, named_benchmark, named_images
from circuitprobe.adapters.data import (
    ArrayRows,
    ColumnSchema,
    TableSchema,
    array_data,
    array_rows,
    candidate_encodings,
    encoding_features,
    is_array_source,
    read_array_source,
    read_table,
)
from circuitprobe.adapters.data.column_names import names_an_index
from circuitprobe.adapters.data.near_names import close_names, shell_word
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.data.plain_arrays import readable
from circuitprobe.adapters.data.raw_file import find_file
from circuitprobe.adapters.models import ProbedVAE, input_width, require_width
from circuitprobe.errors import DataError, UsageError
from circuitprobe.fitting.candidates import Candidate, choose
from circuitprobe.fitting.condition import candidate_conditions
from circuitprobe.fitting.digests import table_digest
from circuitprobe.fitting.finishing import finished
from circuitprobe.fitting.images import fit_images
from circuitprobe.fitting.links import choose_links, some_rows
from circuitprobe.fitting.options import DataOptions, Fitted
from circuitprobe.interventions.conditions import without_condition
from circuitprobe.levels.downstream import usable_classes
from circuitprobe.types import AuditData, Column, ColumnKind, Feature, FeatureKind, LeftOut, Table, TableEncoding

if TYPE_CHECKING:
    import pandas as pd

    from circuitprobe.types import FloatArray


def fit(
    vae: ProbedVAE,
    source: str | Path | pd.DataFrame | FloatArray | Tensor,
    options: DataOptions,
    tick: Callable[[int], None] | None = None,
) -> Fitted:
    """Read rows and turn them into the model's input.

    Args:
        vae: the model, inside ``untouched``.
        source: a table's file, a benchmark's name or a DataFrame; a file of arrays, a folder of pictures or a
            benchmark of images; or an array.
        options: what the caller says about them.
        tick: called now and then with the number of rows read so far.

    Raises:
        DataError: the rows cannot be read or do not fit the model.
        ModelError: the model does not behave like a VAE on them.
        UsageError: an option that makes no sense with such rows.
    """
    if isinstance(source, (np.ndarray, Tensor)):
        return _fit_in_memory(vae, source, options)
    if is_array_source(source):
        stored, options = _stored(str(source), options)
        if stored.values.ndim == 2:
            return _fit_stored_rows(vae, stored, options)
        return _with_groups(fit_images(vae, stored, options), options)
    if isinstance(source, str | Path):
        # a mistyped name may be meant for images
        find_file(source)
    options.refuse_image_options("a table")
    return _fit_table(vae, source, options, tick)


def _stored(source: str, options: DataOptions) -> tuple[ArrayRows, DataOptions]:
    """Rows of a file, a folder or a benchmark of images, and the options with the target that the benchmark has."""
    known = named_images(source) if options.target is None else None
    target = options.target if known is None else known.target
    stored = read_array_source(source, rows=options.rows, seed=options.seed, array=options.array, target=target)
    if known is None:
        return stored, options
    try:
        usable_classes(known.target, stored.labels or ())
    except DataError:
        # nobody asked for it, and so few rows cannot have it
        return replace(stored, labels=None), options
    return stored, replace(options, target=target)


def _fit_table(
    vae: ProbedVAE, source: str | Path | pd.DataFrame, options: DataOptions, tick: Callable[[int], None] | None
) -> Fitted:
    said = _said(options)
    schema = said if vae.encoding is None else encoding_schema(vae.encoding).merged(said)
    names = () if vae.encoding is None else tuple(column.name for column in vae.encoding.columns)
    names += (vae.target,) if vae.target is not None else ()
    table = read_table(source, rows=options.rows, seed=options.seed, schema=schema, known=names, progress=tick)
    known = named_benchmark(source)
    renamed = {old: new for new, old in table.renamed}
    target = options.target or (options.schema.target if options.schema else None)
    target = None if target is None else renamed.get(target, target)
    condition = tuple(renamed.get(name, name) for name in options.condition)
    _check_target(table, target)
    exclude = {name for name in (target, vae.target, *condition, *(known.not_features if known else ())) if name}
    exclude |= set(said.ignored if said else ())
    try:
        candidates = _candidates(vae, table, exclude, condition, options)
    except DataError:
        # that a model is no VAE is worth knowing before its width is; with a condition its width says nothing yet
        if not condition:
            _refuse_no_vae(vae)
        raise
    settled, chosen, tried = choose(vae, table, candidates)
    x, missing = chosen.rows(settled, table)
    features, given = without_condition(settled, encoding_features(chosen.encoding), x.shape[1])
    data = AuditData(
        x=x,
        features=choose_links(settled, x, features),
        groups=(),
        groups_from="",
        source=table.source,
        total=table.total,
        index=table.index,
        target=_labels(table, target, known),
        target_name=target,
        left_out=(*_left_out(table, chosen.encoding, exclude, condition), *_ignored(options), *_conditions(given)),
        missing=missing,
        encoding=chosen.described,
        columns=table.columns,
        condition=condition,
        renamed=table.renamed,
        sample=table_digest(table, {*(column.name for column in chosen.encoding.columns), *condition}),
    )
    return Fitted(settled, finished(data, table, options, known), tried)


def _refuse_no_vae(vae: ProbedVAE) -> None:
    """Raise what recognition says of a model on made-up rows of its width, where that is known."""
    width = input_width(vae)
    if vae.settle is not None and width is not None:
        vae.resolved(vae.to_input(np.random.default_rng(0).standard_normal((16, width))), real=False)


def _said(options: DataOptions) -> TableSchema | None:
    """What the caller says of the columns: the schema, with the ignored columns in it."""
    if not options.ignore:
        return options.schema
    ignored = TableSchema(columns=tuple(ColumnSchema(name, ignore=True) for name in options.ignore), source="--ignore")
    return ignored if options.schema is None else options.schema.merged(ignored)


def _candidates(
    vae: ProbedVAE, table: Table, exclude: set[str], condition: tuple[str, ...], options: DataOptions
) -> list[Candidate]:
    """Every plausible encoding, with every plausible coding of the condition behind it."""
    said = _said(options)
    conditions = candidate_conditions(table, condition) if condition else ()
    if vae.encoding is not None:
        return [Candidate(vae.encoding, each) for each in conditions or (None,)]
    if not conditions:
        return [
            Candidate(encoding)
            for encoding in candidate_encodings(table, width=input_width(vae), exclude=exclude, schema=said)
        ]
    # found by running it, a width would be that of the model without its condition
    width = vae.input_width
    found: list[Candidate] = []
    errors: list[DataError] = []
    for each in conditions:
        try:
            encodings = candidate_encodings(
                table, width=None if width is None else width - each.width, exclude=exclude, schema=said
            )
        except DataError as error:
            errors.append(error)
        else:
            found += [Candidate(encoding, each) for encoding in encodings]
    if not found:
        raise errors[0]
    return found


def encoding_schema(encoding: TableEncoding) -> TableSchema:
    """What a model's own recipe says of the kinds of its columns; it wins over what a new table looks like."""
    kinds = {FeatureKind.NUMERIC: ColumnKind.NUMERIC, FeatureKind.CATEGORICAL: ColumnKind.CATEGORICAL}
    columns = tuple(ColumnSchema(c.name, kind=kinds[c.kind]) for c in encoding.columns if c.kind in kinds)
    return TableSchema(columns=columns, source="the model's schema", optional=tuple(c.name for c in columns))


def _fit_in_memory(vae: ProbedVAE, source: FloatArray | Tensor, options: DataOptions) -> Fitted:
    if options.target is not None:
        raise UsageError(
            f"target={options.target!r} with an array",
            expected="a table with named columns",
            fix="pass a DataFrame that holds the target",
        )
    options.refuse_table_options("an array")
    source = readable(source)
    if source.ndim in (3, 4) and options.features is None:
        return _with_groups(fit_images(vae, array_rows(source, rows=options.rows, seed=options.seed), options), options)
    if source.ndim > 2:
        vae, source = replace(vae, row_shape=tuple(source.shape[1:])), source.reshape(len(source), -1)
    DataOptions(array=options.array, pixels=options.pixels, grid=options.grid).refuse_image_options("rows of numbers")
    x, features, index, total = array_data(source, rows=options.rows, seed=options.seed)
    data = AuditData(x=x, features=features, groups=(), groups_from="", source="array", total=total, index=index)
    return _fit_rows(vae, data, options)


def _fit_stored_rows(vae: ProbedVAE, stored: ArrayRows, options: DataOptions) -> Fitted:
    """Flat rows from a file, in the model's space."""
    options.refuse_table_options("rows of numbers")
    DataOptions(pixels=options.pixels, grid=options.grid).refuse_image_options("rows of numbers")
    x, features, _, _ = array_data(stored.values, rows=None)
    data = AuditData(
        x=x, features=features, groups=(), groups_from="", source=stored.source, total=stored.total, index=stored.index,
        target=stored.labels, target_name=None if stored.labels is None else options.target,
    )  # fmt: skip
    return _fit_rows(vae, data, options)


def _fit_rows(vae: ProbedVAE, data: AuditData, options: DataOptions) -> Fitted:
    require_width(vae, data.x.shape[1])
    settled = vae.resolved(vae.to_input(some_rows(data.x)))
    wanted = data.features if options.features is None else options.features
    features, given = without_condition(settled, wanted, data.x.shape[1])
    if options.features is None:
        features = choose_links(settled, data.x, features)
    whole = replace(data, features=features, left_out=(*data.left_out, *_conditions(given)))
    return Fitted(settled, finished(whole, None, options, None), ())


def _with_groups(fitted: Fitted, options: DataOptions) -> Fitted:
    return replace(fitted, data=finished(fitted.data, None, options, None))


def _check_target(table: Table, target: str | None) -> None:
    names = [column.name for column in table.columns]
    if target is not None and target not in names:
        close = close_names(target, names)
        raise DataError(
            f"{table.source} has no target column {target!r}",
            expected=f"one of its columns: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}",
            fix=f"--target {shell_word(close[0])}" if close else "--target with one of these",
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


def _conditions(features: Sequence[Feature]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(feature.name, "a condition: given to both halves, not reconstructed") for feature in features)


def _left_out(
    table: Table, encoding: TableEncoding, exclude: set[str], condition: tuple[str, ...]
) -> tuple[LeftOut, ...]:
    used = {column.name for column in encoding.columns}
    return tuple(
        LeftOut(column.name, _why_left_out(column, exclude, condition))
        for column in table.columns
        if column.name not in used
    )


def _why_left_out(column: Column, exclude: set[str], condition: tuple[str, ...]) -> str:
    if column.name in condition:
        return "condition: given to encoder and decoder, no feature"
    if column.name in exclude:
        return "target or label"
    if column.kind is ColumnKind.IDENTIFIER and names_an_index(column.name):
        return "an index of the rows: no input of the model"
    return f"{column.kind.value}: no input of the model"


def _ignored(options: DataOptions) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(name, "ignored, as asked") for name in options.ignore)
