"""What a column is taken for, and what its statistics are."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitprobe.adapters.data import ColumnSchema, TableSchema, read_table
from circuitprobe.types import Column, ColumnKind

if TYPE_CHECKING:
    from collections.abc import Sequence


def profile(values: Sequence[object]) -> Column:
    """The column as read from a CSV."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "t.csv"
        file.write_text("x,other\n" + "".join(f"{'' if v is None else v},{i % 3}\n" for i, v in enumerate(values)))
        return read_table(file).columns[0]


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        (["a", "b", "c"] * 20, ColumnKind.CATEGORICAL, ("a", "b", "c")),
        (["b", "a"] * 20, ColumnKind.BINARY, ("a", "b")),
        (["b", "a", None] * 20, ColumnKind.CATEGORICAL, ("a", "b")),
        ([1, 0] * 20, ColumnKind.BINARY, ("0", "1")),
        (["1.0", "0.0", "1"] * 20, ColumnKind.BINARY, ("0", "1")),
        ([1, 0, None] * 20, ColumnKind.CATEGORICAL, ("0", "1")),
        (["True", "False"] * 20, ColumnKind.BINARY, ("False", "True")),
        ([1, 2] * 20, ColumnKind.NUMERIC, ()),
        ([0.5, 1] * 20, ColumnKind.NUMERIC, ()),
        ([7] * 40, ColumnKind.CONSTANT, ()),
        (["only"] * 40, ColumnKind.CONSTANT, ()),
        ([7, None] * 20, ColumnKind.NUMERIC, ()),
        (["only", None] * 20, ColumnKind.CATEGORICAL, ("only",)),
        (list(range(100, 120)), ColumnKind.IDENTIFIER, ()),
        (list(range(100, 119)), ColumnKind.NUMERIC, ()),
        ([*range(100, 130), 131], ColumnKind.NUMERIC, ()),
        (list(range(130, 100, -1)), ColumnKind.NUMERIC, ()),
        ([*range(100, 130), None], ColumnKind.NUMERIC, ()),
        ([i + 0.5 for i in range(30)], ColumnKind.NUMERIC, ()),
        ([f"id{i}" for i in range(51)], ColumnKind.IDENTIFIER, ()),
        ([f"id{i % 45}" for i in range(51)], ColumnKind.CATEGORICAL, tuple(sorted(f"id{i}" for i in range(45)))),
        ([9007199254740993 + 7919 * i for i in range(60)], ColumnKind.IDENTIFIER, ()),
        ([f"name{i // 2}" for i in range(4000)], ColumnKind.TEXT, ()),
        ([f"sentence number {i} that goes on for quite a while" for i in range(30)], ColumnKind.TEXT, ()),
        (["the same long sentence that goes on for quite a while", "b"] * 30, ColumnKind.BINARY, None),
        ([f"2024-01-{i % 28 + 1:02d}" for i in range(100)], ColumnKind.CATEGORICAL, None),
        (["10", "9", "x"] * 20, ColumnKind.CATEGORICAL, ("10", "9", "x")),
    ],
)
def test_inferred_kinds(values: list[object], kind: ColumnKind, categories: tuple[str, ...] | None) -> None:
    column = profile(values)
    assert column.kind is kind
    assert column.inferred
    assert column.count == len(values)
    assert column.missing == sum(value is None for value in values)
    if categories is not None:
        assert column.categories == categories


def test_distinct_texts_beyond_the_cap_are_estimated_well() -> None:
    """12,000 rows with 89 or 91 % distinct texts: the limit of an identifier is 90 %, the sketch's error 1.6 %."""
    rng = np.random.default_rng(0)

    def kind(distinct: int) -> ColumnKind:
        codes = np.append(np.arange(distinct), rng.integers(0, distinct, 12_000 - distinct))
        return read_table(pd.DataFrame({"x": [f"v{code}" for code in rng.permutation(codes)]})).columns[0].kind

    assert kind(10_300) is ColumnKind.TEXT
    assert kind(11_300) is ColumnKind.IDENTIFIER


def test_statistics_are_those_of_the_whole_table() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(1e6, 3.0, 150_000)
    values[::7] = np.nan
    table = read_table(pd.DataFrame({"x": values}), rows=50)
    column = table.columns[0]
    assert len(table.frame) == 50
    assert column.count == 150_000
    assert column.missing == int(np.isnan(values).sum())
    assert column.mean == pytest.approx(np.nanmean(values), rel=1e-14)
    assert column.std == pytest.approx(np.nanstd(values), rel=1e-9)
    assert (column.low, column.high) == (np.nanmin(values), np.nanmax(values))


def test_a_constant_has_standard_deviation_exactly_zero() -> None:
    column = read_table(pd.DataFrame({"x": [0.1] * 1000, "y": range(1000)})).columns[0]
    assert (column.mean, column.std, column.low, column.high) == (0.1, 0.0, 0.1, 0.1)


def test_a_binary_column_knows_its_share_of_ones() -> None:
    column = profile(["yes"] * 30 + ["no"] * 10)
    assert column.categories == ("no", "yes")
    assert column.mean == pytest.approx(0.75)
    assert column.std == pytest.approx(math.sqrt(0.75 * 0.25))


def test_categories_that_are_numbers_are_in_numeric_order() -> None:
    schema = TableSchema(columns=(ColumnSchema("x", kind=ColumnKind.CATEGORICAL),))
    table = read_table(pd.DataFrame({"x": [10.0, 9.0, -1.0, 2.5] * 5}), schema=schema)
    assert table.columns[0].categories == ("-1", "2.5", "9", "10")
    assert table.frame["x"].tolist()[:4] == ["10", "9", "-1", "2.5"]
    assert not table.columns[0].inferred


def test_the_schema_overrides_inference() -> None:
    schema = TableSchema(
        columns=(
            ColumnSchema("id", kind=ColumnKind.NUMERIC),
            ColumnSchema("flag", kind=ColumnKind.BINARY, categories=("2", "1")),
            ColumnSchema("kind", kind=ColumnKind.CATEGORICAL, categories=("c", "a", "b")),
            ColumnSchema("size", center=1.0, scale=2.0),
        )
    )
    frame = pd.DataFrame(
        {"id": range(30), "flag": [1, 2] * 15, "kind": ["a", "b", "c"] * 10, "size": np.arange(30) ** 2}
    )
    table = read_table(frame, schema=schema)
    kinds = [column.kind for column in table.columns]
    assert kinds == [ColumnKind.NUMERIC, ColumnKind.BINARY, ColumnKind.CATEGORICAL, ColumnKind.NUMERIC]
    assert table.columns[1].categories == ("2", "1")
    assert table.columns[1].mean == 0.5
    assert table.columns[2].categories == ("c", "a", "b")
    assert [column.inferred for column in table.columns] == [False, False, False, True]


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9, allow_subnormal=False)), min_size=2, max_size=60).filter(
        lambda values: any(value is not None for value in values)
    )
)
def test_any_numbers_agree_with_numpy(values: list[float | None]) -> None:
    numbers = np.array([np.nan if value is None else value for value in values])
    column = profile([None if value is None else repr(value) for value in values])
    assert column.missing == int(np.isnan(numbers).sum())
    if column.kind is ColumnKind.NUMERIC:
        assert column.mean == pytest.approx(np.nanmean(numbers), rel=1e-9, abs=1e-6)
        assert column.std == pytest.approx(np.nanstd(numbers), rel=1e-6, abs=1e-6)
        assert (column.low, column.high) == (np.nanmin(numbers), np.nanmax(numbers))
    else:
        assert len(set(numbers[~np.isnan(numbers)].tolist())) <= 2 or len(values) >= 20
