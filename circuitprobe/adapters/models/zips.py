"""Zip archives: torch's three formats, and those of others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from circuitprobe.adapters.archives import DAMAGED, ZipReader
from circuitprobe.adapters.models.files import (
    FIX,
    MODEL_FILE,
    FileFacts,
    FileKind,
    pickle_facts,
    refuse_beyond,
    truncated,
)
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, scan
from circuitprobe.adapters.models.strangers import packed
from circuitprobe.adapters.models.tensor_pickles import pickle_in, scan_archive
from circuitprobe.errors import ModelError


def look_into_zip(path: Path) -> FileFacts:
    """Tell what a zip archive holds; nothing in it is run.

    Raises:
        ModelError: it is damaged, would inflate without bounds, names an entry twice, or is none of torch's.
    """
    try:
        with ZipReader(path, MODEL_FILE, path.name) as archive:
            names = archive.names
            archive.check()
            facts = _facts(path, archive, names)
    except RuntimeError as error:
        # a password, or a compression that Python does not know
        raise ModelError(
            f"{path.name} is a zip archive that cannot be read here: {error}",
            expected="a model file, whose entries torch stores as they are",
            fix=FIX,
        ) from error
    except (*DAMAGED, OSError) as error:
        raise truncated(path) from error
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(f"{path.name} holds {error}") from error
    if facts is None:
        raise _of_others(path, names)
    return facts


def _facts(path: Path, archive: ZipReader, names: list[str]) -> FileFacts | None:
    if any(name.endswith(("/archive_format", "/models/model.json")) for name in names) or {
        "version",
        "serialized_exported_program.json",
    } <= set(names):
        return _exported(path, archive, names)
    if any(name.endswith(".data/extern_modules") for name in names):
        raise ModelError(
            f"{path.name} is a torch.package archive: weights together with the Python code that uses them",
            expected="a file that is read without running code",
            fix="where it came from: torch.save(model.state_dict(), 'weights.pt'), then --factory package.module:function",
        )
    if is_script(names):
        return FileFacts(FileKind.TORCH_SCRIPT)
    if pickle_in(archive) is None:
        return None
    return pickle_facts(path, FileKind.TORCH_ARCHIVE, scan_archive(archive)[0])


def is_script(names: Iterable[str]) -> bool:
    """Whether an archive of such entries may be TorchScript: torch finds entries whatever the case of their letters."""
    parts = [name.lower().replace("\\", "/").split("/") for name in names]
    return any(each[-1] == "constants.pkl" or "code" in each[:-1][:2] for each in parts)


def _exported(path: Path, archive: ZipReader, names: list[str]) -> FileFacts:
    """An exported program; imports are those of its pickles: sample inputs, subclass tensors, custom objects."""
    programs = [name for name in names if "/models/" in f"/{name}" and name.endswith(".json")]
    older = "serialized_exported_program.json" in names
    if not programs and not older:
        compiled = [name for name in names if "/data/aotinductor/" in f"/{name}"]
        what = "an AOTInductor package: compiled code without the program" if compiled else "without a program in it"
        raise ModelError(
            f"{path.name} is a torch.export archive, {what}; nothing in it was run",
            expected="the exported program, whose layers can be looked into",
            fix="torch.export.save(torch.export.export(model, (x,)), 'model.pt2')",
        )
    found: dict[str, None] = {}
    for name in names:
        content = archive.read(name)
        if content.startswith(b"PK\x03\x04"):
            with ZipReader(content, MODEL_FILE, f"{name} in {path.name}", archive.budget) as inner:
                pickled = pickle_in(inner)
                content = b"" if pickled is None else inner.read(pickled)
        # raw weights begin as they like; entries called pickles, and pickles whatever they are called
        if content[:1] == b"\x80" and content[-1:] == b".":
            within = scan(Contents.of(content))
            # raw weights that look like a pickle are no whole one
            if within.whole:
                refuse_beyond(path, within)
            found.update(dict.fromkeys(within.imports))
    return FileFacts(FileKind.EXPORTED, tuple(found))


def _of_others(path: Path, names: list[str]) -> ModelError:
    """What a zip archive is that torch did not write."""
    if {"metadata.json", "config.json"} <= set(names) or "model.weights.h5" in names:
        return ModelError(
            f"{path.name} is a Keras model", expected="a PyTorch model", fix="rebuild it in PyTorch and " + FIX
        )
    if names and all(name.endswith(".npy") for name in names):
        return ModelError(
            f"{path.name} holds numpy arrays ({', '.join(name[:-4] for name in names[:4])}): a table, or weights without names "
            "that torch knows",
            expected="a model file",
            fix="arrays are the second argument: circuitprobe audit MODEL DATA; weights: torch.save of a state_dict",
        )
    if "schema.json" in names:
        return ModelError(
            f"{path.name} is a skops file, as scikit-learn models are saved",
            expected="a PyTorch model",
            fix="load it with skops, then torch.save the network that it holds; " + FIX,
        )
    models = [name for name in names if name.endswith((".pt", ".pth", ".ckpt", ".safetensors", ".pt2", ".bin"))]
    if models:
        return packed(path, "a zip archive", models)
    return ModelError(
        f"{path.name} is a zip archive that torch did not write ({len(names)} entries, first {names[0] if names else 'none'})",
        expected="a model file",
        fix=FIX,
    )
