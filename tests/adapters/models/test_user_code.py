"""``--import`` and ``--factory file.py:function``: the classes come out of the user's file, its training does not start."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import circuitprobe as cp
from circuitprobe.adapters.models.user_code import names_from_file
from circuitprobe.errors import ModelError, UsageError

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])

SCRIPT = """
from __future__ import annotations
import argparse
import os
from dataclasses import dataclass
from pathlib import Path
import not_installed_anywhere_logger
import torch
from torch import nn
from sizes import WIDTH

parser = argparse.ArgumentParser()
parser.add_argument("--latent", type=int, default=2)
args = parser.parse_args()
LATENT = args.latent
if torch.cuda.is_available():
    device = "cuda"
else:
    device = "cpu"
data = Path("no_such_data.csv").read_text()


@dataclass
class Settings:
    latent: int = LATENT


class Base(nn.Module):
    pass


class MyVAE(Base):
    def __init__(self, settings: Settings):
        super().__init__()
        self.settings = settings
        self.m, self.v = nn.Linear(WIDTH, settings.latent), nn.Linear(WIDTH, settings.latent)
        self.d = nn.Linear(settings.latent, WIDTH)

    def encode(self, x):
        return self.m(x), self.v(x) - 3

    def reparameterize(self, mean, log_var):
        return mean + torch.randn_like(mean) * torch.exp(log_var / 2)

    def decode(self, z):
        return scaled(self.d(z))


def scaled(x):
    return x * 1.0 if device else x


def make():
    return MyVAE(Settings())


for epoch in range(3):
    Path("trained").touch()
model = make()
Path("touched").touch()
if __name__ == "__main__":
    Path("main").touch()
"""

SAVE = SCRIPT.replace("import not_installed_anywhere_logger\n", "").replace(
    'data = Path("no_such_data.csv").read_text()\n', ""
) + ("\ntorch.manual_seed(0)\ntorch.save(MyVAE(Settings()), 'm.pt')\ntorch.save(model.state_dict(), 'w.pt')\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a script that was run as such has left: a model of a class of ``__main__``, and the script itself."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sizes.py").write_text("WIDTH = 3\n")
    (tmp_path / "code" / "save.py").write_text(SAVE)
    subprocess.run([sys.executable, "code/save.py"], cwd=tmp_path, check=True)
    (tmp_path / "code" / "train_vae.py").write_text(SCRIPT)
    for name in ("trained", "touched", "main"):
        (tmp_path / name).unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def untouched(folder: Path) -> bool:
    return not any((folder / name).exists() for name in ("trained", "touched", "main"))


def test_a_class_of_main_comes_from_the_script(folder: Path) -> None:
    before, path, arguments = dict(sys.modules), list(sys.path), list(sys.argv)
    vae = cp.load("m.pt", trust=True, imports=["code/train_vae.py"])
    assert untouched(folder)
    assert (sys.path, sys.argv) == (path, arguments)
    assert {"train_vae", "sizes"}.isdisjoint(sys.modules)
    assert sys.modules["__main__"] is before["__main__"]
    mean = vae.resolved(ROWS).encode(ROWS).mean
    other = copy.deepcopy(vae.model)
    assert torch.equal(other.encode(ROWS)[0], mean)  # type: ignore[operator]
    audit = cp.audit(vae, np.random.default_rng(0).normal(size=(40, 3)), levels=(1, 2), resamples=20, permutations=20)
    assert audit.twin.scores is not None


def test_one_file_may_be_given_alone(folder: Path) -> None:
    assert cp.load("m.pt", trust=True, imports="code/train_vae.py").source == "m.pt"


def test_without_the_file_the_message_names_class_and_command(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"__main__\.MyVAE") as caught:
        cp.load("m.pt")
    assert "--trust --import path/to/script.py" in caught.value.fix
    with pytest.raises(ModelError, match="its class MyVAE was defined in a script") as caught:
        cp.load("m.pt", trust=True)
    assert "circuitprobe inspect m.pt --trust --import path/to/file.py" in caught.value.fix


def test_import_needs_trust(folder: Path) -> None:
    with pytest.raises(UsageError, match="without --trust"):
        cp.load("m.pt", imports=["code/train_vae.py"])
    assert untouched(folder)


def test_a_module_of_another_layout_is_found_by_its_name(folder: Path) -> None:
    saved = (folder / "m.pt").read_bytes()
    program = (
        "import sys, pickle; sys.path.insert(0, 'code'); sys.argv = ['x']\n"
        "import types; package = types.ModuleType('project'); package.__path__ = ['code']; sys.modules['project'] = package\n"
        "import importlib; module = importlib.import_module('project.save_late')\n"
        "module.torch.save(module.make(), 'late.pt')\n"
    )
    (folder / "code" / "save_late.py").write_text(SAVE.split("for epoch")[0])
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
    assert saved
    with pytest.raises(ModelError, match="No module named 'project'") as caught:
        cp.load("late.pt", trust=True)
    assert "--import" in caught.value.fix
    vae = cp.load("late.pt", trust=True, imports=["code/save_late.py"])
    assert type(vae.model).__name__ == "MyVAE"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class MyVAE(:\n", "is no Python .* in line 1"),
        (
            "import no_such_library\nclass MyVAE(no_such_library.Module): pass\nclass Settings: pass\n",
            "no_such_library.*line 1",
        ),
        ("import sys\nSettings = sys.exit(3)\nclass MyVAE: pass\n", "SystemExit"),
    ],
)
def test_errors_in_the_file_are_one_message(folder: Path, content: str, message: str) -> None:
    (folder / "bad.py").write_text(content)
    before = list(sys.path)
    with pytest.raises(UsageError, match=message):
        cp.load("m.pt", trust=True, imports=["bad.py"])
    assert sys.path == before
    assert "bad" not in sys.modules
    with pytest.raises(UsageError, match="No such file"):
        cp.load("m.pt", trust=True, imports=["none.py"])


def test_a_file_without_the_class_is_told(folder: Path) -> None:
    (folder / "other.py").write_text("x = 1\n")
    with pytest.raises(ModelError, match=r"not all in other\.py"):
        cp.load("m.pt", trust=True, imports=["other.py"])


def test_factory_in_a_training_script(folder: Path) -> None:
    vae = cp.load("w.pt", factory="code/train_vae.py:make")
    assert untouched(folder)
    assert type(vae.model).__name__ == "MyVAE"
    with pytest.raises(UsageError, match="defines no function nothing"):
        cp.load("w.pt", factory="code/train_vae.py:nothing")
    with pytest.raises(UsageError) as caught:
        cp.load("w.pt", factory="code/train_vae.py")
    assert caught.value.fix == "--factory code/train_vae.py:make_vae"


def test_a_file_called_like_a_library(tmp_path: Path) -> None:
    before = sys.modules["copy"]
    (tmp_path / "copy.py").write_text("import dataclasses\nVALUE = dataclasses.replace.__name__\n")
    assert names_from_file(tmp_path / "copy.py", ["VALUE"], "--import").VALUE == "replace"
    assert sys.modules["copy"] is before


def test_registries_are_filled_only_as_far_as_they_are_used(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "TABLE = {}\nTABLE['a'] = 1\nTABLE.update(b=2)\nOTHER = 1 / 0\nwhile True:\n    TABLE['c'] = 3\n"
        "def get(): return TABLE\n"
    )
    assert names_from_file(tmp_path / "m.py", ["get"], "--factory").get() == {"a": 1, "b": 2}
