"""Parquet files and DataFrames: their types are taken at their word."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from circuitprobe.adapters.data import ColumnSchema, TableSchema, read_table
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from pathlib import Path

N = 60
CASES = [
    ("floats", np.arange(N) * 1.5, ColumnKind.NUMERIC, [0.0, 1.5, 3.0]),
    ("int8", (np.arange(N) % 7).astype(np.int8), ColumnKind.NUMERIC, [0.0, 1.0, 2.0]),
    ("bools", np.arange(N) % 2 == 0, ColumnKind.BINARY, ["True", "False", "True"]),
    ("zero one", np.arange(N) % 2, ColumnKind.BINARY, ["0", "1", "0"]),
    ("text", ["x", "y", "z"] * 20, ColumnKind.CATEGORICAL, ["x", "y", "z"]),
    ("digits as text", ["10", "9", "1"] * 20, ColumnKind.CATEGORICAL, ["10", "9", "1"]),
    ("words like NA", ["NA", "None", "x"] * 20, ColumnKind.CATEGORICAL, ["NA", "None", "x"]),
    ("times", pd.date_range("2024-01-01", periods=N), ColumnKind.IDENTIFIER, None),
    ("dates", [dt.date(2024, 1, 1), dt.date(2024, 1, 2)] * 30, ColumnKind.BINARY, ["2024-01-01", "2024-01-02"]),
    ("Int64", pd.array([1, None, 3] * 20, dtype="Int64"), ColumnKind.NUMERIC, [1.0, np.nan, 3.0]),
    ("boolean", pd.array([True, None, False] * 20, dtype="boolean"), ColumnKind.CATEGORICAL, ["True", None, "False"]),
    ("string", pd.array(["u", None, "v"] * 20, dtype="string"), ColumnKind.CATEGORICAL, ["u", None, "v"]),
    ("str", pd.array(["u", None, "v"] * 20, dtype="str"), ColumnKind.CATEGORICAL, ["u", None, "v"]),
    ("arrow", pd.array([1.5, None, 2.0] * 20, dtype="double[pyarrow]"), ColumnKind.NUMERIC, [1.5, np.nan, 2.0]),
    ("category", pd.Categorical(["a", "b", None] * 20), ColumnKind.CATEGORICAL, ["a", "b", None]),
    ("objects", pd.Series([True, False, None] * 20, dtype=object), ColumnKind.CATEGORICAL, ["True", "False", None]),
    ("decimals", [decimal.Decimal(f"{i % 9}.25") for i in range(N)], ColumnKind.NUMERIC, [0.25, 1.25, 2.25]),
    ("running", range(1000, 1000 + N), ColumnKind.IDENTIFIER, ["1000", "1001", "1002"]),
]  # fmt: skip


@pytest.mark.parametrize("as_parquet", [False, True])
@pytest.mark.parametrize(("name", "values", "kind", "first"), CASES, ids=[case[0] for case in CASES])
def test_types(
    tmp_path: Path, name: str, values: object, kind: ColumnKind, first: list[object] | None, as_parquet: bool
) -> None:
    frame = pd.DataFrame({name: values, "other": np.arange(N) % 5})
    source: pd.DataFrame | Path = frame
    if as_parquet:
        source = tmp_path / "t.pq"
        frame.to_parquet(source)
    table = read_table(source)
    assert table.columns[0].kind is kind
    cells = table.frame[name]
    assert cells.dtype == (np.float64 if kind is ColumnKind.NUMERIC else object)
    if first is not None:
        np.testing.assert_array_equal(cells.iloc[: len(first)].to_numpy(), np.array(first, dtype=cells.dtype))
    assert table.columns[0].missing == int(pd.isna(pd.Series(list(values))).sum())  # type: ignore[call-overload]


def test_more_frame_types() -> None:
    frame = pd.DataFrame(
        {
            "categories of numbers": pd.Categorical([3, 1, 2] * 20),
            "sparse": pd.arrays.SparseArray([0, 0, 5, 7] * 15),
            "period": pd.period_range("2024-01", periods=3, freq="M").repeat(20),
            "mixed": pd.Series([1, "a", 2.0] * 20, dtype=object),
            "numbers as objects": pd.Series([1, 2.5, None] * 20, dtype=object),
        }
    )
    table = read_table(frame)
    categories = {column.name: column.categories for column in table.columns}
    assert categories["categories of numbers"] == ("1", "2", "3")
    assert table.columns[1].kind is ColumnKind.NUMERIC
    assert categories["period"] == ("2024-01", "2024-02", "2024-03")
    assert categories["mixed"] == ("1", "2", "a")
    assert table.columns[4].kind is ColumnKind.NUMERIC
    assert table.columns[4].missing == 20


def test_parquet_dictionaries_and_large_strings(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    parquet.write_table(
        pa.table(
            {
                "d": pa.array(["b", "a", None] * 10).dictionary_encode(),
                "large": pa.array(["p", "q", "r"] * 10, pa.large_string()),
                "money": pa.array([decimal.Decimal("1.25"), decimal.Decimal("2.50"), None] * 10, pa.decimal128(10, 2)),
                "half": pa.array(np.arange(30) ** 2, pa.uint64()),
            }
        ),
        file,
        row_group_size=7,
    )
    table = read_table(file)
    assert [column.kind for column in table.columns] == [
        ColumnKind.CATEGORICAL,
        ColumnKind.CATEGORICAL,
        ColumnKind.NUMERIC,
        ColumnKind.NUMERIC,
    ]
    assert table.columns[0].categories == ("a", "b")
    assert table.columns[2].mean == pytest.approx(1.875)
    assert table.frame["half"].tolist() == [float(i * i) for i in range(30)]


def test_a_parquet_index_without_name_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(30) ** 2}, index=[f"r{i}" for i in range(30)])
    frame.to_parquet(tmp_path / "t.parquet")
    assert [column.name for column in read_table(tmp_path / "t.parquet").columns] == ["x"]


def test_nested_parquet_columns_are_refused_unless_ignored(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": [[1], [2]], "b": [1, 2]}), file)
    with pytest.raises(DataError, match=r"Column 'a' of t.parquet holds list"):
        read_table(file)
    schema = TableSchema(columns=(ColumnSchema("a", ignore=True),))
    assert [column.name for column in read_table(file, schema=schema).columns] == ["b"]


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=5000)}).to_parquet(file)
    content = file.read_bytes()
    for damaged in (content[:-100], content[:4] + b"\xff" * 40 + content[44:]):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged Parquet"):
            read_table(file)


def test_csv_parquet_and_frame_agree(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "x": np.where(rng.random(5000) < 0.1, np.nan, rng.normal(size=5000)),
            "k": rng.integers(0, 9, 5000),
            "b": rng.integers(0, 2, 5000),
            "s": rng.choice(["u", "v", "w"], 5000),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    tables = [read_table(source, rows=100) for source in (frame, tmp_path / "t.csv", tmp_path / "t.parquet")]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table.frame, tables[0].frame)
        np.testing.assert_array_equal(table.index, tables[0].index)
        for column, other in zip(table.columns, tables[0].columns, strict=True):
            assert (column.name, column.kind, column.categories) == (other.name, other.kind, other.categories)
            assert column.mean == pytest.approx(other.mean, rel=1e-12, nan_ok=True)


def test_a_frame_is_not_changed_and_column_names_become_text() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=[0, 1.5, "c"])
    before = frame.copy(deep=True)
    table = read_table(frame, name="mine")
    pd.testing.assert_frame_equal(frame, before)
    assert table.source == "mine"
    assert table.frame.columns.tolist() == ["0", "1.5", "c"]
