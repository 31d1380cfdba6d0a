"""Python files in the current folder that are called like libraries: none is run, with or without --trust."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
# libraries, packages that they try and that are not installed, modules of Python that are loaded late
NAMES = (
    "torch", "numpy", "rich", "typer", "pandas", "sympy", "yaml", "PIL", "safetensors", "joblib", "sklearn", "nnsight", "pydantic",
    "typing", "traceback", "random", "shlex", "pickletools", "json", "zipfile",
    "tensorboard", "lz4", "optree", "torchvision", "triton", "numexpr", "bottleneck", "opt_einsum", "psutil",
    "pythae", "diffusers", "scvi", "huggingface_hub", "transformers", "anndata",
)  # fmt: skip
TRAP = "open('canary', 'a').write(__name__ + '\\n')\n"

MODEL = """
import torch
from torch import nn


class VAE(nn.Module):
    def __init__(self, width=3, latents=2):
        super().__init__()
        self.encoder = nn.Linear(width, 2 * latents)
        self.decoder = nn.Linear(latents, width)

    def encode(self, x):
        return self.encoder(x).chunk(2, 1)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mean, log_var = self.encode(x)
        return self.decode(mean + torch.randn_like(mean) * (0.5 * log_var).exp()), mean, log_var


def make():
    return VAE()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a script has saved in a folder without traps."""
    place = tmp_path_factory.mktemp("saved")
    (place / "nets.py").write_text(MODEL)
    save = "import torch, nets; torch.manual_seed(0); m = nets.make().eval(); "
    save += "torch.save(m, 'm.pt'); torch.save(m.state_dict(), 'w.pt')"
    subprocess.run([sys.executable, "-c", save], cwd=place, check=True)
    return place


@pytest.fixture
def folder(tmp_path: Path, saved: Path) -> Path:
    """A folder full of traps, every third a package, with that model."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for number, name in enumerate(NAMES):
        path = tmp_path / name / "__init__.py" if number % 3 == 0 else tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TRAP)
    return tmp_path


def done(folder: Path, *words: str, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert not (folder / "canary").exists(), (folder / "canary").read_text()
    return ended


def probe(folder: Path, *words: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    return done(folder, "-m", "circuitprobe", *words, path=path)


# an empty entry stands for the current folder
@pytest.mark.parametrize("path", [f"{ROOT}", f"{ROOT}:", f":{ROOT}"], ids=["plain", "empty last", "empty first"])
def test_nothing_there_is_run(folder: Path, path: str) -> None:
    assert probe(folder, "--version", path=path).returncode == 0
    assert probe(folder, "inspect", "m.pt", path=path).returncode == 2


def test_with_trust_only_what_the_pickle_names_is_found_there(folder: Path) -> None:
    ended = probe(folder, "inspect", "m.pt", "--trust")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "VAE" in ended.stdout


@pytest.mark.parametrize("factory", ["nets:make", "nets.py:make"])
def test_a_factory_is_found_and_its_neighbours_stand_in_for_nothing(folder: Path, factory: str) -> None:
    # the factory's own imports, of what is installed and of what others may look for
    user = "import sympy, yaml, random, parts\ntry:\n    from torch.utils import tensorboard\nexcept ImportError:\n    pass\n"
    (folder / "nets.py").write_text(user + MODEL)
    (folder / "parts.py").write_text("WIDTH = 3\n")
    ended = probe(folder, "inspect", "w.pt", "--factory", factory)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_script_that_is_called_like_a_library(folder: Path) -> None:
    for name in ("sympy", "tensorboard"):
        (folder / f"{name}_of_mine").mkdir()
        own = folder / f"{name}_of_mine" / f"{name}.py"
        own.write_text(MODEL)
        ended = probe(folder, "inspect", "w.pt", "--factory", f"{own}:make")
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_module_that_the_user_names_is_taken_from_the_current_folder(folder: Path) -> None:
    """Also where something installed has its name: mpmath is, and nothing has loaded it yet."""
    (folder / "mpmath.py").write_text(MODEL)
    ended = probe(folder, "inspect", "w.pt", "--factory", "mpmath:make")
    assert (ended.returncode, ended.stderr) == (0, "")


def pythae(folder: Path) -> None:
    (folder / "model_config.json").write_text(json.dumps({"name": "VAEConfig", "input_dim": [3], "latent_dim": 2}))
    torch.save({"model_state_dict": {"w": torch.ones(2)}}, folder / "model.pt")


def diffusers(folder: Path) -> None:
    from safetensors.torch import save_file

    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    save_file({"w": torch.ones(2)}, folder / "diffusion_pytorch_model.safetensors")


def scvi(folder: Path) -> None:
    torch.save({"attr_dict": {}, "var_names": []}, folder / "model.pt")
    (folder / "adata.h5ad").write_bytes(b"x")


@pytest.mark.parametrize("library", [pythae, diffusers, scvi])
def test_a_librarys_folder_does_not_bring_the_library(folder: Path, library: Callable[[Path], None]) -> None:
    (folder / "saved").mkdir()
    library(folder / "saved")
    probe(folder, "inspect", "saved")
    program = "import circuitprobe as cp\ntry:\n    cp.load('saved')\nexcept cp.ModelError:\n    pass\nprint('done')\n"
    # python -c puts the current folder in front; its traps for what is imported before the load are none of the file's
    for name in NAMES:
        if name not in {"pythae", "diffusers", "scvi", "huggingface_hub", "transformers", "anndata"}:
            for path in folder.glob(f"{name}*"):
                path.rename(path.with_name(f"x{path.name}"))
    ended = done(folder, "-c", program, path=str(ROOT))
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
