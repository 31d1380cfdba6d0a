"""The rendered benchmark on the command line and in Python: audited, inspected, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.benchmarks import dsprites


class Coarse(nn.Module):
    """An untrained VAE on 64 x 64 images, its latents the brightness of quarters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(4, 6))
        self.decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4096), nn.Sigmoid())
        with torch.no_grad():
            self.encoder[2].weight.mul_(5)  # type: ignore[operator, union-attr]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(z).reshape(-1, 1, 64, 64)
        return image


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.save(Coarse(), tmp_path / "m.pt")
    return tmp_path / "m.pt"


FAST = ("--trust", "--levels", "2", "--rows", "60", "--grid", "2", "--pixels", "unit", "--truth-rows", "0")


def test_audit_by_name(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    done = command("audit", model, "dsprites", *FAST, "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    assert "on dsprites (60 of 737,280 rows, 4 features" in " ".join(done.out.split())
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["data"]["source"] == "dsprites"
    assert report["data"]["rows_total"] == 737_280
    assert "rendered from the factors of dSprites" in report["data"]["image"]["stored"]
    # nobody named a target: the benchmark has one
    assert report["data"]["target"] == "shape"
    assert report["downstream"]["classes"] == ["0", "1", "2"]


def test_an_exported_archive_gives_the_same_audit(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    """The rows of the archive are those that the audit draws, so that every figure is the same."""
    assert command("data", "export", "dsprites", tmp_path / "d.npz", "--rows", 60).code == 0
    reports = []
    for source in ("dsprites", tmp_path / "d.npz"):
        done = command("audit", model, source, *FAST, "--target", "scale", "--json", tmp_path / "a.json")
        assert done.code == 0, done.err
        reports.append(json.loads((tmp_path / "a.json").read_text()))
    by_name, archive = reports
    assert archive["data"]["image"]["stored"].endswith(
        "recognised as a dSprites archive; its pickled metadata was not opened"
    )
    assert by_name["data"]["rows_sha256"] == archive["data"]["rows_sha256"]
    for part in ("reconstruction", "latents", "downstream"):
        assert by_name[part] == archive[part]


def test_other_factors_as_targets(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    """The one with the most classes is a label like any other."""
    fast = (*FAST[:-6], "--rows", "700", *FAST[-4:])
    done = command("audit", model, "dsprites", *fast, "--target", "orientation", "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "a.json").read_text())
    assert len(report["downstream"]["classes"]) == 40


def test_too_few_rows_for_a_target_that_nobody_named(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    few = [*FAST, "--rows", "6", "--json", tmp_path / "a.json"]
    assert command("audit", model, "dsprites", *few).code == 0
    assert json.loads((tmp_path / "a.json").read_text())["data"]["target"] is None
    refused = command("audit", model, "dsprites", *few, "--target", "shape")
    assert refused.code == 2
    assert "audit more rows" in refused.err


def test_inspect_by_name(command: Callable[..., Any], model: Path) -> None:
    done = command("inspect", model, "dsprites", "--trust", "--rows", 50)
    assert done.code == 0, done.err
    out = " ".join(done.out.split())
    assert "50 of 737,280 rows of dsprites" in out
    assert "agree with the published images up to a few border pixels" in out
    assert "given as 1 x 64 x 64" in out


def test_in_python() -> None:
    options = {"rows": 60, "grid": 2, "levels": (1,), "target": "scale", "pixels": "unit", "seed": 3}
    report = cp.audit(Coarse(), "dsprites", truth_rows=90, **options)  # type: ignore[arg-type]
    assert (report.data.source, report.data.target) == ("dsprites", "scale")
    assert report.ground_truth is not None
    assert (report.ground_truth.rows_train, report.ground_truth.rows_test) == (60, 30)
    assert report.ground_truth.names == ("shape", "scale", "orientation", "posX", "posY")
    without = cp.audit(Coarse(), "dsprites", truth_rows=0, **options)  # type: ignore[arg-type]
    assert without.ground_truth is None
    assert without.not_run == ()
    found = cp.inspect(Coarse(), "dsprites", rows=20, grid=2, pixels="unit")
    assert found.data is not None
    assert found.data.rows_audited == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dsprites", "--target", "shap"), ("no factor 'shap'", "'orientation'", "did you mean 'shape'")),
        (("dsprites", "--array", "imgs"), ("--array imgs",)),
        (("dsprites", "--condition", "shape"), ("--condition", "with images")),
        (("dsprites", "--ignore", "shape"), ("--ignore", "with images")),
        (("dsprites", "--schema", "s.toml"), ("--schema", "with images")),
        (("dsprites", "--groups", "g.toml"), ("g.toml", "patch")),
        (("dsprite",), ("did you mean 'dsprites'?", "wine_quality; dsprites")),
    ],
)
def test_refusals(
    command: Callable[..., Any], model: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "s.toml").write_text('[columns.shape]\nkind = "numeric"\n')
    (tmp_path / "g.toml").write_text('[groups]\nall = ["shape"]\n')
    done = command("audit", model, *arguments[:1], *FAST, *arguments[1:], "--json", tmp_path / "a.json")
    assert done.code == 2
    for word in ("expected:", "try:", *words):
        assert word in done.err
    assert not (tmp_path / "a.json").exists()


def test_a_model_of_a_table(command: Callable[..., Any], checkpoint: Path) -> None:
    done = command("audit", checkpoint, "dsprites")
    assert done.code == 2
    assert "dsprites holds images" in done.err


def test_an_archive_of_that_name_wins(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    with (tmp_path / "dsprites").open("wb") as handle:
        np.savez(handle, imgs=dsprites.images(np.arange(0, 737_280, 9_000)))
    done = command("audit", model, "dsprites", *FAST, "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "a.json").read_text())["data"]["rows_total"] == 82
