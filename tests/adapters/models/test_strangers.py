"""Files that hold no model for circuitprobe: each is told by what it is, none is waited for, none is run."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import styles
import torch
from sklearn.decomposition import PCA
from torch import nn

from circuitprobe.adapters.models import LoadOptions, load_model
from circuitprobe.errors import ModelError


def refused(path: Path, **options: object) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(path, LoadOptions(**options), {})  # type: ignore[arg-type]
    return caught.value


def tarred(path: Path) -> None:
    torch.save(styles.TupleStyle().state_dict(), path.parent / "inside.pt")
    with tarfile.open(path, "w") as archive:
        archive.add(path.parent / "inside.pt", "models/inside.pt")


def zipped(path: Path) -> None:
    torch.save(styles.TupleStyle().state_dict(), path.parent / "inside.pt")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.parent / "inside.pt", "models/inside.pt")


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")


def packaged(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/.data/extern_modules", "torch\n")
        archive.writestr("m/model/model.pkl", pickle.dumps(nn.Linear(2, 2)))
        archive.writestr("m/mycode.py", "x = 1\n")


def onnx(path: Path) -> None:
    # ModelProto: ir_version 8, producer_name "pytorch", then a graph
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10\n\x05graph\x12\x04node\x1a\x01x" + bytes(range(200)))


def saved_model(path: Path) -> None:
    path.write_bytes(b"\x08\x01\x12\xff\x12\x04\x00" + bytes(range(200)))


def arrow(path: Path) -> None:
    pd.DataFrame({"a": [1.0]}).to_feather(path)


def parquet(path: Path) -> None:
    pd.DataFrame({"a": [1.0]}).to_parquet(path)


def skops(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr("1.npy", npy())


def weights() -> bytes:
    out = io.BytesIO()
    torch.save(styles.TupleStyle().state_dict(), out)
    return out.getvalue()


def behind_a_stub(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\nexec $0\n" + weights())


def flagged(path: Path, local: int, central: int, value: int) -> None:
    """A whole archive whose entries are marked as encrypted, or as compressed by another method."""
    content = bytearray(weights())
    for mark, place in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] = value
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def by_lzma(path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(weights())) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
        for name in source.namelist():
            out.writestr(name, source.read(name))


def out_of_band() -> bytes:
    return pickle.dumps(pickle.PickleBuffer(b"abc"), protocol=5, buffer_callback=[].append)


FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "git-lfs": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "git-lfs", "git lfs pull"),
    "HTML": (lambda p: p.write_text("\n <!doctype html><html>\n"), "HTML", "download the file itself"),
    "empty": (lambda p: p.write_bytes(b""), "is empty", "again"),
    "npy": (lambda p: p.write_bytes(npy()), "numpy array", "MODEL DATA"),
    "npz": (lambda p: p.write_bytes(npz()), "numpy arrays (x, y)", "MODEL DATA"),
    "HDF5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5", "PyTorch"),
    "Keras": (keras, "a Keras model", "PyTorch"),
    "ONNX": (onnx, "an ONNX model", "PyTorch"),
    "SavedModel": (saved_model, "TensorFlow", "PyTorch"),
    "TFLite": (lambda p: p.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(50)), "TensorFlow Lite", "PyTorch"),
    "CSV": (lambda p: p.write_text("a,b,c\n1,2,3\n4,5,6\n"), "a table, not a model", "MODEL DATA"),
    "semicolons": (lambda p: p.write_text("a;b\n1;2\n4;5\n"), "between semicolons", "MODEL DATA"),
    "Parquet": (parquet, "a Parquet table", "MODEL DATA"),
    "Arrow": (arrow, "an Arrow table", "MODEL DATA"),
    "JSON": (lambda p: p.write_text('{"latent_dim": 3, "name": "x"}'), "JSON file with latent_dim, name", "weights"),
    "YAML": (lambda p: p.write_text("model:\n  latent_dim: 3\n# note\n"), "YAML", "weights"),
    "Python": (lambda p: p.write_text("import torch\n\nclass VAE: pass\n"), "Python code", "--factory"),
    "text": (lambda p: p.write_text("some words\nand more of them\n"), "a text file", "torch.save"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"abc")), "gzip", "gunzip"),
    "zlib": (lambda p: p.write_bytes(zlib.compress(b"abc" * 100)), "joblib", "torch.save"),
    "lz4": (lambda p: p.write_bytes(b"\x04\x22\x4d\x18" + bytes(50)), "lz4", "lz4"),
    "old joblib": (lambda p: p.write_bytes(b"ZF0x10" + bytes(50)), "joblib before 0.10", "joblib.load"),
    "mobile": (lambda p: p.write_bytes(b"\x20\x00\x00\x00PTMF" + bytes(range(200))), "TorchScript for mobile", "torch.save"),
    "skops": (skops, "a skops file", "skops"),
    "with a stub": (behind_a_stub, "a zip archive behind 18 other bytes", "tail -c +19"),
    "encrypted": (lambda p: flagged(p, 6, 8, 1), "is encrypted", "torch.save"),
    "zipped by zstd": (lambda p: flagged(p, 8, 10, 93), "by method 93", "torch.save"),
    "zipped by lzma": (by_lzma, "by method 14", "torch.save"),
    "extension": (lambda p: p.write_bytes(b"\x80\x02\x82\x01."), "cannot be followed to its end", "--trust"),
    "out of band": (lambda p: p.write_bytes(out_of_band()), "cannot be followed to its end", "--trust"),
    "persistent id": (lambda p: p.write_bytes(b"\x80\x02X\x01\x00\x00\x00aQ."), "lies outside the file", "model"),
    "pandas by gzip": (lambda p: pd.DataFrame({"a": [1]}).to_pickle(p, compression="gzip"), "made by pandas", "model"),
    "7z": (lambda p: p.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(50)), "7-Zip", "inside"),
    "tar": (tarred, "a tar archive of files: models/inside.pt", "unpack"),
    "zip": (zipped, "a zip archive of files: models/inside.pt", "unpack"),
    "torch.package": (packaged, "torch.package", "--factory"),
    "PNG": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe\x00"), "in no format", "torch.save"),
    "library": (lambda p: p.write_bytes(b"\x7fELF" + bytes(50)), "compiled", "export"),
    "optimizer": (lambda p: torch.save(torch.optim.Adam(nn.Linear(1, 1).parameters()), p), "torch.optim.adam.Adam", "model"),
    "its state": (lambda p: torch.save(stepped().state_dict(), p), "the state of an optimizer", "model"),
    "joblib": (lambda p: joblib.dump(PCA().fit(np.eye(3)), p), "made by", "model"),
    "sklearn": (lambda p: p.write_bytes(pickle.dumps(PCA())), "sklearn.decomposition._pca.PCA: made by sklearn", "model"),
    "data frame": (lambda p: p.write_bytes(pickle.dumps(pd.DataFrame({"a": [1]}))), "made by pandas", "model"),
    "list": (lambda p: torch.save([1, 2], p), "holds a list of 2", "model"),
    "arrays": (lambda p: torch.save({"x": np.ones(3)}, p), "holds a dict of 1 entries (x)", "model"),
    "older list": (lambda p: torch.save([np.ones(3)], p, _use_new_zipfile_serialization=False), "holds a list of 1", "model"),
    "plain list": (lambda p: p.write_bytes(pickle.dumps([1, 2])), "holds a list of 2", "model"),
    "old protocol": (lambda p: p.write_bytes(pickle.dumps({"a": [1, 2]}, protocol=0)), "holds a dict of 1 entries (a)", "model"),
}  # fmt: skip


def npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones(3))
    return out.getvalue()


def npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.ones(3), y=np.ones(2))
    return out.getvalue()


def stepped() -> torch.optim.Optimizer:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("name", ["model.pt", "m.dat"])
def test_every_stranger_is_named(tmp_path: Path, case: str, name: str) -> None:
    write, what, fix = FILES[case]
    write(tmp_path / name)
    error = refused(tmp_path / name)
    assert what in error.seen
    assert fix in error.fix
    assert name in error.seen


def test_index_of_sharded_weights_names_the_files(tmp_path: Path) -> None:
    index = {
        "metadata": {},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    error = refused(tmp_path / "model.safetensors.index.json")
    assert "2 files (model-00001-of-00002.safetensors, model-00002-of-00002.safetensors)" in error.seen
    for name in index["weight_map"].values():  # type: ignore[attr-defined]
        (tmp_path / name).write_bytes(b"")
    assert "put the weights in model-00001-of-00002" in refused(tmp_path).fix


@pytest.mark.timeout(20)
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    assert "a pipe or a device" in refused(tmp_path / "pipe.pt").seen
    assert "a pipe or a device" in refused(Path("/dev/zero")).seen


def test_links(tmp_path: Path) -> None:
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    assert "symbolic links" in refused(tmp_path / "loop.pt").seen
    (tmp_path / "lost.pt").symlink_to(tmp_path / "gone.pt")
    assert "gone.pt, which is not there" in refused(tmp_path / "lost.pt").seen
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt")
    (tmp_path / "link.pt").symlink_to(tmp_path / "m.pt")
    assert load_model(tmp_path / "link.pt", LoadOptions("styles:make"), {}).source == "link.pt"


def test_unreadable_file(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "m.pt").write_bytes(b"x")
    (tmp_path / "m.pt").chmod(0)
    assert "Permission" in refused(tmp_path / "m.pt").seen


def test_a_name_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    assert "Not a directory" in refused(tmp_path / "m.pt" / "inside").seen


def test_no_external_program_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    tarred(tmp_path / "m.pt")
    assert "tar" in refused(tmp_path / "m.pt").seen
