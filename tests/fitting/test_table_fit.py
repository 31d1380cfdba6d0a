"""Tables that are not quite what the model was trained on: understood and said, or refused with a command that works."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import circuitprobe as cp
from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.errors import DataError
from circuitprobe.fitting import DataOptions, Fitted, fit
from circuitprobe.reference_models import train
from circuitprobe.types import Posterior, Recognition

FEATURES = ["height", "weight", "annual_income", "city", "smoker"]
FAST = {"twin": False, "levels": (2,), "resamples": 20}


def people(rows: int = 300) -> pd.DataFrame:
    """Three numeric columns, two of texts and a label."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame(
        {
            "height": 170 + 10 * a,
            "weight": 70 + 12 * a + rng.normal(size=rows),
            "annual_income": 3000 + 800 * b,
            "city": np.where(b > 0.5, "Rome", np.where(b < -0.5, "Oslo", "Bonn")),
            "smoker": np.where(a > 0, "yes", "no"),
            "label": np.where(b + 0.5 * rng.normal(size=rows) > 0, "good", "bad"),
        }
    )


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows its columns by name, the label as its target."""
    folder = tmp_path_factory.mktemp("named")
    people().to_csv(folder / "t.csv", index=False)
    train(folder / "t.csv", latents=2, hidden=(8,), steps=60, target="label", seed=0, out=folder / "m.pt")
    return folder / "m.pt"


def with_index(frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    frame = frame.copy()
    frame.insert(0, name, values)
    return frame


ORDER = np.random.default_rng(1).permutation(300)
# the table as it comes -> what the report says of it
UNDERSTOOD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, str], dict[str, str]]] = {
    "as in training": (lambda t: t, {"label": "target"}, {}),
    "other order": (lambda t: t[[*reversed(t.columns)]], {}, {}),
    "other case": (lambda t: t.rename(columns=str.upper), {}, {name: name.upper() for name in FEATURES}),
    "spaces for underscores": (
        lambda t: t.rename(columns={"annual_income": " Annual Income "}),
        {},
        {"annual_income": "Annual Income"},
    ),
    "without the label": (lambda t: t.drop(columns="label"), {}, {}),
    "an index without name": (lambda t: with_index(t, "Unnamed: 0", range(300)), {"Unnamed: 0": "index"}, {}),
    "a shuffled index": (lambda t: with_index(t, "Unnamed: 0", ORDER), {"Unnamed: 0": "index"}, {}),
    "counted from 1": (lambda t: with_index(t, "nr", range(1, 301)), {"nr": "identifier"}, {}),
    "a further column": (lambda t: t.assign(shoe=np.arange(300) ** 0.5), {"shoe": "no input of the model"}, {}),
    "a further column of the same bare name": (
        lambda t: t.assign(HEIGHT=np.arange(300) ** 0.5),
        {"HEIGHT": "no input of the model"},
        {},
    ),
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_tables_that_are_understood_give_the_same_rows(named: Path, tmp_path: Path, case: str) -> None:
    change, left_out, renamed = UNDERSTOOD[case]
    whole = cp.audit(named, people(), **FAST)
    change(people()).to_csv(tmp_path / "t.csv", index=False)
    report = cp.audit(named, tmp_path / "t.csv", **FAST)
    assert report.data.rows_sha256 == whole.data.rows_sha256
    assert [feature.name for feature in report.data.features] == FEATURES
    reasons = {entry.name: entry.reason for entry in report.data.left_out}
    for name, reason in left_out.items():
        assert reason in reasons[name]
    said = {new: old.strip() for new, old in report.data.renamed.items()}
    assert {name: said[name] for name in renamed} == renamed
    assert bool(said) == any(warning.code == "renamed_columns" for warning in report.warnings)


def test_two_columns_that_could_be_the_same_are_not_guessed_between(named: Path) -> None:
    table = people().rename(columns={"height": "Height"}).assign(HEIGHT=0.5)
    with pytest.raises(DataError, match="the model has, the table lacks: 'height'"):
        cp.audit(named, table, **FAST)


def test_a_target_under_the_tables_own_spelling(named: Path) -> None:
    report = cp.audit(named, people().rename(columns=str.upper), target="LABEL", **FAST)
    assert report.downstream is not None


def test_mistyped_names_are_refused_with_a_command_that_renames_them(named: Path, tmp_path: Path) -> None:
    people().rename(columns={"height": "heigth", "smoker": "smokes"}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError) as caught:
        cp.audit(named, tmp_path / "t.csv", **FAST)
    assert "'heigth' as 'height'" in caught.value.fix
    command = shlex.split(caught.value.fix.splitlines()[-1].strip())
    assert command[0] == "python"
    subprocess.run([sys.executable, *command[1:]], check=True, cwd=tmp_path)
    report = cp.audit(named, tmp_path / "renamed.csv", **FAST)
    assert report.data.rows_sha256 == cp.audit(named, people(), **FAST).data.rows_sha256


class Width(nn.Module):
    """A VAE that knows nothing of its columns but how many dimensions they make."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mean, self.log_var, self.out = nn.Linear(width, 2), nn.Linear(width, 2), nn.Linear(2, width)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_var = self.mean(x), self.log_var(x) * 0.01
        return mean, log_var

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.out(z)


NUMERIC = ["height", "weight", "annual_income"]


def numeric(rows: int = 300) -> pd.DataFrame:
    return people(rows)[NUMERIC]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: with_index(t, "Unnamed: 0", range(300)),
        lambda t: with_index(t, "Unnamed: 0", ORDER),
        lambda t: with_index(t, "id", 1000 + 3 * ORDER),
        lambda t: with_index(t, "nr", range(1, 301)),
        lambda t: t.assign(index=range(300)),
    ],
)
def test_an_index_beside_columns_of_the_models_width(tmp_path: Path, change: Callable[..., Any]) -> None:
    change(numeric()).to_csv(tmp_path / "t.csv", index=False)
    found = fit(cp.wrap(Width(3)), tmp_path / "t.csv", DataOptions()).data
    assert [feature.name for feature in found.features] == NUMERIC
    assert any("index" in entry.reason or "identifier" in entry.reason for entry in found.left_out)


def test_a_feature_called_id_that_counts_nothing_stays_one(tmp_path: Path) -> None:
    numeric().rename(columns={"weight": "id"}).to_csv(tmp_path / "t.csv", index=False)
    found = fit(cp.wrap(Width(3)), tmp_path / "t.csv", DataOptions()).data
    assert [feature.name for feature in found.features] == ["height", "id", "annual_income"]


def test_a_mistyped_target_is_refused_with_the_option_to_type(named: Path) -> None:
    with pytest.raises(DataError) as caught:
        cp.audit(named, people(), target="lable", **FAST)
    assert caught.value.fix == "--target label"


def test_ignored_columns_are_said(tmp_path: Path) -> None:
    numeric().assign(case=7 * ORDER + 3).to_csv(tmp_path / "t.csv", index=False)
    found = fit(cp.wrap(Width(3)), tmp_path / "t.csv", DataOptions(ignore=("case",))).data
    assert [(entry.name, entry.reason) for entry in found.left_out] == [("case", "ignored, as asked")]
    with pytest.raises(DataError, match="'cas'") as caught:
        fit(cp.wrap(Width(3)), tmp_path / "t.csv", DataOptions(ignore=("cas",)))
    assert "case" in caught.value.fix


def conditional(width: int, given: int, how: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> ProbedVAE:
    """A conditional VAE that gives back rows that were standardised, and only where the condition comes as it was trained.

    Its encoder takes the group's offset off the rows, its decoder adds it; ``how`` turns the last ``given`` dimensions of a row
    into that offset.
    """

    def offset(rows: torch.Tensor) -> torch.Tensor:
        if rows.shape[1] != given:
            raise ValueError(f"{given} condition dimensions, not {rows.shape[1]}")
        return torch.as_tensor(how(rows.numpy()), dtype=rows.dtype)[:, None]

    def encode(_: nn.Module, x: torch.Tensor) -> Posterior:
        data, condition = x[:, :width], x[:, width:]
        mean = data - offset(condition)
        return Posterior(mean, torch.full_like(mean, -5.0))

    def decode(_: nn.Module, z: torch.Tensor) -> torch.Tensor:
        return z[:, :width] + offset(z[:, width:])

    return ProbedVAE(nn.Linear(1, 1), encode, decode, Recognition("encode", "decode", "given"), "conditional")


def grouped() -> pd.DataFrame:
    table = numeric()
    return table.assign(group=np.arange(300) % 3, town=np.array(["Bonn", "Oslo", "Rome"])[np.arange(300) % 3])


def check_condition(found: Fitted, width: int, names: tuple[str, ...]) -> None:
    assert found.vae.condition_width == width
    assert found.data.x.shape == (300, 3 + width)
    assert [feature.name for feature in found.data.features] == NUMERIC
    assert {dim for feature in found.data.features for dim in feature.dims} == {0, 1, 2}
    assert found.data.condition == names
    assert [latent.name for latent in found.vae.latents] == ["z0", "z1", "z2"]
    reasons = {entry.name: entry.reason for entry in found.data.left_out}
    assert all("condition" in reasons[name] for name in names)


@pytest.mark.parametrize("column", ["group", "town"])
def test_a_condition_that_was_one_hot(column: str) -> None:
    def how(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.where(np.sort(rows, 1)[:, -1] == 1, rows @ [0.0, 1.0, 2.0], np.nan)

    table = grouped()[[*NUMERIC, column]]
    found = fit(conditional(3, 3, how), table, DataOptions(condition=(column,)))
    check_condition(found, 3, (column,))
    np.testing.assert_array_equal(found.data.x[:, 3:], np.eye(3)[np.arange(300) % 3])
    assert found.data.encoding is not None
    assert "condition one-hot" in found.data.encoding.layout


@pytest.mark.parametrize("column", ["group", "town"])
def test_a_condition_that_was_a_class_number(column: str) -> None:
    def how(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return rows[:, 0] if set(rows[:, 0]) == {0, 1, 2} else np.full(len(rows), np.nan)

    table = grouped()[[*NUMERIC, column]]
    found = fit(conditional(3, 1, how), table, DataOptions(condition=(column,)))
    check_condition(found, 1, (column,))
    np.testing.assert_array_equal(found.data.x[:, 3], np.arange(300) % 3)


def test_a_condition_that_was_standardised() -> None:
    age = np.random.default_rng(5).normal(40, 9, 300)

    def how(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.where(abs(rows.mean()) < 0.01, rows[:, 0], np.nan)

    found = fit(conditional(3, 1, how), numeric().assign(age=age), DataOptions(condition=("age",)))
    check_condition(found, 1, ("age",))
    np.testing.assert_allclose(found.data.x[:, 3], (age - age.mean()) / age.std())


def test_several_conditions_stand_in_the_order_that_was_typed() -> None:
    table = grouped().assign(age=np.random.default_rng(5).normal(40, 9, 300))

    def how(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return rows[:, 1:] @ [0.0, 1.0, 2.0] + np.where(rows[:, 0] > 5, 0, np.nan)

    found = fit(conditional(3, 4, how), table.drop(columns="group"), DataOptions(condition=("age", "town")))
    check_condition(found, 4, ("age", "town"))
    np.testing.assert_array_equal(found.data.x[:, 3], table["age"])


def test_widths_count_data_and_condition_together() -> None:
    vae = replace(conditional(3, 3, lambda rows: rows @ [0.0, 1.0, 2.0]), input_width=6)
    table = grouped()[[*NUMERIC, "town"]]
    check_condition(fit(vae, table, DataOptions(condition=("town",))), 3, ("town",))
    with pytest.raises(DataError, match="the model takes"):
        fit(replace(vae, input_width=11), table, DataOptions(condition=("town",)))


def test_a_model_that_takes_no_coding_of_the_condition_is_refused_with_all_that_were_tried() -> None:
    vae = conditional(3, 7, lambda rows: rows[:, 0])
    with pytest.raises(DataError) as caught:
        fit(vae, grouped()[[*NUMERIC, "town"]], DataOptions(condition=("town",)))
    assert "3 dimensions of the data + 1 of the condition (class number)" in caught.value.seen
    assert "3 dimensions of the data + 3 of the condition (one-hot)" in caught.value.seen


def test_conditions_that_cannot_be() -> None:
    vae = conditional(3, 1, lambda rows: rows[:, 0])
    with pytest.raises(DataError, match="no column 'tow' to condition on") as caught:
        fit(vae, grouped(), DataOptions(condition=("tow",)))
    assert "town" in caught.value.fix
    with pytest.raises(DataError, match="is constant"):
        fit(vae, grouped().assign(same=1), DataOptions(condition=("same",)))
    with pytest.raises(DataError, match="has no value in 1 of its 300 rows"):
        table = grouped()
        table.loc[3, "town"] = None
        fit(vae, table, DataOptions(condition=("town",)))


def test_the_command_line_takes_conditions_with_commas() -> None:
    from circuitprobe.options import names

    assert names("label, year") == ("label", "year")
    assert names('"a, b",c') == ("a, b", "c")
    assert names(None) is None
    with pytest.raises(cp.UsageError, match="--condition"):
        names("a,,b")
