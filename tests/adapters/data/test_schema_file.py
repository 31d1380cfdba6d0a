"""The schema file: what it may say, and what is said where it is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from circuitprobe.adapters.data import ColumnSchema, TableSchema
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind, Scaling

if TYPE_CHECKING:
    from pathlib import Path

COMPLETE = """
separator = ";"
encoding = "latin-1"
missing = ["?", -999]
scaling = "min-max"
target = "income"
[columns.age]
kind = "numeric"
center = 38.6
scale = 13.7
[columns."my col"]
kind = "categorical"
categories = [2, 1.5, "a", true]
[columns.flag]
kind = "binary"
categories = ["no", "yes"]
[columns.id]
kind = "ignore"
[columns.size]
center = 0
scale = 2
"""


def load(tmp_path: Path, content: str) -> TableSchema:
    file = tmp_path / "schema.toml"
    file.write_text(content)
    return TableSchema.load(file)


def test_a_complete_file(tmp_path: Path) -> None:
    schema = load(tmp_path, COMPLETE)
    assert (schema.separator, schema.encoding, schema.target) == (";", "latin-1", "income")
    assert schema.missing == ("?", "-999")
    assert schema.scaling is Scaling.MIN_MAX
    assert schema.ignored == ("id",)
    assert schema.by_name["age"] == ColumnSchema("age", ColumnKind.NUMERIC, center=38.6, scale=13.7)
    assert schema.by_name["my col"].categories == ("2", "1.5", "a", "True")
    assert schema.by_name["flag"].kind is ColumnKind.BINARY
    assert schema.by_name["size"] == ColumnSchema("size", None, center=0.0, scale=2.0)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    schema = load(tmp_path, "")
    assert schema.columns == ()
    assert schema.scaling is None


@pytest.mark.parametrize(
    ("content", "seen", "fix"),
    [
        ("separator = ", "not valid TOML", "correct"),
        ("seperator = ';'", "unknown key 'seperator'", "did you mean 'separator'?"),
        ("[columns.a]\nkinds = 'numeric'", "unknown key 'kinds' in [columns.a]", "did you mean 'kind'?"),
        ("[column.a]\nkind = 'numeric'", "unknown key 'column'", "did you mean 'columns'?"),
        ("separator = ', '", "separator is ', '", ""),
        ("separator = 3", "separator is 3", ""),
        ("encoding = 'klingon'", "encoding is 'klingon'", ""),
        ("scaling = 'normal'", "scaling is 'normal'", ""),
        ("missing = '?'", "missing is '?'", ""),
        ("missing = ['?', '?']", "missing is", ""),
        ("columns = 3", "columns is 3", ""),
        ("[columns]\na = 'numeric'", "columns.a is 'numeric'", ""),
        ("[columns.a]\nkind = 'categoric'", "columns.a.kind is 'categoric'", "did you mean 'categorical'?"),
        ("[columns.a]\nkind = 3", "columns.a.kind is 3", ""),
        ("[columns.a]\nkind = 'binary'\ncategories = ['a', 'b', 'c']", "columns.a.categories", ""),
        ("[columns.a]\nkind = 'numeric'\ncategories = ['a']", "columns.a.kind is 'numeric'", ""),
        ("[columns.a]\nkind = 'categorical'\ncategories = ['a', 'a']", "columns.a.categories", ""),
        ("[columns.a]\ncenter = 3", "columns.a is", ""),
        ("[columns.a]\ncenter = 3\nscale = 0", "columns.a.scale is 0", ""),
        ("[columns.a]\ncenter = nan\nscale = 1", "columns.a.center is nan", ""),
        ("[columns.a]\ncenter = true\nscale = 1", "columns.a.center is True", ""),
        ("[columns.a]\nkind = 'categorical'\ncenter = 1\nscale = 1", "columns.a is", ""),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str, seen: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert seen in caught.value.seen
    assert caught.value.seen.count("schema.toml") == 1
    assert fix in caught.value.fix


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no schema file"):
        TableSchema.load(tmp_path / "none.toml")
    with pytest.raises(DataError, match="cannot be read"):
        TableSchema.load(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        TableSchema.load(tmp_path / "x.toml")


def test_merging_lets_the_other_win() -> None:
    below = TableSchema(
        missing=("?",),
        scaling=Scaling.NONE,
        target="a",
        columns=(ColumnSchema("a", ColumnKind.NUMERIC), ColumnSchema("b", ignore=True)),
    )
    over = TableSchema(missing=("-1",), target="c", columns=(ColumnSchema("b", ColumnKind.BINARY),), source="s.toml")
    merged = below.merged(over)
    assert merged.missing == ("?", "-1")
    assert merged.scaling is Scaling.NONE
    assert merged.target == "c"
    assert merged.by_name["a"].kind is ColumnKind.NUMERIC
    assert merged.by_name["b"] == ColumnSchema("b", ColumnKind.BINARY)
    assert merged.source == "s.toml"
    assert below.merged(None) is below
