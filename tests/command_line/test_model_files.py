"""Models in other people's formats through the real command line: audited, or told in one message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

SCRIPT = """
import torch
from torch import nn
from pathlib import Path

class VAE(nn.Module):
    def __init__(self, width=3, latent=2):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, 8), nn.ReLU())
        self.fc_mu, self.fc_logvar = nn.Linear(8, latent), nn.Linear(8, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 8), nn.ReLU(), nn.Linear(8, width))

    def forward(self, x):
        hidden = self.encoder(x)
        mean, log_var = self.fc_mu(hidden), self.fc_logvar(hidden)
        return self.decoder(mean + torch.randn_like(mean) * (0.5 * log_var).exp()), mean, log_var

def make(width, latent=7):
    return VAE(width, latent)

Path("trained").touch()
"""


@pytest.fixture
def folder(tmp_path: Path, csv: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT)
    pd.read_csv(csv)[["height", "weight", "income"]].to_csv("n.csv", index=False)
    return tmp_path


def vae() -> nn.Module:
    space: dict[str, Any] = {"__name__": "vae"}
    exec(compile(SCRIPT.replace('Path("trained").touch()', ""), "train", "exec"), space)  # noqa: S102
    torch.manual_seed(0)
    return space["VAE"]().eval()  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("dynamic", [True, False])
def test_exported_program(command: Callable[..., Any], folder: Path, dynamic: bool) -> None:
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}} if dynamic else None
    torch.export.save(torch.export.export(vae(), (torch.ones(16, 3),), dynamic_shapes=shapes), "m.pt2")
    done = command("audit", "m.pt2", "n.csv", "--rows", "50", "--json", "a.json")
    assert done.code == 0, done.err
    assert Path("a.json").exists()
    shown = command("inspect", "m.pt2", "n.csv", "--rows", "50")
    assert shown.code == 0, shown.err
    # the layers of a program for any number of rows can be looked into
    assert ("decoder.1" in shown.out) is dynamic


def test_pickled_module_of_a_script(command: Callable[..., Any], folder: Path) -> None:
    saving = SCRIPT.replace('Path("trained").touch()', "torch.save(VAE(), 'm.pt')")
    subprocess.run([sys.executable, "-c", saving], cwd=folder, check=True)
    refused = command("audit", "m.pt", "n.csv")
    assert refused.code == 2
    assert "__main__.VAE" in refused.err
    assert "--trust --import path/to/script.py" in refused.err
    assert command("audit", "m.pt", "n.csv", "--import", "train.py").code == 2
    done = command("audit", "m.pt", "n.csv", "--rows", "50", "--trust", "--import", "train.py")
    assert done.code == 0, done.err
    assert not Path("trained").exists()


class Foreign:
    """A logger that a trainer has put into its checkpoint."""


def test_lightning_checkpoint(command: Callable[..., Any], folder: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in vae().state_dict().items()}
    settings = {"width": 3, "latent": 2, "logger": Foreign(), "lr": 1e-3}
    content = {"pytorch-lightning_version": "2.5.1", "state_dict": state, "hyper_parameters": settings, "epoch": 1}
    torch.save(content, "last.ckpt")
    told = command("inspect", "last.ckpt", "n.csv")
    assert told.code == 2
    assert "a Lightning checkpoint of version 2.5.1 with 10 tensors" in told.err
    assert "circuitprobe inspect last.ckpt --factory" in told.err
    done = command("inspect", "last.ckpt", "n.csv", "--rows", "50", "--factory", "train.py:make")
    assert done.code == 0, done.err
    assert not Path("trained").exists()


def test_entry(command: Callable[..., Any], folder: Path) -> None:
    torch.save({"net": vae().state_dict(), "ema": vae().state_dict()}, "m.pt")
    Path("code.py").write_text(SCRIPT.replace("latent=7", "latent=2").replace("make(width,", "make(width=3,"))
    told = command("inspect", "m.pt", "--factory", "code.py:make")
    assert told.code == 2
    assert "--entry net" in told.err
    assert command("inspect", "m.pt", "--factory", "code.py:make", "--entry", "ema").code == 0


def test_folders(command: Callable[..., Any], folder: Path) -> None:
    Path("saved").mkdir()
    Path("saved/model_config.json").write_text('{"name": "VAEConfig"}')
    torch.save({"model_state_dict": {"a": torch.ones(2)}}, "saved/model.pt")
    Path("other").mkdir()
    told = command("inspect", "other")
    assert told.code == 2
    assert "is a folder (empty)" in told.err
    assert "pythae" in command("inspect", "saved").err
