"""``circuitprobe check MODEL DATA``: the new model is audited as the baseline was, whatever was chosen there."""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from gate_files import gates
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.checking import make_baseline

ROWS = 90
TRUST = ("--trust",)


class Conditional(nn.Module):
    """Three columns and a condition behind them; each latent drives a column of its own."""

    def __init__(self, *, strength: float = 1.0, latents: tuple[int, ...] = (0, 1, 2)) -> None:
        super().__init__()
        self.mean, self.log_var, self.out = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)
        with torch.no_grad():
            for layer in (self.mean, self.log_var, self.out):
                layer.weight.zero_()
                layer.bias.zero_()
            self.log_var.bias.fill_(-3.0)
            for column, latent in enumerate(latents):
                self.mean.weight[latent, column] = 1.0
                self.out.weight[column, latent] = 1.0
            self.out.weight[0] *= strength
            self.out.weight[:, 3] = 0.1

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_var(x)

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.out(z)
        return out


class Images(nn.Module):
    """A convolutional VAE on 8 x 8 images."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))
        self.decoder = nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Sigmoid()
        )
        with torch.no_grad():
            self.encoder[3].weight.mul_(5)  # type: ignore[operator, union-attr]
            self.decoder[0].weight.mul_(strength)  # type: ignore[operator, union-attr]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(z)
        return image


def make_people(path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, 3))
    frame = pd.DataFrame(rows, columns=["height", "weight", "income"])
    frame["sex"] = rng.integers(0, 2, len(frame))
    frame["label"] = np.where(rows[:, 2] > 0, "good", "bad")
    frame.to_csv(path, index=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, models, and a baseline of old.pt made with every choice that an audit has."""
    folder = tmp_path_factory.mktemp("made")
    make_people(folder / "people.csv")
    torch.save(Conditional(), folder / "old.pt")
    torch.save(Conditional(strength=0.3), folder / "weak.pt")
    torch.save(Conditional(latents=(2, 0, 1)), folder / "permuted.pt")
    report = cp.audit(
        cp.load(folder / "old.pt", trust=True), folder / "people.csv", rows=ROWS, seed=5, condition="sex",
        target="label", groups={"body": ["height", "weight"], "money": ["income"]}, levels=(2,), twin=False,
    )  # fmt: skip
    report.to_json(folder / "a.json")
    make_baseline(folder / "a.json", folder / "base.json")
    return folder


@pytest.fixture
def baseline(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder with a copy of all that; its baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "base.json"


def checked(command: Callable[..., Any], model: str, *options: object) -> Any:
    return command("check", model, "people.csv", "--baseline", "base.json", *TRUST, *options)


def test_audits_as_the_baseline_was(command: Callable[..., Any], baseline: Path) -> None:
    done = checked(command, "old.pt", "--audit-json", "new.json", "--json", "c.json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(Path("new.json").read_text(encoding="utf-8"))
    assert report["data"]["rows_audited"] == ROWS
    assert report["settings"]["seed"] == 5
    assert report["data"]["groups"] == {"body": ["height", "weight"], "money": ["income"]}
    assert report["data"]["target"] == "label"
    assert report["data"]["condition"] == ["sex"]
    result = json.loads(Path("c.json").read_text(encoding="utf-8"))
    assert result["paired"]
    differences = [entry["difference"]["value"] for entry in result["results"] if entry["difference"] is not None]
    assert differences
    assert max(map(abs, differences)) < 1e-8
    # what --audit-json wrote is the next baseline, and without a change to the model the same one
    assert command("baseline", "new.json", "--out", "next.json").code == 0
    assert Path("next.json").read_bytes() == baseline.read_bytes()


def test_a_model_that_got_worse(command: Callable[..., Any], baseline: Path) -> None:
    done = checked(command, "weak.pt", "--json", "c.json", "--audit-json", "new.json")
    assert done.code == 1
    told = [line for line in done.out.splitlines() if line.startswith("!")]
    assert any(line.startswith("! ces of z0 went from") for line in told)
    assert not any("ces of z1" in line or "ces of z2" in line for line in told)
    assert json.loads(Path("c.json").read_text(encoding="utf-8"))["paired"]
    # the audit is kept although the check fails: it is what a renewed baseline is made of
    assert command("check", "new.json", "--baseline", "base.json").code == 1


def test_a_permuted_model_passes(command: Callable[..., Any], baseline: Path) -> None:
    done = checked(command, "permuted.pt")
    assert done.code == 0
    assert "ces of z0 (now z2)" in done.out


def test_quiet_is_quiet(command: Callable[..., Any], baseline: Path) -> None:
    done = checked(command, "weak.pt", "--quiet")
    assert (done.code, done.out, done.err) == (1, "", "")


def test_a_target_that_is_gated(command: Callable[..., Any], baseline: Path) -> None:
    gates(Path("circuitprobe.toml"), {"metric": "auc", "max_drop": 0.05})
    done = checked(command, "old.pt")
    assert done.code == 0
    assert "auc" in done.out


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ({"weight": "width"}, "features: width against weight"),
        ({}, "features: none but the common ones against income"),
    ],
)
def test_other_columns_are_not_comparable(
    command: Callable[..., Any], baseline: Path, rename: dict[str, str], said: str
) -> None:
    """A feature of other name, or one that is constant in the new rows: the baseline's groups do not fit them."""
    frame = pd.read_csv("people.csv").rename(columns=rename)
    if not rename:
        frame["income"] = 1.0
        frame["label"] = np.where(frame["height"] > 0, "good", "bad")
    frame.to_csv("people.csv", index=False)
    done = checked(command, "old.pt", "--junit", "j.xml")
    assert done.code == 3, done.err
    assert said in " ".join(done.err.split())
    assert 'type="NotComparable"' in Path("j.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "data", "options", "word"),
    [
        ("none.pt", "people.csv", (), "none.pt"),
        ("old.pt", "none.csv", (), "none.csv"),
        ("old.pt", "short.csv", (), "sex"),
        ("people.csv", "people.csv", (), "people.csv"),
        ("old.pt", "people.csv", ("--spec", "none.toml"), "none.toml"),
        ("old.pt", "people.csv", ("--audit-json", "no/such.json"), "mkdir -p no"),
        ("old.pt", "people.csv", ("--audit-json", "people.csv"), "read in the same run"),
        ("old.pt", "people.csv", ("--audit-json", "old.pt"), "read in the same run"),
        ("old.pt", "people.csv", ("--audit-json", "x", "--json", "x"), "named for two outputs"),
    ],
)
def test_what_cannot_be_audited_is_exit_2(
    command: Callable[..., Any], baseline: Path, model: str, data: str, options: tuple[str, ...], word: str
) -> None:
    pd.read_csv("people.csv").drop(columns="sex").to_csv("short.csv", index=False)
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    done = command("check", model, data, "--baseline", "base.json", *TRUST, *options, "--junit", "j.xml")
    assert (done.code, done.out) == (2, ""), done.err
    for part in (word, "expected:", "try:"):
        assert part in done.err
    assert "internal error" not in done.err
    cases = ET.parse("j.xml").getroot().findall(".//testcase")  # noqa: S314 - written by us
    assert [case.find("error") is not None for case in cases] == [True] * 7
    Path("j.xml").unlink()
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


def test_images_with_the_patches_of_the_baseline(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Images(), "old.pt")
    torch.save(Images(0.3), "weak.pt")
    pictures = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez("some.npz", x=pictures, y=np.arange(60) % 2)
    how = (*TRUST, "--rows", 50, "--grid", 2, "--levels", 2, "--quiet", "--array", "x")
    assert command("audit", "old.pt", "some.npz", *how, "--json", "a.json").code == 0
    assert command("baseline", "a.json", "--out", "base.json").code == 0
    for model, code in (("old.pt", 0), ("weak.pt", 1)):
        arguments = (model, "some.npz", "--baseline", "base.json", *TRUST, "--array", "x")
        done = command("check", *arguments, "--audit-json", "new.json", "--json", "c.json")
        assert done.code == code, done.out + done.err
        report = json.loads(Path("new.json").read_text(encoding="utf-8"))
        assert report["data"]["image"]["grid"] == [2, 2]
        assert report["data"]["rows_audited"] == 50
        assert json.loads(Path("c.json").read_text(encoding="utf-8"))["paired"]
