"""From raw columns to model dimensions and the other way round."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from circuitprobe.adapters.data import (
    ColumnSchema,
    TableSchema,
    apply_encoding,
    encoding_features,
    encoding_from_dict,
    encoding_to_dict,
    fit_encoding,
    read_table,
)
from circuitprobe.adapters.data.encoding import BinaryAs
from circuitprobe.errors import DataError
from circuitprobe.types import (
    ColumnEncoding,
    ColumnKind,
    Decode,
    Feature,
    FeatureKind,
    MissingValues,
    Scaling,
    TableEncoding,
)

FRAME = pd.DataFrame(
    {
        "colour": ["red", "blue", "green", "blue"],
        "size": [1.0, 3.0, 5.0, 7.0],
        "flag": ["no", "no", "yes", "no"],
        "zero": [0, 1, 0, 1],
        "same": [4, 4, 4, 4],
        "word": ["w", "w", "w", "w"],
    }
)


def test_standard_encoding_by_hand() -> None:
    encoding = fit_encoding(read_table(FRAME))
    assert [column.name for column in encoding.columns] == ["colour", "size", "flag", "zero"]
    assert encoding.width == 6
    x, missing = apply_encoding(read_table(FRAME), encoding)
    std = np.sqrt(5.0)  # of 1, 3, 5, 7 about 4: (9 + 1 + 1 + 9) / 4
    expected = np.array(
        [
            [0, 0, 1, -3 / std, 0, 0],
            [1, 0, 0, -1 / std, 0, 1],
            [0, 1, 0, 1 / std, 1, 0],
            [1, 0, 0, 3 / std, 0, 1],
        ]
    )
    np.testing.assert_allclose(x, expected, atol=1e-15)
    assert x.dtype == np.float64
    assert missing == ()


@pytest.mark.parametrize(
    ("scaling", "center", "scale"),
    [
        (Scaling.NONE, 0.0, 1.0),
        (Scaling.STANDARD, 4.0, np.sqrt(5.0)),
        (Scaling.STANDARD_ALL, 4.0, np.sqrt(5.0)),
        (Scaling.MIN_MAX, 1.0, 6.0),
    ],
)
def test_scalings(scaling: Scaling, center: float, scale: float) -> None:
    encoding = fit_encoding(read_table(FRAME), scaling=scaling)
    assert encoding.scaling is scaling
    size, flag = encoding.columns[1], encoding.columns[2]
    assert [size.center, size.scale] == pytest.approx([center, scale])
    standardised = scaling is Scaling.STANDARD_ALL
    assert [flag.center, flag.scale] == pytest.approx([0.25, np.sqrt(3) / 4] if standardised else [0.0, 1.0])


def test_statistics_come_from_the_whole_table_not_from_the_audited_rows() -> None:
    values = np.random.default_rng(0).normal(5, 2, 10_000)
    encoding = fit_encoding(read_table(pd.DataFrame({"x": values}), rows=10))
    assert encoding.columns[0].center == pytest.approx(values.mean())
    assert encoding.columns[0].scale == pytest.approx(values.std())


def test_layouts() -> None:
    table = read_table(FRAME)

    def names(encoding: TableEncoding) -> list[str]:
        return [f"{column.name}:{column.width}" for column in encoding.columns]

    assert names(fit_encoding(table, numeric_first=True)) == ["size:1", "zero:1", "colour:3", "flag:1"]
    assert names(fit_encoding(table, binary_as="two")) == ["colour:3", "size:1", "flag:2", "zero:2"]
    assert names(fit_encoding(table, binary_as="two if text")) == ["colour:3", "size:1", "flag:2", "zero:1"]
    assert names(fit_encoding(table, constants=True)) == ["colour:3", "size:1", "flag:1", "zero:1", "same:1"]
    assert names(fit_encoding(table, exclude=["colour", "not there"])) == ["size:1", "flag:1", "zero:1"]
    layouts = [
        fit_encoding(table, numeric_first=first, binary_as=binary_as, constants=kept).layout
        for first in (False, True)
        for binary_as in get_args(BinaryAs)
        for kept in (False, True)
    ]
    assert len(set(layouts)) == 12
    assert layouts[0] == "columns in file order"


def test_two_columns_for_a_binary_one_are_a_one_hot_block() -> None:
    table = read_table(FRAME[["flag", "size"]])
    x, _ = apply_encoding(table, fit_encoding(table, binary_as="two"))
    np.testing.assert_array_equal(x[:, :2], [[1, 0], [1, 0], [0, 1], [1, 0]])


def test_a_kept_constant_is_centred_and_has_scale_one() -> None:
    table = read_table(FRAME)
    x, _ = apply_encoding(table, fit_encoding(table, constants=True))
    np.testing.assert_array_equal(x[:, -1], 0.0)
    raw, _ = apply_encoding(table, fit_encoding(table, constants=True, scaling=Scaling.NONE))
    np.testing.assert_array_equal(raw[:, -1], 4.0)


def test_the_schema_gives_center_and_scale() -> None:
    schema = TableSchema(
        columns=(ColumnSchema("size", center=2.0, scale=0.5), ColumnSchema("zero", center=0.5, scale=0.5))
    )
    table = read_table(FRAME, schema=schema)
    x, _ = apply_encoding(table, fit_encoding(table, schema=schema))
    np.testing.assert_array_equal(x[:, 3], [-2, 2, 6, 10])
    np.testing.assert_array_equal(x[:, 5], [-1, 1, -1, 1])


def test_no_column_left() -> None:
    with pytest.raises(DataError, match="no column that a model could be given"):
        fit_encoding(read_table(FRAME[["same", "word", "size"]]), exclude=["size"])


def test_missing_values_are_filled_and_counted() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 8.0, np.nan], "s": ["a", None, "b", "c", "a"]})
    table = read_table(frame)
    encoding = fit_encoding(table, scaling=Scaling.NONE)
    assert encoding.columns[0].fill == 3.0
    assert encoding.columns[1].categories == ("a", "b", "c", "(missing)")
    x, missing = apply_encoding(table, encoding)
    np.testing.assert_array_equal(x[:, 0], [1, 3, 3, 8, 3])
    np.testing.assert_array_equal(x[1, 1:], [0, 0, 0, 1])
    assert missing == (MissingValues("x", 2, "median 3"), MissingValues("s", 1, "own category"))


def test_missing_values_where_training_saw_none() -> None:
    train = read_table(pd.DataFrame({"x": [1.0, 2.0, 3.0, 9.0], "s": list("abca"), "b": list("nyny")}))
    encoding = fit_encoding(train, scaling=Scaling.NONE)
    assert encoding.columns[0].fill is None
    audit = pd.DataFrame({"x": [5.0, np.nan, 7.0, 9.0], "s": ["a", None, "new", "b"], "b": ["y", None, "y", "x"]})
    x, missing = apply_encoding(read_table(audit), encoding)
    np.testing.assert_array_equal(x[:, 0], [5, 7, 7, 9])
    np.testing.assert_array_equal(x[1:3, 1:4], 0)
    np.testing.assert_array_equal(x[:, 4], [1, 1, 1, 1])
    assert missing == (
        MissingValues("x", 1, "median 7 of the audited rows"),
        MissingValues("s", 1, "no category for missing values: block of zeros"),
        MissingValues("s", 1, "unseen category 'new': block of zeros"),
        MissingValues("b", 1, "no category for missing values: most frequent value 'y'"),
        MissingValues("b", 1, "unseen category 'x': most frequent value 'y'"),
    )


def one(kind: FeatureKind, *categories: str) -> TableEncoding:
    return TableEncoding((ColumnEncoding("x", kind, categories),), Scaling.NONE)


@pytest.mark.parametrize(
    ("values", "encoding", "expected"),
    [
        (list(range(30)), one(FeatureKind.NUMERIC), [[0.0], [1.0], [2.0]]),  # looks like an identifier
        ([5.5] * 30, one(FeatureKind.NUMERIC), [[5.5], [5.5], [5.5]]),  # looks constant
        ([0, 1] * 15, one(FeatureKind.NUMERIC), [[0.0], [1.0], [0.0]]),  # looks binary
        (["3", "1e1", "-2"] * 10, one(FeatureKind.NUMERIC), [[3.0], [10.0], [-2.0]]),  # text that holds numbers
        ([1.0, 2.0, 3.0] * 10, one(FeatureKind.CATEGORICAL, "1", "2", "3"), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([1, 2, 3] * 10, one(FeatureKind.CATEGORICAL, "3.0", "2.0", "1.0"), [[0, 0, 1], [0, 1, 0], [1, 0, 0]]),
        (["1.0", "2", "a"] * 10, one(FeatureKind.CATEGORICAL, "1", "2", "a"), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ([7] * 30, one(FeatureKind.CATEGORICAL, "7", "8"), [[1, 0], [1, 0], [1, 0]]),
        ([1, 2] * 15, one(FeatureKind.BINARY, "1", "2"), [[0], [1], [0]]),
        ([1, 2] * 15, one(FeatureKind.BINARY, "2", "1"), [[1], [0], [1]]),
        ([True, False] * 15, one(FeatureKind.BINARY, "0", "1"), [[1], [0], [1]]),
        ([1, 0] * 15, one(FeatureKind.BINARY, "False", "True"), [[1], [0], [1]]),
        (["TRUE", "false"] * 15, one(FeatureKind.BINARY, "False", "True"), [[1], [0], [1]]),
    ],
)
def test_the_models_own_kinds_win(values: list[object], encoding: TableEncoding, expected: list[list[float]]) -> None:
    x, missing = apply_encoding(read_table(pd.DataFrame({"x": values, "y": range(30)})), encoding)
    np.testing.assert_array_equal(x[:3], expected)
    assert missing == ()


def test_text_where_the_model_has_numbers() -> None:
    table = read_table(pd.DataFrame({"x": ["1", "2", "many", "few"] * 5}), rows=10, seed=1)
    with pytest.raises(DataError) as caught:
        apply_encoding(table, one(FeatureKind.NUMERIC))
    first = next(i for i in table.index if i % 4 > 1)
    assert f"in row {first + 1}" in caught.value.seen


def test_columns_that_are_not_there_are_shown_on_both_sides() -> None:
    train = read_table(pd.DataFrame({"age": [1.0, 2, 4], "hours_per_week": [2.0, 3, 5], "s": list("abc")}))
    audit = read_table(pd.DataFrame({"age": [1.0, 2, 4], "hours-per-week": [2.0, 3, 5], "other": [1.5, 2, 7]}))
    with pytest.raises(DataError) as caught:
        apply_encoding(audit, fit_encoding(train))
    assert "lacks 2 of the model's 3 columns" in caught.value.seen
    assert "the model has, the table lacks: 'hours_per_week', 's'" in caught.value.seen
    assert "the table has, the model lacks: 'hours-per-week', 'other'" in caught.value.seen
    assert "if the table has 'hours-per-week' as 'hours_per_week', rename" in caught.value.fix


def test_the_order_of_the_tables_columns_does_not_matter() -> None:
    table = read_table(FRAME)
    encoding = fit_encoding(table)
    x, _ = apply_encoding(table, encoding)
    shuffled, _ = apply_encoding(read_table(FRAME[FRAME.columns[::-1]]), encoding)
    np.testing.assert_array_equal(shuffled, x)


def test_features_span_their_dimensions() -> None:
    features = encoding_features(fit_encoding(read_table(FRAME), scaling=Scaling.STANDARD_ALL))
    assert features[0] == Feature(
        "colour", FeatureKind.CATEGORICAL, (0, 1, 2), Decode((0, 1, 2)), ("blue", "green", "red")
    )
    assert features[1] == Feature("size", FeatureKind.NUMERIC, (3,), Decode((3,)))
    flag = features[2]
    assert (flag.kind, flag.dims, flag.categories) == (FeatureKind.BINARY, (4,), ("no", "yes"))
    x, _ = apply_encoding(read_table(FRAME), fit_encoding(read_table(FRAME), scaling=Scaling.STANDARD_ALL))
    np.testing.assert_allclose(x[:, 4] * flag.decode.scale + flag.decode.center, [0, 0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("scaling", list(Scaling))
def test_an_encoding_survives_being_stored(scaling: Scaling) -> None:
    frame = FRAME.assign(gap=[1.0, np.nan, 3.0, 3.5], hole=pd.Series(["a", None, "b", "c"]))
    encoding = replace(fit_encoding(read_table(frame)), scaling=scaling)
    plain = encoding_to_dict(encoding)
    assert encoding_from_dict(plain) == encoding
    assert encoding_from_dict(json.loads(json.dumps(plain))) == encoding
    assert plain_types(plain) <= {str, float, list, dict}


def plain_types(value: Any) -> set[type]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {type(value)}.union(*(plain_types(each) for each in inside))


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: plain.pop("scaling"),
        lambda plain: plain.update(more=1),
        lambda plain: plain.update(scaling="magic"),
        lambda plain: plain.update(scaling=["none"]),
        lambda plain: plain.update(columns=[]),
        lambda plain: plain.update(columns="age"),
        lambda plain: plain["columns"].append(3),
        lambda plain: plain["columns"].append(plain["columns"][0]),
        lambda plain: plain["columns"][0].update(kind="pixel"),
        lambda plain: plain["columns"][0].update(kind=["numeric"]),
        lambda plain: plain["columns"][0].update(categories=["a", 1]),
        lambda plain: plain["columns"][0].update(categories=[]),
        lambda plain: plain["columns"][1].update(categories=["a"]),
        lambda plain: plain["columns"][1].update(scale=0.0),
        lambda plain: plain["columns"][1].update(center=float("nan")),
        lambda plain: plain["columns"][1].update(center="4"),
        lambda plain: plain["columns"][1].update(fill=None),
        lambda plain: plain["columns"][1].update(name=None),
    ],
)
def test_a_damaged_stored_encoding_is_refused(damage: Any) -> None:
    plain = encoding_to_dict(fit_encoding(read_table(FRAME)))
    damage(plain)
    with pytest.raises(DataError, match="data schema of the checkpoint makes no sense"):
        encoding_from_dict(plain)
    with pytest.raises(DataError):
        encoding_from_dict("age")  # type: ignore[arg-type]


@settings(max_examples=40)
@given(
    hnp.arrays(np.float64, (12, 2), elements=st.floats(-1e6, 1e6, allow_subnormal=False)),
    st.lists(st.sampled_from("abcd"), min_size=12, max_size=12),
    st.sampled_from([Scaling.NONE, Scaling.STANDARD, Scaling.MIN_MAX]),
)
def test_values_can_be_read_back(numbers: np.ndarray[Any, Any], letters: list[str], scaling: Scaling) -> None:
    """Whatever the scaling, x * scale + center gives the numbers and the one-hot block gives the letters."""
    frame = pd.DataFrame({"p": numbers[:, 0], "s": letters, "q": numbers[:, 1]})
    schema = TableSchema(columns=tuple(
        ColumnSchema(name, ColumnKind.NUMERIC if name != "s" else ColumnKind.CATEGORICAL) for name in "psq"
    ))  # fmt: skip
    table = read_table(frame, schema=schema)
    encoding = fit_encoding(table, scaling=scaling)
    x, missing = apply_encoding(table, encoding)
    assert np.isfinite(x).all()
    assert missing == ()
    for feature, column in zip(encoding_features(encoding), encoding.columns, strict=True):
        block = x[:, list(feature.dims)]
        if column.kind is FeatureKind.NUMERIC:
            np.testing.assert_allclose(block[:, 0] * column.scale + column.center, frame[column.name], atol=1e-6)
        else:
            assert [column.categories[i] for i in block.argmax(axis=1)] == letters
            np.testing.assert_array_equal(block.sum(axis=1), 1)
