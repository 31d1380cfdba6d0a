"""Harmless files of every kind that is attacked are accepted, so that to refuse all is no answer; and the payloads are live."""

from __future__ import annotations

import gzip
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hostile import exported, pickles, torchscripts
from hostile.corpus import CANARY, Harmless
from hostile.pickle_tools import archive, written
from hostile.running import Commands, faults_of, is_control

STUDY = Path(__file__).parents[2] / "docs" / "study" / "study.tar.xz"
FACTORY = """
from torch import nn

class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.log_var, self.out = nn.Linear(64, 2), nn.Linear(64, 2), nn.Linear(2, 64)

    def encode(self, x):
        return self.mean(x.flatten(1)), self.log_var(x.flatten(1))

    def decode(self, z):
        return self.out(z).sigmoid().reshape(-1, 1, 8, 8)

def make():
    return Pictures()
"""
FEW = ("--levels", "2", "--rows", "40")


def weights(folder: Path) -> None:
    (folder / "net.py").write_text(FACTORY)
    made: dict[str, object] = {}
    exec(FACTORY, made)  # noqa: S102 - the text above
    torch.manual_seed(0)
    torch.save(made["make"]().state_dict(), folder / "weights.pt")  # type: ignore[operator]


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)


def of_our_checkpoint(folder: Path, good: Harmless) -> list[str]:
    return ["audit", str(good.model), str(good.table), *FEW]


def of_an_exported_program(folder: Path, good: Harmless) -> list[str]:
    (folder / "m.pt2").write_bytes(exported.exported())
    return ["inspect", "m.pt2"]


def of_weights(folder: Path, good: Harmless) -> list[str]:
    weights(folder)
    np.save(folder / "x.npy", images())
    return ["audit", "weights.pt", "x.npy", "--factory", "net.py:make", *FEW]


def of_safetensors(folder: Path, good: Harmless) -> list[str]:
    from safetensors.torch import save_file

    weights(folder)
    save_file(torch.load(folder / "weights.pt", weights_only=True), folder / "w.safetensors")
    np.save(folder / "x.npy", images())
    return ["audit", "w.safetensors", "x.npy", "--factory", "net.py:make", *FEW]


def of_compressed_arrays(folder: Path, good: Harmless) -> list[str]:
    weights(folder)
    np.savez_compressed(folder / "x.npz", imgs=images())
    return ["audit", "weights.pt", "x.npz", "--factory", "net.py:make", *FEW]


def of_saved_tensors(folder: Path, good: Harmless) -> list[str]:
    weights(folder)
    torch.save(torch.from_numpy(images())[:, None], folder / "x.pt")
    return ["audit", "weights.pt", "x.pt", "--factory", "net.py:make", *FEW]


def of_pictures(folder: Path, good: Harmless) -> list[str]:
    weights(folder)
    (folder / "pictures").mkdir()
    for number, image in enumerate(images()):
        Image.fromarray(image).save(folder / "pictures" / f"{number}.png")
    return ["audit", "weights.pt", "pictures", "--factory", "net.py:make", *FEW]


def of_packed_csv(folder: Path, good: Harmless) -> list[str]:
    (folder / "t.csv.gz").write_bytes(gzip.compress(good.table.read_bytes()))
    return ["audit", str(good.model), "t.csv.gz", *FEW]


def of_parquet(folder: Path, good: Harmless) -> list[str]:
    pd.read_csv(good.table).to_parquet(folder / "t.parquet")
    return ["audit", str(good.model), "t.parquet", *FEW]


def of_a_study_archive(folder: Path, good: Harmless) -> list[str]:
    shutil.copy(STUDY, folder)
    return ["study", "report", STUDY.name]


def of_a_study_folder(folder: Path, good: Harmless) -> list[str]:
    return ["study", "report", str(good.study)]


def of_a_baseline(folder: Path, good: Harmless) -> list[str]:
    return ["check", str(good.audit), "--baseline", str(good.baseline)]


def of_an_audit(folder: Path, good: Harmless) -> list[str]:
    return ["compare", str(good.audit), str(good.audit)]


def of_a_configuration(folder: Path, good: Harmless) -> list[str]:
    (folder / "circuitprobe.toml").write_text('[[gate]]\nmetric = "ces"\nlatent = "*"\nmax_drop = "50%"\n')
    return ["check", str(good.audit), "--baseline", str(good.baseline)]


def of_another_tools_project(folder: Path, good: Harmless) -> list[str]:
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.other]\na = [[1]]\n')
    return ["check", str(good.audit), "--baseline", str(good.baseline)]


def of_options(folder: Path, good: Harmless) -> list[str]:
    (folder / "schema.toml").write_text('[columns.height]\nkind = "numeric"\n')
    (folder / "groups.toml").write_text('[groups]\nall = ["*"]\n')
    (folder / "spec.toml").write_text('encode = "encode"\ndecode = "decode"\n')
    return ["audit", str(good.model), str(good.table), "--schema", "schema.toml", "--groups", "groups.toml", *FEW]


ACCEPTED = (
    of_our_checkpoint, of_an_exported_program, of_weights, of_safetensors, of_compressed_arrays, of_saved_tensors, of_pictures,
    of_packed_csv, of_parquet, of_a_study_archive, of_a_study_folder, of_a_baseline, of_an_audit, of_a_configuration,
    of_another_tools_project, of_options,
)  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED, ids=[kind.__name__ for kind in ACCEPTED])
def test_harmless_files_are_accepted(
    kind: Callable[[Path, Harmless], list[str]], running: Commands, good: Harmless, tmp_path: Path
) -> None:
    done = running.run(tmp_path, kind(tmp_path, good))
    assert (done.code, done.killed) == (0, ""), done
    assert not any(is_control(character) for character in done.text), done


def test_what_is_accepted_would_be_reported(running: Commands, good: Harmless, tmp_path: Path) -> None:
    done = running.run(tmp_path, of_an_audit(tmp_path, good))
    assert faults_of(done, "no such word", {2}) == ["exit 0", "does not say 'no such word'"]


@pytest.mark.parametrize(
    "name", ["INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "names out of the memo", "memo overwritten"]
)
def test_the_opcodes_are_live(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickles.OPCODES[name])
    assert Path(CANARY).exists()


@pytest.mark.parametrize(
    "name", ["eval", "os.system", "getattr chain", "timeit", "numpy.memmap", "subprocess", "runpy"]
)
def test_the_gadgets_are_live(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.pt").write_bytes(archive(written({"w": pickles.GADGETS[name]})))
    torch.load("m.pt", weights_only=False)
    assert Path(CANARY).exists()


RUNS = "import sys, torch; torch.jit.load('m.pt').encode(torch.ones(1, 9))"


@pytest.mark.parametrize(
    "name",
    [
        "torch.save",
        "ops.aten.save",
        "ops.aten.from_file",
        "(torch).save",
        "torch .save",
        "torch. save",
        "a comment between",
    ],
)
def test_the_statements_are_live(name: str, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(torchscripts.with_statement(torchscripts.STATEMENTS[name]))
    subprocess.run([sys.executable, "-W", "ignore", "-c", RUNS], cwd=tmp_path, check=True)
    assert (tmp_path / CANARY).exists()
