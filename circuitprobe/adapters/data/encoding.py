"""From raw columns to model dimensions: the recipe for one table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from circuitprobe.adapters.data.schema import ColumnSchema, TableSchema
from circuitprobe.errors import DataError
from circuitprobe.types import (
    MISSING_CATEGORY,
    Column,
    ColumnEncoding,
    ColumnKind,
    FeatureKind,
    Scaling,
    Table,
    TableEncoding,
)

if TYPE_CHECKING:
    from collections.abc import Collection

BinaryAs = Literal["one", "two", "two if text"]

FILE_ORDER = "columns in file order"
NUMERIC_FIRST = "numeric columns first"
_NUMBER_LIKE = (("0", "1"), ("False", "True"))


def fit_encoding(
    table: Table,
    *,
    exclude: Collection[str] = (),
    scaling: Scaling = Scaling.STANDARD,
    schema: TableSchema | None = None,
    numeric_first: bool = False,
    binary_as: BinaryAs = "one",
    constants: bool = False,
) -> TableEncoding:
    """Work out how a table becomes a model's input matrix.

    Numeric columns become (value - center) / scale with the mean and the population standard deviation (divisor n) of
    the whole table (standard), its minimum and range (min-max), or 0 and 1 (none); categorical columns become one-hot
    blocks in sorted order, with a category of their own for missing values where there are any; binary columns become
    one dimension 0 / 1. Constant, identifier and text columns are left out.

    Args:
        table: the profiled table.
        exclude: columns that are no inputs, such as the target; names the table lacks are ignored.
        scaling: of numeric columns; ``STANDARD_ALL`` standardises binary columns too.
        schema: its center and scale of a column override ``scaling``.
        numeric_first: numeric columns before all others, each part in file order. A binary column in one dimension
            that holds 0 and 1 or booleans counts as numeric here.
        binary_as: a binary column as one dimension or as a two-category block; ``two if text`` does so for texts and
            leaves numbers and booleans in one dimension, as pandas.get_dummies does.
        constants: keep constant columns of numbers, as one dimension each with scale 1.

    Returns:
        The encoding, one entry per column, in the order of the model's dimensions.

    Raises:
        DataError: no column is left.
    """
    declared = schema.by_name if schema is not None else {}
    excluded = set(exclude)
    columns = [
        _encode_column(table, column, scaling, declared.get(column.name), binary_as)
        for column in table.columns
        if column.name not in excluded and is_encodable(column, constants=constants)
    ]
    if not columns:
        left_out = ", ".join(f"{column.name} ({column.kind})" for column in table.columns[:20])
        raise DataError(
            f"{table.source} has no column that a model could be given: {left_out}.",
            expected="at least one numeric, binary or categorical column besides the target",
            fix='declare a column in a schema file: [columns.NAME] with kind = "numeric" or "categorical"',
        )
    layout = FILE_ORDER
    if numeric_first:
        columns.sort(key=_is_like_text)
        layout = NUMERIC_FIRST
    if binary_as != "one":
        layout += ", binary columns as two" if binary_as == "two" else ", binary columns of texts as two"
    if constants:
        layout += ", constant columns kept"
    return TableEncoding(tuple(columns), scaling, layout)


def is_encodable(column: Column, *, constants: bool) -> bool:
    """Whether a column can be a model's input.

    Args:
        column: the profiled column.
        constants: whether constant columns of numbers count.
    """
    if column.kind is ColumnKind.CONSTANT:
        return constants and math.isfinite(column.mean)
    return column.kind in (ColumnKind.NUMERIC, ColumnKind.BINARY, ColumnKind.CATEGORICAL)


def _is_like_text(encoding: ColumnEncoding) -> bool:
    if encoding.kind is FeatureKind.BINARY:
        return encoding.categories not in _NUMBER_LIKE
    return encoding.kind is FeatureKind.CATEGORICAL


def _encode_column(
    table: Table, column: Column, scaling: Scaling, declared: ColumnSchema | None, binary_as: BinaryAs
) -> ColumnEncoding:
    if column.kind is ColumnKind.BINARY:
        number_like = column.categories in _NUMBER_LIKE
        if binary_as == "two" or (binary_as == "two if text" and not number_like):
            return ColumnEncoding(column.name, FeatureKind.CATEGORICAL, _with_missing(column))
        center, scale = _center_and_scale(
            column, scaling if scaling is Scaling.STANDARD_ALL else Scaling.NONE, declared
        )
        return ColumnEncoding(column.name, FeatureKind.BINARY, column.categories, center, scale)
    if column.kind is ColumnKind.CATEGORICAL:
        return ColumnEncoding(column.name, FeatureKind.CATEGORICAL, _with_missing(column))
    center, scale = _center_and_scale(column, scaling, declared)
    return ColumnEncoding(column.name, FeatureKind.NUMERIC, (), center, scale, _fill(table, column))


def _with_missing(column: Column) -> tuple[str, ...]:
    if column.missing and MISSING_CATEGORY not in column.categories:
        return (*column.categories, MISSING_CATEGORY)
    return column.categories


def _center_and_scale(column: Column, scaling: Scaling, declared: ColumnSchema | None) -> tuple[float, float]:
    if declared is not None and declared.center is not None and declared.scale is not None:
        return declared.center, declared.scale
    if scaling in (Scaling.STANDARD, Scaling.STANDARD_ALL):
        return column.mean, column.std or 1.0
    if scaling is Scaling.MIN_MAX:
        return column.low, (column.high - column.low) or 1.0
    return 0.0, 1.0


def _fill(table: Table, column: Column) -> float | None:
    if not column.missing:
        return None
    values = table.frame[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else column.mean
