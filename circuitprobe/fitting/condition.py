"""Columns that condition both halves of a model, in the codings that a model may have been given them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data import apply_encoding
from circuitprobe.adapters.data.near_names import did_you_mean, listed, shell_word
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnEncoding, ColumnKind, FeatureKind, Scaling, Table, TableEncoding

if TYPE_CHECKING:
    from circuitprobe.types import Column, FloatArray

# whole numbers of no more different values may be classes
MOST_CLASSES = 50
_SCALINGS = (Scaling.NONE, Scaling.STANDARD, Scaling.MIN_MAX)


@dataclass(frozen=True)
class Condition:
    """How the condition columns become dimensions behind those of the data.

    Attributes:
        encoding: of these columns alone, one-hot where they are categories.
        numbered: a category is one dimension, its class number in sorted order, instead of one-hot.
        words: for the report.
    """

    encoding: TableEncoding
    numbered: bool
    words: str

    @property
    def width(self) -> int:
        """Number of dimensions."""
        return len(self.encoding.columns) if self.numbered else self.encoding.width

    def rows(self, table: Table) -> FloatArray:
        """The condition of every audited row, shape (rows, width)."""
        x, _ = apply_encoding(table, self.encoding)
        if not self.numbered:
            return x
        parts, start = [], 0
        for column in self.encoding.columns:
            block = x[:, start : start + column.width]
            start += column.width
            parts.append(block @ np.arange(column.width) if column.kind is FeatureKind.CATEGORICAL else block[:, 0])
        return np.stack(parts, axis=1)


def candidate_conditions(table: Table, names: Sequence[str]) -> tuple[Condition, ...]:
    """All plausible codings of the condition columns, the plainest first.

    Numbers as they are, standardised or scaled to [0, 1]; categories, binary columns and whole numbers of few values one-hot
    too, or as a class number.

    Args:
        table: the audited rows.
        names: the condition columns, in the order of their dimensions.

    Raises:
        DataError: the table has no such column, or one that says nothing.
    """
    columns = [_column(table, name) for name in names]
    found: dict[tuple[object, ...], Condition] = {}
    for blocks in (False, True):
        for scaling in _SCALINGS:
            for binary_as_block in (False, True) if blocks else (False,):
                encoded = tuple(
                    _encoded(table, column, scaling, blocks=blocks, binary_as_block=binary_as_block)
                    for column in columns
                )
                how = "one-hot" if blocks else "class numbers"
                words = f"{how} where they are classes, {scaling.value} otherwise"
                # with class numbers a category is a block of which only the place of its 1 is kept
                found.setdefault((encoded, blocks), Condition(TableEncoding(encoded, scaling), not blocks, words))
    return tuple(_worded(list(found.values())))


def _worded(conditions: list[Condition]) -> Iterator[Condition]:
    for condition in conditions:
        kinds = {column.kind for column in condition.encoding.columns}
        if kinds == {FeatureKind.NUMERIC}:
            scaling = condition.encoding.scaling
            words = "as it is" if scaling is Scaling.NONE else scaling.value
        elif FeatureKind.NUMERIC in kinds:
            words = condition.words
        else:
            words = "class number" if condition.numbered else "one-hot"
        yield Condition(condition.encoding, condition.numbered, words)


def _column(table: Table, name: str) -> Column:
    column = next((column for column in table.columns if column.name == name), None)
    if column is None:
        known = [column.name for column in table.columns]
        close = did_you_mean(name, known)
        raise DataError(
            f"{table.source} has no column {name!r} to condition on.",
            expected=f"one of {listed(known, 12)}",
            fix=close or "--condition with one of these",
        )
    if column.kind in (ColumnKind.CONSTANT, ColumnKind.TEXT, ColumnKind.IDENTIFIER):
        raise DataError(
            f"Column {name!r} of {table.source} is {column.kind.value}: a model is not conditioned on it.",
            expected="a numeric, binary or categorical column",
            fix=f'a schema file (--schema) that says what it is: [columns.{name}] with kind = "numeric" or "categorical"',
        )
    if column.missing:
        raise DataError(
            f"Column {name!r} of {table.source} has no value in {column.missing:,} of its {column.count:,} rows.",
            expected="a condition for every row",
            fix=f"drop the rows without {shell_word(name)}",
        )
    return column


def _encoded(table: Table, column: Column, scaling: Scaling, *, blocks: bool, binary_as_block: bool) -> ColumnEncoding:
    if column.kind is ColumnKind.BINARY:
        kind = FeatureKind.CATEGORICAL if binary_as_block else FeatureKind.BINARY
        return ColumnEncoding(column.name, kind, column.categories)
    if column.kind is ColumnKind.CATEGORICAL:
        return ColumnEncoding(column.name, FeatureKind.CATEGORICAL, column.categories)
    classes = _classes(table, column) if blocks else ()
    if classes:
        return ColumnEncoding(column.name, FeatureKind.CATEGORICAL, classes)
    if scaling is Scaling.NONE:
        return ColumnEncoding(column.name, FeatureKind.NUMERIC)
    if scaling is Scaling.STANDARD:
        return ColumnEncoding(column.name, FeatureKind.NUMERIC, (), column.mean, column.std or 1.0)
    return ColumnEncoding(column.name, FeatureKind.NUMERIC, (), column.low, (column.high - column.low) or 1.0)


def _classes(table: Table, column: Column) -> tuple[str, ...]:
    """The values of a column of whole numbers with few of them; () for any other."""
    values = np.unique(table.frame[column.name].to_numpy(dtype=np.float64))
    if len(values) > MOST_CLASSES or (values != np.round(values)).any():
        return ()
    # classes that no audited row has still have their place in a one-hot block
    if column.high - column.low < MOST_CLASSES:
        values = np.arange(column.low, column.high + 1)
    return tuple(number_label(float(value)) for value in values)
