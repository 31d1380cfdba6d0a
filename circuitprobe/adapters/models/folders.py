"""Folders that libraries write models into: which library, and what unpickling their files would import."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitprobe.adapters.archives import DAMAGED, ZipReader
from circuitprobe.adapters.models.files import MODEL_FILE, FileFacts, FileKind, refuse_beyond, truncated
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, foreign, scan
from circuitprobe.adapters.models.tensor_pickles import NotTensorsError, check_archive, check_older
from circuitprobe.adapters.models.zips import is_script
from circuitprobe.adapters.user_files import files_below, open_file, read_json
from circuitprobe.errors import ModelError

_MODELS = (".pt", ".pth", ".ckpt", ".safetensors", ".pt2", ".bin", ".pkl", ".pickle", ".jit", ".tar")
_LARGEST_SETTINGS = 4 * 2**20
_MOST_FILES = 10_000


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
        raise _unreadable(path, error) from error
    if library is None:
        raise _not_a_model(path)
    if not any((path / name).is_file() for name in library.weights):
        raise ModelError(
            f"{path} is a folder of {library.name} without its weights",
            expected=" or ".join(library.weights),
            fix="copy the whole folder again",
        )
    return FileFacts(FileKind.FOLDER, pickled_imports(path), library=library.name)


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot read the folder {path}: {error.strerror}",
        expected="a readable folder of files",
        fix="check what is in it and its permissions",
    )


def library_of(path: Path) -> Library | None:
    """The library that wrote a folder; None where it is no model folder."""
    if str(settings(path / "model_config.json").get("name", "")).endswith("Config"):
        return PYTHAE
    if "_class_name" in settings(path / "config.json"):
        return DIFFUSERS
    weights = path / "model.pt"
    if weights.is_file() and _is_zip(weights) and {"attr_dict", "var_names"} <= _top_keys(weights):
        return SCVI
    return None


def settings(path: Path) -> dict[str, Any]:
    """The content of a library's JSON file of settings; {} where it is not there or no such file."""
    try:
        content = read_json(path, _LARGEST_SETTINGS)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_zip(path: Path) -> bool:
    with open_file(path) as handle:
        return handle.read(4) == b"PK\x03\x04"


def _names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def _top_keys(weights: Path) -> set[str]:
    """Names of the entries of a saved dictionary, whatever else is in it; none where it is damaged or beyond any bounds."""
    from circuitprobe.adapters.models.inert_tensors import top_level

    try:
        content = top_level(weights)
    except (*DAMAGED, BeyondBoundsError, ModelError):
        return set()
    return {key for key in content if isinstance(key, str)} if isinstance(content, dict) else set()


def pickled_imports(path: Path) -> tuple[str, ...]:
    """What the folder's pickles would import beyond tensors and containers, all files together.

    Raises:
        ModelError: a file is damaged or beyond bounds, or something in the folder is no file.
    """
    found: dict[str, None] = {}
    try:
        for entry in files_below(path, _MOST_FILES):
            with open_file(entry) as handle:
                head = handle.read(4)
                if entry.suffix == ".json":
                    continue
                if head.startswith(b"PK\x03\x04"):
                    found.update(dict.fromkeys(_in_archive(entry)))
                elif head[:1] == b"\x80" or entry.suffix in {".pkl", ".pickle"} or entry.name in _WEIGHTS:
                    handle.seek(0)
                    within = scan(Contents(handle))
                    refuse_beyond(entry, within)
                    found.update(dict.fromkeys(within.imports))
    except OSError as error:
        raise _unreadable(path, error) from error
    return foreign(tuple(found))


def scripts_in(path: Path) -> tuple[Path, ...]:
    """The TorchScript files of a folder.

    Raises:
        ModelError: an archive is damaged or beyond bounds, or something in the folder is no file.
    """
    found = []
    try:
        for entry in files_below(path, _MOST_FILES):
            with open_file(entry) as handle:
                if not zipfile.is_zipfile(handle):
                    continue
            try:
                with ZipReader(entry, MODEL_FILE, entry.name) as archive:
                    if is_script(archive.names):
                        found.append(entry)
            except DAMAGED as error:
                raise truncated(entry) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    return tuple(found)


def _in_archive(path: Path) -> tuple[str, ...]:
    found: dict[str, None] = {}
    try:
        with ZipReader(path, MODEL_FILE, path.name) as archive:
            for name in archive.names:
                if name.endswith(".pkl"):
                    within = scan(Contents.of(archive.read(name)))
                    refuse_beyond(path, within)
                    found.update(dict.fromkeys(within.imports))
    except DAMAGED as error:
        raise truncated(path) from error
    return tuple(found)


def folder_numbers(path: Path, library: Library) -> int:
    """How many numbers the weights of a library's folder are, checked like ``check_weights_file``; all files of them together.

    Raises:
        ModelError: as of ``check_weights_file``; or there are none.
    """
    from safetensors import SafetensorError, safe_open

    found = [path / name for name in library.weights if (path / name).is_file()]
    if not found:
        raise ModelError(
            f"{path} is a folder of {library.name} without its weights",
            expected=" or ".join(library.weights),
            fix="copy the whole folder again",
        )
    numbers = 0
    for file in found:
        if file.suffix != ".safetensors":
            numbers += check_weights_file(file)
            continue
        try:
            with safe_open(str(file), framework="pt") as opened:
                numbers += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise truncated(file) from error
    return numbers


def check_weights_file(path: Path) -> int:
    """Make sure that the weights of a folder are tensors within the bytes of their file, before its library reads them.

    Args:
        path: a file of torch's, zip or older.

    Returns:
        How many numbers they are.

    Raises:
        ModelError: they are more than tensors, describe more than the file holds, or are damaged.
    """
    try:
        if _is_zip(path):
            with ZipReader(path, MODEL_FILE, path.name) as archive:
                archive.check()
                return check_archive(archive)
        with open_file(path) as handle:
            return check_older(handle)
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(f"{path} describes {error}; nothing in it was loaded") from error
    except NotTensorsError as error:
        raise ModelError(
            f"{path} holds more than tensors: {error}; nothing in it was loaded",
            expected="weights alone",
            fix="add --trust if you know where the folder comes from",
        ) from error
    except DAMAGED as error:
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
