"""Folders that libraries write models into: which library, and what unpickling their files would import."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitprobe.adapters.models.files import FileFacts, FileKind, truncated
from circuitprobe.adapters.models.pickles import foreign, scan_pickle
from circuitprobe.adapters.models.zips import is_script
from circuitprobe.errors import ModelError

_MODELS = (".pt", ".pth", ".ckpt", ".safetensors", ".pt2", ".bin", ".pkl", ".pickle", ".jit", ".tar")
_LARGEST_SETTINGS = 4 * 2**20


@dataclass(frozen=True)
class Library:
    """A library that keeps models in folders.

    Attributes:
        name: key of its loader.
        install: what ``pip install`` takes.
        weights: the files of which one has to be there.
    """

    name: str
    install: str
    weights: tuple[str, ...]


PYTHAE = Library("pythae", "pythae", ("model.pt",))
SCVI = Library("scvi", "scvi-tools", ("model.pt",))
DIFFUSERS = Library("diffusers", "diffusers", ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"))
LIBRARIES = {library.name: library for library in (PYTHAE, SCVI, DIFFUSERS)}
# read as pickles however they begin
_WEIGHTS = frozenset({"model.pt", "diffusion_pytorch_model.bin"})


def look_into_folder(path: Path) -> FileFacts:
    """Tell which library wrote a folder; every pickle in it is scanned, none is loaded.

    Raises:
        ModelError: it is no library's model folder (with the model files in it), or its weights are missing.
    """
    try:
        library = library_of(path)
    except OSError as error:
        raise ModelError(
            f"cannot read the folder {path}: {error.strerror}",
            expected="a readable folder",
            fix="check its permissions",
        ) from error
    if library is None:
        raise _not_a_model(path)
    if not any((path / name).is_file() for name in library.weights):
        raise ModelError(
            f"{path} is a folder of {library.name} without its weights",
            expected=" or ".join(library.weights),
            fix="copy the whole folder again",
        )
    return FileFacts(FileKind.FOLDER, pickled_imports(path), library=library.name)


def library_of(path: Path) -> Library | None:
    """The library that wrote a folder; None where it is no model folder."""
    config = settings(path / "model_config.json")
    if "model_config.json" in _names(path) and str(config.get("name", "")).endswith("Config"):
        return PYTHAE
    if "_class_name" in settings(path / "config.json"):
        return DIFFUSERS
    weights = path / "model.pt"
    if weights.is_file() and zipfile.is_zipfile(weights) and {"attr_dict", "var_names"} <= _top_keys(weights):
        return SCVI
    return None


def settings(path: Path) -> dict[str, Any]:
    """The content of a library's JSON file of settings; {} where it is not there or no such file."""
    if not path.is_file() or path.stat().st_size > _LARGEST_SETTINGS:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def _top_keys(weights: Path) -> set[str]:
    """Names of the entries of a saved dictionary, whatever else is in it."""
    from circuitprobe.adapters.models.inert_tensors import top_level

    content = top_level(weights)
    return {str(key) for key in content} if isinstance(content, dict) else set()


def pickled_imports(path: Path) -> tuple[str, ...]:
    """What the folder's pickles would import beyond tensors and containers, all files together."""
    found: dict[str, None] = {}
    for entry in sorted(path.rglob("*")):
        if not entry.is_file() or entry.suffix == ".json":
            continue
        with entry.open("rb") as handle:
            head = handle.read(4)
        if head.startswith(b"PK\x03\x04"):
            found.update(dict.fromkeys(_in_archive(entry)))
        elif head[:1] == b"\x80" or entry.suffix in {".pkl", ".pickle"} or entry.name in _WEIGHTS:
            found.update(dict.fromkeys(scan_pickle(entry.read_bytes())[0]))
    return foreign(tuple(found))


def scripts_in(path: Path) -> tuple[Path, ...]:
    """The TorchScript files of a folder."""
    found = []
    for entry in sorted(each for each in path.rglob("*") if each.is_file() and zipfile.is_zipfile(each)):
        with zipfile.ZipFile(entry) as archive:
            if is_script(archive.namelist()):
                found.append(entry)
    return tuple(found)


def _in_archive(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith(".pkl")]
            return tuple(name for entry in pickles for name in scan_pickle(archive.read(entry))[0])
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise truncated(path) from error


def _not_a_model(path: Path) -> ModelError:
    names = _names(path)
    if "saved_model.pb" in names:
        return ModelError(
            f"{path} is a TensorFlow SavedModel", expected="a PyTorch model", fix="rebuild the model in PyTorch"
        )
    if "data.pkl" in names and "version" in names:
        return ModelError(
            f"{path} is a torch.save archive that was unpacked",
            expected="the archive in one file",
            fix=f"pack it again: (cd {path.parent} && zip -0 -r model.pt {path.name})",
        )
    models = [name for name in names if name.endswith(_MODELS) and (path / name).is_file()]
    shards = [name for name in models if "-of-" in name]
    if len(models) == 1:
        fix = f"name the model file in it: {path / models[0]}"
    elif shards:
        fix = f"put the weights in {', '.join(shards[:4])} into one file, then --factory package.module:function"
    elif models:
        fix = f"name one of its model files: {', '.join(str(path / name) for name in models[:5])}"
    else:
        fix = "name the model file"
    held = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return ModelError(
        f"{path} is a folder ({held or 'empty'}), none that pythae, scvi-tools or diffusers wrote",
        expected="a model file, or the folder of one of those libraries",
        fix=fix,
    )


def needs_library(path: Path, facts: FileFacts) -> ModelError:
    """The error for a folder whose library is not installed, or that nothing here rebuilds."""
    library = LIBRARIES[facts.library]
    config = settings(path / "model_config.json") or settings(path / "config.json")
    named = str(config.get("name") or config.get("_class_name") or "")
    what = f" ({named})" if named else ""
    return ModelError(
        f"{path} is a model folder of {library.name}{what}, which is not installed",
        expected=f"{library.name}, whose code the weights belong to",
        fix=f"pip install {library.install}",
    )
