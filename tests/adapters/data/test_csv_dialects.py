"""CSV files as people and their programs write them."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitprobe.adapters.data import ColumnSchema, TableSchema, read_table
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind

if TYPE_CHECKING:
    from pathlib import Path

    from circuitprobe.types import Table

PLAIN = "size,colour,score\n" + "".join(f"{i}.5,{'réd' if i % 2 else 'blue'},{i % 7}\n" for i in range(40))


def read(tmp_path: Path, content: str | bytes, name: str = "table.csv", schema: TableSchema | None = None) -> Table:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(file, schema=schema)


def assert_plain(table: Table) -> None:
    assert [column.name for column in table.columns] == ["size", "colour", "score"]
    assert table.total == 40
    assert table.frame["size"].tolist() == [i + 0.5 for i in range(40)]
    assert table.frame["colour"].tolist() == ["blue", "réd"] * 20
    assert table.frame["score"].tolist() == [float(i % 7) for i in range(40)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", ":", "~"])
def test_separators_are_detected(tmp_path: Path, separator: str) -> None:
    assert_plain(read(tmp_path, PLAIN.replace(",", separator)))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_encodings_are_detected(tmp_path: Path, encoding: str) -> None:
    assert_plain(read(tmp_path, PLAIN.encode(encoding)))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_do_not_matter(tmp_path: Path, end: str) -> None:
    assert_plain(read(tmp_path, PLAIN.replace("\n", end).encode()))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_are_known_by_their_content(tmp_path: Path, pack: object) -> None:
    assert_plain(read(tmp_path, pack(PLAIN.encode()), name="table.dat"))  # type: ignore[operator]


def test_blank_lines_before_between_and_after_are_no_rows(tmp_path: Path) -> None:
    head, body = PLAIN.split("\n", 1)
    assert_plain(read(tmp_path, f"\n\n{head}\n\n{body}\n\n\n"))


def test_latin_bytes_far_below_an_ascii_beginning(tmp_path: Path) -> None:
    body = "x,s\n" + "1.5,a\n2.5,b\n" * 60_000
    table = read(tmp_path, body.encode() + "3.5,é\n".encode("latin-1"))
    assert table.total == 120_001
    assert table.columns[1].categories == ("a", "b", "é")


def test_bytes_that_no_code_page_but_latin_1_has(tmp_path: Path) -> None:
    table = read(tmp_path, b"x,s\n1,\x81\xe9\n2,a\n3,b\n")
    assert table.columns[1].categories == ("a", "b", "\x81é")


def test_excel_in_germany(tmp_path: Path) -> None:
    rows = "".join(f'"Müller\r\n& Co";{i},5;1.{i + 100},25;0{i % 9 + 1}.01.2024\r\n' for i in range(30))
    table = read(tmp_path, "\ufeffName;Preis;Umsatz;Datum\r\n" + rows + "\r\n\r\n")
    assert table.frame["Name"].unique().tolist() == ["Müller\r\n& Co"]
    assert table.frame["Preis"].tolist() == [i + 0.5 for i in range(30)]
    assert table.frame["Umsatz"].tolist() == [1000 + i + 100.25 for i in range(30)]
    assert [column.kind for column in table.columns] == [
        ColumnKind.CONSTANT,
        ColumnKind.NUMERIC,
        ColumnKind.NUMERIC,
        ColumnKind.CATEGORICAL,
    ]


def test_excel_says_its_separator_in_the_first_line(tmp_path: Path) -> None:
    assert_plain(read(tmp_path, "sep=;\r\n" + PLAIN.replace(",", ";")))


@pytest.mark.parametrize(
    ("cell", "others", "separator", "value"),
    [
        ("3,5", "1", ";", 3.5),
        ("0,125", "1", ";", 0.125),
        ("1.250,5", "1", ";", 1250.5),
        ("1.250", "2,75", ";", 1250.0),  # the file writes decimal commas: points group thousands
        ("1.250", "2.75", ";", 1.25),
        ("1,250", "2.75", "\t", 1250.0),  # and the other way round
        ('"1,250"', "2.75", ",", 1250.0),
        ("1 250,5", "1", ";", 1250.5),
        ("1\u202f250", "1", ",", 1250.0),
        ("  7.5 ", "1", ",", 7.5),
        ("+7.5", "1", ",", 7.5),
        ("-7.", "1", ",", -7.0),
        (".5", "1", ",", 0.5),
        ("1e-3", "1", ",", 0.001),
        ("2,5E2", "1", ";", 250.0),
        ('"4.25"', "1", ",", 4.25),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, cell: str, others: str, separator: str, value: float) -> None:
    lines = [f"{cell}{separator}{others}", *(f"{i}{separator}{others}" for i in range(30, 0, -2))]
    table = read(tmp_path, f"x{separator}y\n" + "\n".join(lines) + "\n")
    assert table.columns[0].kind is ColumnKind.NUMERIC
    assert table.frame["x"].iloc[0] == value


def test_a_comma_inside_quotes_is_no_decimal_comma_where_commas_separate(tmp_path: Path) -> None:
    table = read(tmp_path, "x,y\n" + '"3,5",1\n"4,5",2\n"5,5",3\n')
    assert table.columns[0].kind is ColumnKind.CATEGORICAL
    assert table.columns[0].categories == ("3,5", "4,5", "5,5")


def test_quoted_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = read(tmp_path, '"na\nme",x\n' + '"a, ""b""\nc",1\n"plain",2\n' * 10)
    assert [column.name for column in table.columns] == ["na\nme", "x"]
    assert table.columns[0].categories == ('a, "b"\nc', "plain")
    assert table.total == 20


def test_separators_at_the_end_of_every_line(tmp_path: Path) -> None:
    assert_plain(read(tmp_path, "".join(f"{line},,\n" for line in PLAIN.splitlines())))


def test_an_index_written_by_pandas(tmp_path: Path) -> None:
    lines = PLAIN.splitlines()
    table = read(tmp_path, "\n".join(["," + lines[0], *(f"{i},{line}" for i, line in enumerate(lines[1:]))]))
    assert table.columns[0].name == "Unnamed: 0"
    assert table.columns[0].kind is ColumnKind.IDENTIFIER
    assert [column.name for column in table.columns[1:]] == ["size", "colour", "score"]


def test_columns_of_a_frame_without_names_are_numbered(tmp_path: Path) -> None:
    table = read(tmp_path, "0,1,2\n" + PLAIN.split("\n", 1)[1])
    assert [column.name for column in table.columns] == ["0", "1", "2"]
    assert table.total == 40


def test_cells_are_trimmed(tmp_path: Path) -> None:
    table = read(tmp_path, "x, s\n1, Private\n2,Private \n3, State\n4, NA\n5,   \n")
    assert table.columns[1].name == "s"
    assert table.columns[1].categories == ("Private", "State")
    assert table.columns[1].missing == 2


@pytest.mark.parametrize("token", ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", '""', "#N/A"])
def test_tokens_that_mean_missing(tmp_path: Path, token: str) -> None:
    table = read(tmp_path, f"x,s\n1.5,a\n{token},{token}\n2.5,b\n7.5,c\n")
    assert table.columns[0].kind is ColumnKind.NUMERIC
    assert [column.missing for column in table.columns] == [1, 1]
    assert np.isnan(table.frame["x"].iloc[1])
    assert table.frame["s"].iloc[1] is None
    assert table.columns[0].mean == pytest.approx((1.5 + 2.5 + 7.5) / 3)


def test_a_question_mark_is_a_category(tmp_path: Path) -> None:
    table = read(tmp_path, "x,s\n1,a\n2,?\n3,b\n9,a\n")
    assert table.columns[1].categories == ("?", "a", "b")
    assert table.columns[1].missing == 0


def test_the_schema_declares_missing_tokens(tmp_path: Path) -> None:
    content = "x,s\n1,a\n2,?\n-999,b\n-999.0,a\n7,b\n"
    table = read(tmp_path, content, schema=TableSchema(missing=("?", "-999")))
    assert table.columns[1].missing == 1
    assert table.columns[0].missing == 2
    assert table.columns[0].low == 1
    assert np.isnan(table.frame["x"].to_numpy()[[2, 3]]).all()


def test_the_schema_names_separator_and_encoding(tmp_path: Path) -> None:
    content = PLAIN.replace(",", "#").encode("cp1250")
    table = read(tmp_path, content, schema=TableSchema(separator="#", encoding="cp1250"))
    assert_plain(table)


def test_a_wrong_encoding_in_the_schema_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not utf-8 text"):
        read(tmp_path, PLAIN.encode("latin-1"), schema=TableSchema(encoding="utf-8"))


def test_a_single_column(tmp_path: Path) -> None:
    table = read(tmp_path, "x\n1.5\n2.5\n\n2.5\n")
    assert table.total == 3
    assert table.frame["x"].tolist() == [1.5, 2.5, 2.5]


def test_ignored_columns_are_never_looked_at(tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSchema("empty", ignore=True), ColumnSchema("bad", ignore=True)))
    table = read(tmp_path, "empty,x,bad\n,1,inf\n,2,abc\n,4,3\n", schema=schema)
    assert [column.name for column in table.columns] == ["x"]
    assert table.frame.columns.tolist() == ["x"]


@settings(max_examples=50)
@given(
    cells=st.lists(st.text('ab ,;|"\n\té0.', max_size=6), min_size=2, max_size=30),
    separator=st.sampled_from(",;|\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
)
def test_whatever_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], separator: str, encoding: str
) -> None:
    texts = ["v" + cell for cell in cells]
    frame = pd.DataFrame({"text": texts, "x": [i * 0.5 for i in range(len(texts))], "s": texts[::-1]})
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    frame.to_csv(file, sep=separator, encoding=encoding, index=False)
    schema = TableSchema(columns=(ColumnSchema("x", ColumnKind.NUMERIC),))
    table = read_table(file, schema=schema)
    assert table.frame["text"].tolist() == [text.strip() for text in texts]
    assert table.frame["s"].tolist() == [text.strip() for text in texts[::-1]]
    assert table.frame["x"].tolist() == frame["x"].tolist()


def test_five_hundred_columns(tmp_path: Path) -> None:
    names = ",".join(f"c{i}" for i in range(500))
    body = "".join(",".join(str(i * j % 13 + 0.5) for i in range(500)) + "\n" for j in range(30))
    table = read(tmp_path, f"{names}\n{body}")
    assert len(table.columns) == 500
    assert table.frame["c499"].iloc[7] == 499 * 7 % 13 + 0.5
