"""Feature groups from a file and by clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from circuitprobe.adapters.data import (
    apply_encoding,
    array_data,
    check_groups,
    cluster_groups,
    encoding_features,
    fit_encoding,
    load_groups,
    read_table,
)
from circuitprobe.errors import DataError
from circuitprobe.types import Decode, Feature, FeatureGroup, FeatureKind

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = ("age", "sex", "pay_0", "pay_2", "bill[1]")


def load(tmp_path: Path, content: str) -> tuple[FeatureGroup, ...]:
    file = tmp_path / "groups.toml"
    file.write_text(content)
    return load_groups(file, FEATURES)


def test_names_and_patterns(tmp_path: Path) -> None:
    groups = load(tmp_path, '[groups]\nstatus = ["pay_*"]\nperson = ["sex", "ag?"]\nbills = ["bill[1]"]')
    assert groups == (
        FeatureGroup("status", ("pay_0", "pay_2")),
        FeatureGroup("person", ("age", "sex")),
        FeatureGroup("bills", ("bill[1]",)),
    )


@pytest.mark.parametrize(
    ("content", "seen", "fix"),
    [
        ("[groups]\na = ['age', 'sex', 'pay_*']", "1 of the features is in no group: 'bill[1]'", '"bill[1]"'),
        ("[groups]\na = ['*']\nb = ['age']", "1 of the features is in more than one group: 'age' in 'a', 'b'", "'age'"),
        ("[groups]\na = ['*', 'agee']", "'agee' in group 'a' is no feature", "did you mean 'age'?"),
        ("[groups]\na = ['*', 'bil_*']", "'bil_*' in group 'a' is no feature", ""),
        ("[groups]\na = 'age'", "group 'a' is 'age'", ""),
        ("[groups]\na = [1]", "group 'a' is [1]", ""),
        ("[groups]\na = []", "group 'a' is []", ""),
        ("[groups]", "no [groups] table with a group in it", ""),
        ("a = ['age']", "has 'a' at the top", ""),
        ("", "no [groups] table", ""),
        ("[groups", "not valid TOML", ""),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str, seen: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert seen in caught.value.seen
    assert fix in caught.value.fix


def test_groups_given_in_python() -> None:
    groups = check_groups({"all but age": ("sex", "pay_*", "bill[1]"), "age": ("age",)}, FEATURES)
    assert [group.name for group in groups] == ["all but age", "age"]
    with pytest.raises(DataError, match="groups: 4 of the features are in no group"):
        check_groups({"a": ["age"]}, FEATURES)


def clustered(frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    table = read_table(frame)
    encoding = fit_encoding(table)
    x, _ = apply_encoding(table, encoding)
    return {group.name: group.features for group in cluster_groups(table, x, encoding_features(encoding))}


def test_columns_that_hang_together_are_grouped() -> None:
    rng = np.random.default_rng(0)
    wealth, shape = rng.normal(size=(2, 500))
    frame = pd.DataFrame(
        {
            "noise": rng.normal(size=500),
            "income": wealth,
            "round": np.where(shape > 0, "yes", "no"),
            "savings": -np.exp(wealth) + rng.normal(size=500) / 10,
            "class": np.select([wealth < -0.5, wealth < 0.5], ["low", "middle"], "high"),
            "form": np.where(shape > 0, "circle", np.where(rng.random(500) < 0.5, "square", "star")),
        }
    )
    assert clustered(frame) == {
        "noise": ("noise",),
        "income + 2 more": ("income", "savings", "class"),
        "round + form": ("round", "form"),
    }


def test_the_cut_is_at_an_average_association_of_0_3() -> None:
    """Two columns of ranks whose Spearman correlation is just above or below 0.3."""
    rng = np.random.default_rng(0)

    def groups(rho: float) -> int:
        first, rest = rng.normal(size=(2, 4000))
        rest -= first * (first @ rest) / (first @ first)
        x = np.column_stack([first, rho * first + np.sqrt(1 - rho**2) * rest])
        _, features, _, _ = array_data(x)
        return len(cluster_groups(None, x, features))

    assert groups(0.25) == 2
    assert groups(0.40) == 1


def test_average_linkage_by_hand() -> None:
    """Orthogonal sign columns mixed so that |rho|: ab 0.6, ac 0.5, bc 0: c joins {a, b} at 1 - (0.5 + 0) / 2 = 0.75."""
    n = 4096
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=(n, 3))]))[0][:, 1:] * np.sqrt(n)
    b, c, rest = basis.T
    x = np.column_stack([0.6 * b + 0.5 * c + np.sqrt(1 - 0.61) * rest, b, c])
    _, features, _, _ = array_data(x, rows=None)
    assert [group.features for group in cluster_groups(None, x, features)] == [("x0", "x1"), ("x2",)]


def test_a_block_of_zeros_is_a_category_of_its_own() -> None:
    codes = np.tile([0, 1, 2], 100)
    x = np.column_stack([codes == 0, codes == 1, np.where(codes == 2, 1.0, 0.0)]).astype(float)
    features = (
        Feature("block", FeatureKind.CATEGORICAL, (0, 1), Decode((0, 1)), ("a", "b")),
        Feature("flag", FeatureKind.BINARY, (2,), Decode((2,)), ("0", "1")),
    )
    assert cluster_groups(None, x, features) == (FeatureGroup("block + flag", ("block", "flag")),)


def test_constant_columns_stand_alone() -> None:
    x = np.column_stack([np.arange(50), np.arange(50) * 2, np.full(50, 0.1), np.full(50, 3)]).astype(float)
    _, features, _, _ = array_data(x)
    assert [group.features for group in cluster_groups(None, x, features)] == [("x0", "x1"), ("x2",), ("x3",)]


def test_one_feature_and_none() -> None:
    x = np.arange(10.0)[:, None]
    _, features, _, _ = array_data(x)
    assert cluster_groups(None, x, features) == (FeatureGroup("x0", ("x0",)),)
    assert cluster_groups(None, x, ()) == ()


def test_group_names_are_unique() -> None:
    walk = np.arange(40.0)
    x = np.column_stack([walk, walk, np.random.default_rng(0).permutation(walk)])
    _, features, _, _ = array_data(x, names=["a", "b", "a + b"])
    groups = cluster_groups(None, x, features)
    assert [group.name for group in groups] == ["a + b", "a + b (2)"]
    assert [group.features for group in groups] == [("a", "b"), ("a + b",)]
