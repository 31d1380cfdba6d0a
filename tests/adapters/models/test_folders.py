"""Model folders of libraries: told by their content, their pickles scanned, rebuilt by adapters."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import styles
import torch
from torch import nn

from circuitprobe.adapters.families import Adapter, registry
from circuitprobe.adapters.models import LoadOptions, load_model
from circuitprobe.adapters.models.files import FileKind, look
from circuitprobe.adapters.models.folders import LIBRARIES, library_of
from circuitprobe.errors import ModelError

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])


class Bomb:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.witness), "w")


def pythae(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model_config.json").write_text(json.dumps({"name": "VAEConfig", "input_dim": [3], "latent_dim": 2}))
    (folder / "environment.json").write_text(json.dumps({"name": "EnvironmentConfig", "python_version": "3.11"}))
    torch.save({"model_state_dict": styles.TupleStyle().state_dict()}, folder / "model.pt")
    return folder


def scvi(folder: Path) -> Path:
    folder.mkdir()
    content = {
        "model_state_dict": styles.TupleStyle().state_dict(),
        "var_names": np.array(["a", "b", "c"]),
        "attr_dict": {"init_params_": {}, "registry_": {"model_name": "SCVI", "mean": np.float64(1.0)}},
    }
    torch.save(content, folder / "model.pt")
    return folder


def diffusers(folder: Path) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL", "latent_channels": 4}))
    save_file(styles.TupleStyle().state_dict(), folder / "diffusion_pytorch_model.safetensors")
    return folder


FOLDERS = {"pythae": pythae, "scvi": scvi, "diffusers": diffusers}
INSTALL = {"pythae": "pip install pythae", "scvi": "pip install scvi-tools", "diffusers": "pip install diffusers"}


def rebuilt(path: Path, _: LoadOptions) -> nn.Module:
    """A loader as the adapters of the libraries are."""
    model = styles.TupleStyle()
    weights = path / "model.pt"
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=False)["model_state_dict"])
    return model


@pytest.fixture
def adapters(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a loader in the place of a library's adapter; None: no adapter knows the folder."""

    def put(library: str, loader: Callable[[Path, LoadOptions], Any] | None) -> None:
        distribution = INSTALL[library].removeprefix("pip install ")
        known = lambda path: library_of(path) is LIBRARIES[library]  # noqa: E731
        adapter = Adapter(library, (), lambda obj: obj, distribution, known, loader)
        monkeypatch.setattr(registry, "built_in", lambda: () if loader is None else (adapter,))

    return put


@pytest.mark.parametrize("library", FOLDERS)
def test_a_folder_goes_to_its_librarys_loader(tmp_path: Path, library: str, adapters: Callable[..., None]) -> None:
    adapters(library, rebuilt)
    folder = FOLDERS[library](tmp_path / "saved")
    facts = look(folder)
    assert (facts.kind, facts.library, facts.imports) == (FileKind.FOLDER, library, ())
    vae = load_model(folder, LoadOptions(), {})
    assert torch.equal(vae.resolved(ROWS).encode(ROWS).mean, ROWS[:, :2])
    assert vae.source == "saved"


@pytest.mark.parametrize("library", FOLDERS)
def test_without_its_library_one_message_says_what_to_install(
    tmp_path: Path, library: str, adapters: Callable[..., None]
) -> None:
    folder = FOLDERS[library](tmp_path / "saved")

    def missing(_: Path, __: LoadOptions) -> nn.Module:
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    for loader in (missing, None):
        adapters(library, loader)
        with pytest.raises(ModelError, match=f"(model|model folder) of {library}") as caught:
            load_model(folder, LoadOptions(), {})
        assert caught.value.fix == INSTALL[library]
    assert {"pythae": "VAEConfig", "scvi": "", "diffusers": "AutoencoderKL"}[library] in caught.value.seen


@pytest.mark.parametrize("name", ["encoder.pkl", "model.pt", "anything.bin"])
def test_pickles_in_a_folder_are_scanned_and_not_run(tmp_path: Path, name: str, adapters: Callable[..., None]) -> None:
    witness, folder = tmp_path / "was_run", pythae(tmp_path / "saved")
    if name == "model.pt":
        torch.save({"model_state_dict": Bomb(witness)}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Bomb(witness), protocol=0 if name == "encoder.pkl" else 4))
    with pytest.raises(ModelError, match=r"would import io\.open") as caught:
        load_model(folder, LoadOptions(), {})
    assert "--trust" in caught.value.fix
    assert not witness.exists()
    called: list[LoadOptions] = []

    def loader(_: Path, options: LoadOptions) -> nn.Module:
        called.append(options)
        return styles.TupleStyle()

    adapters("pythae", loader)
    load_model(folder, LoadOptions(trust=True), {})
    assert called[0].trust


@pytest.mark.parametrize("library", FOLDERS)
def test_the_weights_inside_a_folder_point_to_the_folder(tmp_path: Path, library: str) -> None:
    folder = FOLDERS[library](tmp_path / "saved")
    weights = next(p for p in folder.iterdir() if p.suffix in {".pt", ".safetensors"})
    with pytest.raises(ModelError, match="weights without the model's code") as caught:
        load_model(weights, LoadOptions(), {})
    assert f"name the folder, which {library} wrote: circuitprobe inspect {folder}" in caught.value.fix


def test_folder_without_weights(tmp_path: Path) -> None:
    folder = pythae(tmp_path / "saved")
    (folder / "model.pt").unlink()
    with pytest.raises(ModelError, match=r"without its weights|no model\.pt"):
        load_model(folder, LoadOptions(), {})


def test_other_folders_name_the_model_files_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(ModelError, match="empty"):
        load_model(folder, LoadOptions(), {})
    (folder / "log.txt").write_text("x")
    torch.save(styles.TupleStyle().state_dict(), folder / "last.ckpt")
    with pytest.raises(ModelError, match=r"is a folder \(last\.ckpt, log\.txt\)") as caught:
        load_model(folder, LoadOptions(), {})
    assert caught.value.fix == f"name the model file in it: {folder / 'last.ckpt'}"
    torch.save({}, folder / "best.ckpt")
    with pytest.raises(ModelError, match="is a folder") as caught:
        load_model(folder, LoadOptions(), {})
    assert caught.value.fix.startswith(f"name one of its model files: {folder / 'best.ckpt'}, {folder / 'last.ckpt'}")


def test_saved_model_and_unpacked_archives(tmp_path: Path) -> None:
    (tmp_path / "tf").mkdir()
    (tmp_path / "tf" / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(ModelError, match="TensorFlow SavedModel"):
        load_model(tmp_path / "tf", LoadOptions(), {})
    (tmp_path / "model").mkdir()
    for name in ("data.pkl", "version", "byteorder"):
        (tmp_path / "model" / name).write_bytes(b"3")
    with pytest.raises(ModelError, match="was unpacked") as caught:
        load_model(tmp_path / "model", LoadOptions(), {})
    assert "zip -0 -r" in caught.value.fix


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"name": 3}', ""])
def test_settings_that_are_none_make_no_library(tmp_path: Path, content: str) -> None:
    (tmp_path / "model_config.json").write_text(content)
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path, LoadOptions(), {})
