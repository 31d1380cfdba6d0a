"""Encodings a stranger's model may have been trained with, and the error where none fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from circuitprobe.adapters.data import ColumnSchema, TableSchema, apply_encoding, candidate_encodings, read_table
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind, Scaling

ROWS = 60
FRAME = pd.DataFrame(
    {
        "colour": ["red", "blue", "green"] * 20,
        "size": np.arange(ROWS) ** 2.0,
        "flag": ["no", "no", "yes"] * 20,
        "zero": [0, 1] * 30,
        "same": [4] * ROWS,
        "id": range(ROWS),
        "rank": [1, 2, 3, 4] * 15,
        "income": ["low", "high"] * 30,
    }
)


def test_all_candidates_are_different_and_in_a_fixed_order() -> None:
    table = read_table(FRAME)
    encodings = candidate_encodings(table, width=None, exclude=["income"])
    assert len({encoding.columns for encoding in encodings}) == len(encodings)
    assert encodings == candidate_encodings(table, width=None, exclude=["income"])
    assert (encodings[0].scaling, encodings[0].layout) == (Scaling.NONE, "columns in file order")
    assert {encoding.width for encoding in encodings} == {7, 8, 9, 10}
    assert {encoding.scaling for encoding in encodings} == set(Scaling) - {Scaling.MODEL}


def test_width_selects() -> None:
    table = read_table(FRAME)
    for width, layout in ((7, "columns in file order"), (8, ", binary columns of texts as two"), (10, ", constant")):
        encodings = candidate_encodings(table, width=width, exclude=["income"])
        assert all(encoding.width == width for encoding in encodings)
        assert any(layout in encoding.layout for encoding in encodings)
        assert any(encoding.layout.startswith("numeric columns first") for encoding in encodings)


def test_get_dummies_is_among_the_candidates() -> None:
    frame = FRAME.drop(columns=["same", "id", "income"])
    dummies = pd.get_dummies(frame).astype(float).to_numpy()
    table = read_table(frame)
    matrices = [apply_encoding(table, e)[0] for e in candidate_encodings(table, width=dummies.shape[1])]
    assert any(np.array_equal(matrix, dummies) for matrix in matrices)


def test_scalers_of_scikit_learn_are_among_the_candidates() -> None:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    frame = FRAME[["size", "zero", "rank"]]
    table = read_table(frame)
    matrices = [apply_encoding(table, encoding)[0] for encoding in candidate_encodings(table, width=3)]
    for scaler in (StandardScaler(), MinMaxScaler()):
        expected = scaler.fit_transform(frame.to_numpy())
        assert any(np.allclose(matrix, expected, atol=1e-12) for matrix in matrices)


def test_the_schemas_scaling_is_the_only_one() -> None:
    table = read_table(FRAME)
    encodings = candidate_encodings(table, width=7, exclude=["income"], schema=TableSchema(scaling=Scaling.MIN_MAX))
    assert {encoding.scaling for encoding in encodings} == {Scaling.MIN_MAX}


def test_declared_centers_and_scales_are_the_models_own() -> None:
    schema = TableSchema(columns=(ColumnSchema("size", center=1, scale=2), ColumnSchema("rank", center=0, scale=4)))
    encodings = candidate_encodings(read_table(FRAME), width=7, exclude=["income"], schema=schema)
    assert {encoding.scaling for encoding in encodings} == {Scaling.MODEL}
    size = next(column for column in encodings[0].columns if column.name == "size")
    assert (size.center, size.scale) == (1, 2)


def test_no_duplicates_without_binary_columns() -> None:
    table = read_table(FRAME[["colour", "size", "rank"]])
    scalings = [encoding.scaling for encoding in candidate_encodings(table, width=None)]
    assert Scaling.STANDARD_ALL not in scalings
    assert len(scalings) == 6  # two layouts, three scalings


def mismatch(width: int, exclude: tuple[str, ...] = ("income",), frame: pd.DataFrame = FRAME) -> DataError:
    with pytest.raises(DataError) as caught:
        candidate_encodings(read_table(frame, name="t.csv"), width=width, exclude=exclude)
    return caught.value


def test_both_sides_are_shown_column_by_column() -> None:
    seen = mismatch(25).seen
    lines = [line.split() for line in seen.splitlines()]
    assert "The columns of t.csv make 7 or 8 or 9 or 10 dimensions, the model takes 25:" in seen
    assert ["colour", "categorical", "3"] in lines
    assert ["size", "numeric", "1"] in lines
    assert ["flag", "binary", "1"] in lines
    assert ["same", "constant", "left", "out"] in lines
    assert ["id", "identifier", "left", "out"] in lines
    assert ["income", "binary", "left", "out", "(target)"] in lines
    assert ["all", "7"] in lines
    assert ["the", "model", "25"] in lines
    assert "write a schema file (--schema)" in mismatch(25).fix


def test_the_target_in_the_table_is_suspected() -> None:
    frame = FRAME[["size", "rank", "income"]]
    error = mismatch(2, exclude=(), frame=frame)
    assert "--target income" in error.fix
    error = mismatch(1, exclude=(), frame=FRAME[["colour", "size"]])
    assert "without 'colour' it would fit; if that is the target: --target colour" in error.fix


def test_a_target_the_model_was_given_is_suspected() -> None:
    assert "with 'income' it would fit" in mismatch(3, frame=FRAME[["size", "rank", "income"]]).fix


def test_an_identifier_the_model_was_given_is_suspected() -> None:
    assert "with 'id' declared kind = \"numeric\"" in mismatch(3, exclude=(), frame=FRAME[["size", "rank", "id"]]).fix


def test_numbers_that_were_categories_are_suspected_and_the_advice_works() -> None:
    frame = FRAME[["size", "rank"]]
    assert "with 'rank (4 values)' declared kind = \"categorical\"" in mismatch(5, exclude=(), frame=frame).fix
    schema = TableSchema(columns=(ColumnSchema("rank", ColumnKind.CATEGORICAL),))
    assert candidate_encodings(read_table(frame, schema=schema), width=5, schema=schema)


def test_a_column_the_benchmark_ignores_is_suspected() -> None:
    table = read_table("adult", rows=10)
    with pytest.raises(DataError) as caught:
        candidate_encodings(table, width=108, exclude=["income"])
    assert "with 'fnlwgt' declared kind = \"numeric\"" in caught.value.fix


def test_many_columns_are_cut_short() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 300)), columns=[f"c{i}" for i in range(300)])
    error = mismatch(7, exclude=(), frame=frame)
    assert "and 270 more columns" in error.seen
    assert len(str(error).splitlines()) < 50


def test_a_dropped_category_per_block_is_named_before_any_column_is_suspected_of_being_the_target() -> None:
    """Two numeric columns and two blocks of 3 make 8 dimensions, with one category dropped per block 6."""
    frame = pd.DataFrame(
        {"height": np.arange(30) * 1.5, "city": ["Rome", "Oslo", "Bonn"] * 10, "grade": ["low", "mid", "high"] * 10}
    )
    frame["noise"] = np.random.default_rng(0).normal(size=30)
    with pytest.raises(DataError) as caught:
        candidate_encodings(read_table(frame), width=6)
    assert "drop_first=True" in caught.value.fix
    assert "--target" not in caught.value.fix
