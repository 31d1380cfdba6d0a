"""The commands of the README's section "Your model", typed in the folder of somebody whose script wrote the files."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.split("## Your model")[1].split("\n## ")[0]
# those for other libraries are run by tests/third_party, and training by tests/reference_models
COMMANDS = [
    line
    for line in re.findall(r"`circuitprobe (audit [^`]+)`", SECTION)
    if not re.search(r"my_model|tvae|MODEL DATA", line)
]

SCRIPT = """
import argparse

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=150)
args = parser.parse_args()


class VAE(nn.Module):
    def __init__(self, width=4, hidden=16, latents=2, given=0):
        super().__init__()
        self.q = nn.Sequential(nn.Linear(width + given, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latents))
        self.p = nn.Sequential(nn.Linear(latents + given, hidden), nn.Tanh(), nn.Linear(hidden, width))

    def forward(self, x):
        mu, rho = self.q(x).chunk(2, 1)
        z = mu + torch.nn.functional.softplus(rho) * torch.randn_like(mu)
        return self.p(z), mu, rho


class CVAE(VAE):
    def __init__(self):
        super().__init__(given=2)

    def forward(self, x, y):
        mu, rho = self.q(torch.cat([x, y], 1)).chunk(2, 1)
        z = mu + torch.nn.functional.softplus(rho) * torch.randn_like(mu)
        return self.p(torch.cat([z, y], 1)), mu, rho


class ConvVAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))
        self.up = nn.Sequential(nn.Linear(2, 128), nn.Unflatten(1, (8, 4, 4)), nn.ReLU(),
                                nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid())

    def forward(self, x):
        mu, rho = self.down(x).chunk(2, 1)
        return self.up(mu + torch.nn.functional.softplus(rho) * torch.randn_like(mu)), mu, rho


class Detector:
    def __init__(self, network):
        self.network, self.limits = network, np.linspace(0, 1, 50)


def make_model(hidden=16):
    return VAE(hidden=hidden)


def train(model, x, *given):
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(args.steps):
        back, mu, rho = model(x, *given)
        std = torch.nn.functional.softplus(rho)
        loss = 4 * ((back - x) ** 2).flatten(1).sum(1).mean() + 0.05 * (mu**2 + std**2 - 2 * std.log()).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


if __name__ == "__main__":
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(300, 2))
    x = factors @ rng.normal(size=(2, 4)) + 0.05 * rng.normal(size=(300, 4))
    label = rng.integers(0, 2, 300)
    frame = pd.DataFrame(x, columns=["age", "pay", "debt", "rate"])
    frame.to_csv("data.csv", index=False)
    frame.assign(label=np.where(label == 1, "yes", "no")).to_csv("labelled.csv", index=False)
    rows = torch.tensor(x, dtype=torch.float32)
    y, c = np.mgrid[0:8, 0:8], rng.uniform(1, 6, size=(300, 2, 1, 1))
    pictures = np.exp(-((y[0] - c[:, 0]) ** 2 + (y[1] - c[:, 1]) ** 2) / 4)
    np.savez("images.npz", images=(255 * pictures).astype(np.uint8))
    model = train(make_model(24), rows)
    torch.save(model, "model.pt")
    torch.save({"state_dict": {"model." + k: v for k, v in model.state_dict().items()}, "epoch": 3,
                "pytorch-lightning_version": "2.5.0", "hyper_parameters": {"hidden": 24, "lr": 0.01}}, "last.ckpt")
    program = torch.export.export(model, (rows[:4],), dynamic_shapes={"x": {0: torch.export.Dim.DYNAMIC}})
    torch.export.save(program, "model.pt2")
    torch.jit.save(torch.jit.script(model), "script.pt")
    joblib.dump(Detector(model), "detector.joblib")
    torch.save(train(ConvVAE(), torch.tensor(pictures[:, None], dtype=torch.float32)), "conv.pt")
    torch.save(train(CVAE(), rows, torch.nn.functional.one_hot(torch.tensor(label), 2).float()), "cvae.pt")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the script has run."""
    place = tmp_path_factory.mktemp("mine")
    (place / "train.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "train.py"], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def test_the_section_has_the_commonest_cases() -> None:
    named = ["model.pt", "last.ckpt", "model.pt2", "script.pt", "detector.joblib", "conv.pt", "cvae.pt"]
    assert [shlex.split(line)[1] for line in COMMANDS] == named


def test_a_condition_that_is_no_column_is_named(
    folder: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = command("audit", "cvae.pt", "labelled.csv", "--condition", "lable", "--trust", "--import", "train.py")
    assert done.code == 2
    assert "lable" in done.err
    assert "label" in done.err.split("try:")[1]
    assert "not recognised" not in done.err


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_audits(
    line: str, folder: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(line)
    if "--condition" in words:
        words[2] = "labelled.csv"
    done = command(*words, "--rows", "150", "--levels", "1,2", "--json", tmp_path / "a.json", "--quiet")
    assert (done.code, done.err) == (0, "")
    report = json.loads((tmp_path / "a.json").read_text())
    assert [latent["name"] for latent in report["latents"]] == ["z0", "z1"]
    assert report["reconstruction"]["reconstructs"] is True
    # the script's own parametrisation, which no name tells
    assert report["model"]["posterior"] in {"(mean, softplus)", "(mean, std)"}
    assert report["data"]["condition"] == (["label"] if "--condition" in words else [])
