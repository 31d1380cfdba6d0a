"""Audited rows as the model's input matrix."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from circuitprobe.adapters.data.near_names import close_names, listed
from circuitprobe.adapters.data.number_text import NumberStyle, number_label, parse_numbers
from circuitprobe.errors import DataError
from circuitprobe.types import (
    MISSING_CATEGORY,
    ColumnEncoding,
    FeatureKind,
    MissingValues,
    Table,
    TableEncoding,
)

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray

UNSEEN = -1


def apply_encoding(table: Table, encoding: TableEncoding) -> tuple[FloatArray, tuple[MissingValues, ...]]:
    """Turn the audited rows into the model's space.

    Columns are matched by name, and what the encoding says of a column wins over what these rows look like: a column
    of numbers can be a categorical one whose categories are written as numbers, and a constant or a running number can
    be numeric. Columns the encoding does not name are not used.

    Args:
        table: the audited rows.
        encoding: how the model saw a table like this.

    Returns:
        x, float64 of shape (rows, dims), and what was missing or not among the known categories, column by column.

    Raises:
        DataError: columns are missing, or there is text in a numeric one.
    """
    _check_columns(table, encoding)
    rows = len(table.frame)
    x = np.zeros((rows, encoding.width))
    notes: list[MissingValues] = []
    start = 0
    for column in encoding.columns:
        block = x[:, start : start + column.width]
        start += column.width
        if column.kind is FeatureKind.NUMERIC:
            notes += _write_numeric(block, table, column)
        else:
            notes += _write_categories(block, table, column)
    return x, tuple(notes)


def _check_columns(table: Table, encoding: TableEncoding) -> None:
    present = [str(name) for name in table.frame.columns]
    needed = [column.name for column in encoding.columns]
    lacking = [name for name in needed if name not in set(present)]
    if not lacking:
        return
    extra = [name for name in present if name not in set(needed)]
    guesses = _guesses(lacking, extra)
    raise DataError(
        f"{table.source} lacks {len(lacking)} of the model's {len(needed)} columns:\n"
        f"    the model has, the table lacks: {listed(lacking)}\n"
        f"    the table has, the model lacks: {listed(extra) or 'none'}",
        expected=f"the columns {listed(needed, 40)}",
        fix=_renaming(table, guesses) if guesses else "give a table with the columns the model was trained on",
    )


def _guesses(lacking: list[str], extra: list[str]) -> dict[str, str]:
    """The table's columns that may be the model's under a mistyped name: the table's name -> the model's."""
    found: dict[str, str] = {}
    for name in lacking:
        close = close_names(name, [other for other in extra if other not in found])
        if len(close) == 1:
            found[close[0]] = name
    return found


def _renaming(table: Table, guesses: dict[str, str]) -> str:
    shown = ", ".join(f"{old!r} as {new!r}" for old, new in guesses.items())
    name = table.path or table.source
    code = f"import pandas; pandas.read_csv({name!r}).rename(columns={guesses!r}).to_csv('renamed.csv', index=False)"
    return f"if the table has {shown}, rename and audit renamed.csv:\n    python -c {shlex.quote(code)}"


def _write_numeric(block: FloatArray, table: Table, column: ColumnEncoding) -> list[MissingValues]:
    values = _numbers(table, column)
    absent = np.isnan(values)
    notes = []
    if absent.any():
        fill, treatment = column.fill, f"median {_short(column.fill)}"
        if fill is None:
            fill = float(np.median(values[~absent])) if not absent.all() else column.center
            treatment = f"median {_short(fill)} of the audited rows"
        values = np.where(absent, fill, values)
        notes.append(MissingValues(column.name, int(absent.sum()), treatment))
    block[:, 0] = (values - column.center) / column.scale
    return notes


def _numbers(table: Table, column: ColumnEncoding) -> FloatArray:
    cells = table.frame[column.name]
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return np.array(cells.to_numpy(dtype=np.float64, na_value=np.nan))
    absent = cells.isna().to_numpy()
    texts = [None if gone else str(cell) for cell, gone in zip(cells, absent, strict=True)]
    values = parse_numbers(pa.array(texts, pa.string()), NumberStyle())
    wrong = np.flatnonzero((np.isnan(values) & ~absent) | np.isinf(values))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"Column {column.name!r} of {table.source} holds {texts[row]!r} in row {int(table.index[row]) + 1:,}, "
            f"and {len(wrong):,} of its {len(texts):,} audited values are no finite numbers.",
            expected="numbers: the column is numeric to the model",
            fix="give the column as the model was trained on it; tokens that mean missing go into a schema file: "
            'missing = ["?"]',
        )
    return np.array(values)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _write_categories(block: FloatArray, table: Table, column: ColumnEncoding) -> list[MissingValues]:
    codes, absent, unseen = _category_codes(table.frame[column.name], column.categories)
    notes = []
    if column.kind is FeatureKind.BINARY:
        unknown = codes == UNSEEN
        if unknown.any():
            common = int(np.bincount(codes[~unknown], minlength=2).argmax())
            codes = np.where(unknown, common, codes)
            treatment = f"most frequent value {column.categories[common]!r}"
            notes += _notes(column.name, absent & unknown, ~absent & unknown, treatment, unseen)
        block[:, 0] = (codes - column.center) / column.scale
        return notes
    known = np.flatnonzero(codes != UNSEEN)
    block[known, codes[known]] = 1.0
    if absent.any() and MISSING_CATEGORY in column.categories:
        notes.append(MissingValues(column.name, int(absent.sum()), "own category"))
        absent = np.zeros_like(absent)
    return notes + _notes(column.name, absent, ~absent & (codes == UNSEEN), "block of zeros", unseen)


def _notes(
    name: str, absent: np.ndarray[Any, Any], unknown: np.ndarray[Any, Any], treatment: str, unseen: list[str]
) -> list[MissingValues]:
    notes = []
    if absent.any():
        notes.append(MissingValues(name, int(absent.sum()), f"no category for missing values: {treatment}"))
    if unknown.any():
        word = "category" if len(unseen) == 1 else "categories"
        notes.append(MissingValues(name, int(unknown.sum()), f"unseen {word} {listed(unseen, 5)}: {treatment}"))
    return notes


def _category_codes(
    cells: pd.Series[Any], categories: tuple[str, ...]
) -> tuple[IntArray, np.ndarray[Any, np.dtype[np.bool_]], list[str]]:
    """Position of each cell's category, ``UNSEEN`` where it has none; which are missing; the unseen values."""
    absent = cells.isna().to_numpy()
    distinct, values = pd.factorize(cells, use_na_sentinel=True)
    by_name = _names(categories)
    labels = [number_label(value) if isinstance(value, float | int) else str(value) for value in values.tolist()]
    positions = [by_name.get(label, by_name.get(_plain(label), UNSEEN)) for label in labels]
    missing = by_name.get(MISSING_CATEGORY, UNSEEN)
    codes = np.array([*positions, missing], dtype=np.int64)[distinct]
    unseen = [label for label, position in zip(labels, positions, strict=True) if position == UNSEEN]
    return codes, absent, unseen


def _names(categories: tuple[str, ...]) -> dict[str, int]:
    """Categories under every spelling they may have in a table: ``1.0`` for ``1``, ``TRUE`` for ``True``."""
    names = {category: position for position, category in enumerate(categories)}
    for category, position in list(names.items()):
        names.setdefault(_plain(category), position)
    values = {_plain(category) for category in categories if category != MISSING_CATEGORY}
    if values in ({"0", "1"}, {"false", "true"}):
        for number, flag in (("0", "false"), ("1", "true")):
            position = names.get(number, names.get(flag, UNSEEN))
            names |= {number: position, flag: position}
    return names


def _plain(label: str) -> str:
    if label.lower() in ("true", "false"):
        return label.lower()
    try:
        return number_label(float(label))
    except ValueError:
        return label
