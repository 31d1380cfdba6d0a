"""Files and columns that cannot be used: one clear message, with the place and the next step."""

from __future__ import annotations

import gzip
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from circuitprobe.adapters.data import ColumnSchema, TableSchema, read_table
from circuitprobe.errors import DataError, UsageError
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from pathlib import Path

BODY = "".join(f"{i * 1.5},{i % 7}\n" for i in range(40))


def refused(tmp_path: Path, content: str | bytes, name: str = "t.csv", schema: TableSchema | None = None) -> DataError:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_table(file, schema=schema)
    return caught.value


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("", "is empty"),
        ("\n \r\n", "is empty"),
        ("x,y\n", "no rows"),
        ("x,y", "no rows"),
        ("x,y\n\n\n", "no rows"),
        ("x,y\n1,2\n", "only 1 row"),
        ("3,4.5,1\n" + "1,2.5,2\n" * 5, "holds numbers: 3, 4.5, 1"),
        ("3;4,5\n" + "1;2,5\n" * 5, "holds numbers: 3, 4,5"),
        (",,\n1,2,3\n4,5,6\n", "no column names"),
        ("x,y,x,y\n1,2,3,4\n2,3,4,5\n", "'x' in columns 1, 3; 'y' in columns 2, 4"),
        ("x,,z\n1,2,3\n4,5,6\n", "Column 1 of t.csv (counted from 0) has values and no name"),
        ("x,y\n1,\n2,NA\n3,nan\n", "Column 'y' of t.csv has no value in any of its 3 rows"),
        (",".join(f"c{i}" for i in range(2001)) + "\n" + BODY, "2,001 columns"),
        (b"x,y\n1,\x00\n2,3\n", "NUL or control bytes"),
        (b"\x00\x01\x02\x03" * 200, "NUL or control bytes"),
        (pickle.dumps({"x": 1}), "Python pickle"),
        (b"PK\x03\x04rest", "zip archive or an Excel workbook"),
        (b"\x93NUMPY\x01\x00", "NumPy array"),
        (b"PAR1" + b"nonsense" * 9, "damaged Parquet"),
        (gzip.compress(BODY.encode() * 90)[:150], "cannot be unpacked"),
        (("x,y\n" + BODY).encode("utf-16")[:-1], "is not utf-16 text"),
    ],
)
def test_unusable_files(tmp_path: Path, content: str | bytes, seen: str) -> None:
    error = refused(tmp_path, content)
    assert seen in error.seen
    assert error.expected
    assert error.fix


def test_no_such_file_suggests_benchmarks_and_neighbours(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_table("german_kredit")
    assert "did you mean 'german_credit'?" in caught.value.fix
    (tmp_path / "sales.csv").write_text("x,y\n" + BODY)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "sale.csv")
    assert "sales.csv" in caught.value.fix
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "nowhere" / "sales.csv")
    assert "no directory" in caught.value.fix


def test_a_directory_and_an_address(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a directory"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="is an address"):
        read_table("https://example.org/x.csv")


@pytest.mark.parametrize(
    ("content", "line", "fields"),
    [
        ("a,b\n" + BODY + "1\n" + BODY, 42, "1 field"),
        ("a,b\n" + BODY + "1,2,3,4\n", 42, "4 fields"),
        ('a,b\n"x\ny",1\n\n"z",2\n1,2,3\n', 6, "3 fields"),
        ("\n\na,b\n1,2\n1,2,3\n", 5, "3 fields"),
        ('"a\nb",c\n1,2\n1,2,3\n', 4, "3 fields"),
        ("a,b\n" + BODY * 20_000 + "1,2,3\n", 800_002, "3 fields"),
    ],
)
def test_ragged_rows_are_named_by_line(tmp_path: Path, content: str, line: int, fields: str) -> None:
    error = refused(tmp_path, content)
    assert f"line {line}: {fields}." in error.seen
    assert "2 as in the header" in error.expected


def test_ragged_rows_that_tell_their_cause(tmp_path: Path) -> None:
    assert "at the end of line 2" in refused(tmp_path, "a,b\n1,2,\n3,4,\n").fix
    assert "name for the first column" in refused(tmp_path, "a,b\nr1,1,2\nr2,3,4\n").fix
    assert "never closed" in refused(tmp_path, 'a,b\n1,2\n"3,4\n5,6\n').fix


@pytest.mark.parametrize("rest", ["5,6\n" * 3, "5,6\n" * 2_000_000])
def test_a_quote_that_is_never_closed(tmp_path: Path, rest: str) -> None:
    error = refused(tmp_path, 'a,b\n1,2\n3,"4\n' + rest)
    assert "line 3" in str(error)
    assert "never closed" in error.fix


def test_text_in_a_numeric_column(tmp_path: Path) -> None:
    error = refused(tmp_path, "x,y\n" + BODY + '\n"3",abc\n4,?\n5,abc\n')
    assert "Column 'y' of t.csv holds 'abc' in line 43" in error.seen
    assert "3 of its 43 values are no numbers ('abc', '?')" in error.seen
    assert 'missing = ["abc", "?"]' in error.fix
    assert '[columns.y]\n    kind = "categorical"' in error.fix


def test_the_advice_about_text_in_a_numeric_column_works(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("x,my col\n" + BODY + "1,?\n")
    with pytest.raises(DataError) as caught:
        read_table(file)
    before, after = caught.value.fix.split("  or, if")
    for advice, kind in ((before, ColumnKind.NUMERIC), (after, ColumnKind.CATEGORICAL)):
        toml = tmp_path / "schema.toml"
        toml.write_text("\n".join(line for line in advice.splitlines() if "=" in line or line.strip().startswith("[")))
        assert read_table(file, schema=TableSchema.load(toml)).columns[1].kind is kind


def test_text_far_below_the_numbers_is_found(tmp_path: Path) -> None:
    error = refused(tmp_path, "x,y\n" + BODY * 20_000 + "1,abc\n")
    assert "holds 'abc' in line 800002: 1 of its 800,001 values is no number" in error.seen


def test_a_column_declared_numeric_with_text_in_it(tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSchema("y", kind=ColumnKind.NUMERIC),))
    error = refused(tmp_path, "x,y\n1,a\n2,b\n3,4\n", schema=schema)
    assert "holds 'a' in line 2" in error.seen
    assert "the schema declares the column numeric" in error.expected


@pytest.mark.parametrize("value", ["inf", "-inf", "Infinity", "1e999"])
def test_infinite_numbers(tmp_path: Path, value: str) -> None:
    error = refused(tmp_path, f"x,y\n{BODY}1,{value}\n")
    assert "Column 'y'" in error.seen
    assert "inf in line 42" in error.seen


def test_numbers_too_large_for_a_variance(tmp_path: Path) -> None:
    assert "from -1e+200 to 1e+200" in refused(tmp_path, "x,y\n1,1e200\n2,-1e200\n3,5\n").seen


def test_declared_kinds_that_cannot_be(tmp_path: Path) -> None:
    binary = TableSchema(columns=(ColumnSchema("y", kind=ColumnKind.BINARY),))
    assert "has 7 different values" in refused(tmp_path, "x,y\n" + BODY, schema=binary).seen
    categorical = TableSchema(columns=(ColumnSchema("x", kind=ColumnKind.CATEGORICAL),))
    many = "x,y\n" + "".join(f"{i},{i % 3}\n" for i in range(1500))
    assert "more than 1,000 different values" in refused(tmp_path, many, schema=categorical).seen


def test_a_schema_that_names_a_column_the_table_lacks(tmp_path: Path) -> None:
    error = refused(tmp_path, "size,y\n" + BODY, schema=TableSchema(columns=(ColumnSchema("sise", ignore=True),)))
    assert "'sise'" in error.seen
    assert "did you mean 'size'?" in error.fix
    assert "'target'" in refused(tmp_path, "x,y\n" + BODY, schema=TableSchema(target="target")).seen


def test_a_schema_that_ignores_everything(tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSchema("x", ignore=True), ColumnSchema("y", ignore=True)))
    assert "no columns left" in refused(tmp_path, "x,y\n" + BODY, schema=schema).seen


@pytest.mark.parametrize(
    ("frame", "seen"),
    [
        (pd.DataFrame({"a": [[1], [2]]}), "values of type list"),
        (pd.DataFrame({"a": [1 + 2j, 3]}), "complex numbers"),
        (pd.DataFrame({"a": [b"x", b"y"]}), "values of type bytes"),
        (pd.DataFrame({"a": [1.0, np.inf, 3.0]}), "holds inf in row 2"),
        (pd.DataFrame({"a": [np.nan, np.nan]}), "no value in any"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.DataFrame(index=range(5)), "no columns"),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), "2 levels"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]), "'1' in columns 1, 2"),
        (pd.DataFrame({"a": pd.Series([*range(30), "?"], dtype=object)}), "holds '?' in row 31"),
    ],
)
def test_unusable_frames(frame: pd.DataFrame, seen: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(frame)
    assert seen in caught.value.seen


def test_not_a_table_at_all() -> None:
    with pytest.raises(DataError, match="is a list"):
        read_table([1, 2])  # type: ignore[arg-type]


def test_fewer_than_two_audited_rows() -> None:
    with pytest.raises(UsageError, match="rows is 1"):
        read_table("wine_quality", rows=1)


def test_an_error_while_reading_leaves_no_open_file(tmp_path: Path) -> None:
    refused(tmp_path, "x,y\n" + BODY + "1\n")
    (tmp_path / "t.csv").unlink()
    assert list(tmp_path.iterdir()) == []
