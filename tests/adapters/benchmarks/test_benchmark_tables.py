"""The tables that come with the package are the published ones and are read as declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from circuitprobe.adapters.benchmarks import BENCHMARKS, benchmark, benchmark_file, benchmark_schema
from circuitprobe.adapters.data import ColumnSchema, TableSchema, fit_encoding, read_table
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = {
    "adult": (48_842, 14),
    "default_credit": (30_000, 24),
    "german_credit": (1_000, 21),
    "wine_quality": (6_497, 13),
}
WIDTHS = {
    "adult": 5 + 9 + 16 + 7 + 15 + 6 + 5 + 42 + 1,  # five numeric columns, seven categorical, sex
    "default_credit": 20 + 2 + 7 + 4,
    "german_credit": 7 + 4 + 5 + 10 + 5 + 5 + 4 + 3 + 4 + 3 + 3 + 4 + 1 + 1,
    "wine_quality": 11,
}
POSITIVE = {
    "adult": (">50K", 11_687),
    "default_credit": ("1", 6_636),
    "german_credit": ("bad", 300),
    "wine_quality": ("good", 4_113),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_read_as_declared(name: str) -> None:
    declared = benchmark(name)
    table = read_table(name, rows=None)
    assert table.source == name
    assert (table.total, len(table.columns)) == SHAPES[name]
    label, count = POSITIVE[name]
    labels = declared.target_labels(table.frame[declared.target])
    assert labels.count(label) == count
    assert len(labels) == table.total
    encoding = fit_encoding(table, exclude=declared.outcomes)
    assert encoding.width == WIDTHS[name]
    grouped = [feature for group in declared.groups for feature in group.features]
    assert sorted(grouped) == sorted(column.name for column in encoding.columns)
    assert not set(declared.ignore) & set(table.frame.columns)
    assert set(declared.not_features) == set(declared.outcomes) | set(declared.ignore)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_notice_gives_every_attribution(name: str, request: pytest.FixtureRequest) -> None:
    notice = (request.config.rootpath / "NOTICE").read_text()
    declared = benchmark(name)
    assert declared.filename in notice
    assert declared.title in notice
    doi = declared.attribution.split("doi ")[1].split(",")[0]
    assert f"https://doi.org/{doi}" in notice
    assert "CC BY 4.0" in declared.attribution


def test_details_of_the_tables() -> None:
    adult = {column.name: column for column in read_table("adult", rows=10).columns}
    assert "?" in adult["workclass"].categories
    assert adult["workclass"].missing == 0
    assert "fnlwgt" not in adult
    credit = {column.name: column for column in read_table("default_credit", rows=10).columns}
    assert credit["education"].categories == tuple("0123456")
    assert credit["sex"].kind is ColumnKind.CATEGORICAL
    assert credit["pay_0"].kind is ColumnKind.NUMERIC
    assert (credit["pay_0"].low, credit["pay_0"].high) == (-2, 8)
    wine = read_table("wine_quality", rows=10)
    assert wine.frame["color"].isin(["red", "white"]).all()
    assert benchmark("wine_quality").outcomes == ("quality", "color")


def test_the_users_schema_wins() -> None:
    over = TableSchema(columns=(ColumnSchema("fnlwgt", ColumnKind.NUMERIC), ColumnSchema("race", ignore=True)))
    merged = benchmark_schema("adult", over)
    assert merged.ignored == ("race",)
    names = [column.name for column in read_table("adult", rows=10, schema=over).columns]
    assert "fnlwgt" in names
    assert "race" not in names
    assert benchmark_schema("adult").by_name["workclass"].kind is ColumnKind.CATEGORICAL


def test_an_existing_file_of_that_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adult").write_text("x,y\n1,a\n2,b\n4,c\n")
    (tmp_path / "wine_quality").mkdir()
    table = read_table("adult")
    assert [column.name for column in table.columns] == ["x", "y"]
    assert read_table("wine_quality", rows=10).total == 6_497


def test_an_unknown_benchmark() -> None:
    with pytest.raises(DataError) as caught:
        benchmark("wine")
    assert "adult, default_credit, german_credit, wine_quality" in caught.value.expected
    with pytest.raises(DataError, match="There is no benchmark"):
        benchmark_schema("iris")


def test_files_are_found_through_the_package() -> None:
    for name in BENCHMARKS:
        assert benchmark_file(benchmark(name)).is_file()


def test_target_labels_of_a_numeric_target() -> None:
    assert benchmark("wine_quality").target_labels(pd.Series([5.0, 6.0, 7.0])) == ("not good", "good", "good")
    assert benchmark("default_credit").target_labels(pd.Series([1.0, 0.0])) == ("1", "0")
