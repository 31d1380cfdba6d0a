"""Arrays and tensors in the model's own space."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from circuitprobe.adapters.data import array_data, read_table
from circuitprobe.errors import DataError, UsageError
from circuitprobe.types import FeatureKind


def test_columns_become_features() -> None:
    x = np.column_stack([[0, 1, 1, 0], [0.5, 1, 0, 1], [1, 1, 1, 1]])
    rows, features, index, total = array_data(x)
    np.testing.assert_array_equal(rows, x)
    assert rows.dtype == np.float64
    assert [feature.name for feature in features] == ["x0", "x1", "x2"]
    kinds = [feature.kind for feature in features]
    assert kinds == [FeatureKind.BINARY, FeatureKind.NUMERIC, FeatureKind.NUMERIC]
    assert [feature.dims for feature in features] == [(0,), (1,), (2,)]
    assert features[0].categories == ("0", "1")
    assert index.tolist() == [0, 1, 2, 3]
    assert total == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64, torch.bool])
def test_tensors_of_any_type(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1], [1, 0], [1, 1]]).to(dtype)
    rows, _, _, _ = array_data(tensor)
    np.testing.assert_array_equal(rows, [[0, 1], [1, 0], [1, 1]])


def test_a_tensor_with_gradient_is_left_alone() -> None:
    tensor = torch.randn(5, 2, requires_grad=True)
    rows, _, _, _ = array_data(tensor)
    rows[:] = 7
    assert tensor.requires_grad
    assert (tensor.detach() != 7).all()


def test_rows_are_drawn_as_from_a_table() -> None:
    x = np.random.default_rng(0).normal(size=(5000, 3))
    rows, _, index, total = array_data(x, rows=100, seed=4)
    assert total == 5000
    np.testing.assert_array_equal(index, read_table(pd.DataFrame(x), rows=100, seed=4).index)
    np.testing.assert_array_equal(rows, x[index])


def test_names() -> None:
    _, features, _, _ = array_data(np.eye(3), names=["a", "b", "c"])
    assert [feature.name for feature in features] == ["a", "b", "c"]
    with pytest.raises(DataError, match="There are 2 names"):
        array_data(np.eye(3), names=["a", "b"])
    with pytest.raises(DataError, match="doubled: 'a'"):
        array_data(np.eye(3), names=["a", "b", "a"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float) -> None:
    x = np.ones((4, 3))
    x[2, 1] = x[3, 0] = value
    with pytest.raises(DataError) as caught:
        array_data(x, names=["a", "b", "c"])
    assert f"{value} at row 2, column 1 (b); 2 of its values" in caught.value.seen


@pytest.mark.parametrize(
    ("x", "seen"),
    [
        (np.ones(4), r"shape \(4,\)"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.ones((1, 4)), r"shape \(1, 4\)"),
        (np.ones((4, 0)), r"shape \(4, 0\)"),
        (np.array([["a", "b"], ["c", "d"]]), "holds <U1"),
        (np.ones((3, 2), dtype=complex), "holds complex128"),
    ],
)
def test_arrays_of_the_wrong_kind(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]], seen: str) -> None:
    with pytest.raises(DataError, match=seen):
        array_data(x)


def test_fewer_than_two_audited_rows() -> None:
    with pytest.raises(UsageError):
        array_data(np.eye(3), rows=1)
