"""What a file is that holds no PyTorch model, told from its first bytes."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from circuitprobe.adapters.user_files import read_json
from circuitprobe.errors import ModelError

_FIX = "a file written by torch.save, torch.jit.save, torch.export.save or circuitprobe train"
_SWAPPED = "the model comes first, the table second: circuitprobe audit MODEL DATA"

# first bytes, what the file is, what to do
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer, not the model itself", "git lfs pull"),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as Keras (.h5) and AnnData (.h5ad) write it",
        "a Keras model: rebuild it in PyTorch; a table: it is the second argument, as CSV or Parquet",
    ),
    (b"\x93NUMPY", "a numpy array (.npy), not a model", _SWAPPED),
    (b"PAR1", "a Parquet table, not a model", _SWAPPED),
    (b"ARROW1", "an Arrow table, not a model", f"{_SWAPPED}, as CSV or Parquet"),
    (b"\x1f\x8b", "compressed by gzip", "gunzip it, or tar xzf for a .tar.gz, and name the model inside"),
    (b"BZh", "compressed by bzip2", "bunzip2 it and name the model inside"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unxz it and name the model inside"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstandard", "unzstd it and name the model inside"),
    (b"\x5d\x00\x00", "compressed by lzma", "unlzma it and name the model inside"),
    (
        b"\x04\x22\x4d\x18",
        "compressed by lz4, as joblib.dump(compress='lz4') does",
        "pip install lz4 and the same command again, or unlz4 it and name the model inside",
    ),
    (
        b"ZF0x",
        "a pickle of joblib before 0.10, compressed by zlib; nothing in it was run",
        "joblib.load it where it was written, then torch.save(model.state_dict(), 'weights.pt') and --factory "
        "package.module:function",
    ),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x it and name the model inside"),
    (b"Rar!", "a RAR archive", "unpack it and name the model inside"),
    (b"PK\x05\x06", "an empty zip archive", "save or copy the model again"),
    (b"\x7fELF", "a compiled library or program", "the exported program instead: torch.export.save"),
    (b"GGUF", "a GGUF file, which llama.cpp reads", _FIX),
)


def no_model(path: Path, head: bytes) -> ModelError:
    """The error for a file that is no model, with what it is instead."""
    for signature, what, fix in _SIGNATURES:
        if head.startswith(signature):
            return _error(path, what, fix)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            before = min((entry.header_offset for entry in archive.infolist()), default=0)
        return _error(
            path,
            f"a zip archive behind {before:,} other bytes, such as the program that unpacks it",
            f"the archive alone: tail -c +{before + 1} {path.name} > model.pt, or unpack it and name the model inside",
        )
    if head[:1] == b"\x78" and head[1:2] in {b"\x01", b"\x5e", b"\x9c", b"\xda"}:
        return _error(path, "compressed by zlib, with no pickle inside as joblib.dump(compress=...) writes it", _FIX)
    if head[4:8] in {b"PTMF", b"ET12"}:
        what = "TorchScript for mobile devices" if head[4:8] == b"PTMF" else "an ExecuTorch program"
        return _error(
            path, f"{what}, a program without the layers it was made of", f"the model it was made from: {_FIX}"
        )
    if head[4:8] == b"TFL3":
        return _error(path, "a TensorFlow Lite model", f"rebuild it in PyTorch: {_FIX}")
    if _is_text(head):
        return _text(path, head)
    if _is_onnx(head):
        return _error(path, "an ONNX model, whose code is not PyTorch's", f"the PyTorch model it was made from: {_FIX}")
    # SavedModel: schema version 1, then the graphs
    if head.startswith(b"\x08\x01\x12") or path.suffix == ".pb":
        return _error(path, "a TensorFlow graph", f"rebuild it in PyTorch: {_FIX}")
    return _error(path, "in no format that is known here", _FIX)


def _error(path: Path, what: str, fix: str) -> ModelError:
    return ModelError(f"{path.name} is {what}", expected="a PyTorch model file", fix=fix)


def _is_onnx(head: bytes) -> bool:
    """ModelProto: field 1 ir_version, a small number, then field 2 the producer's name or field 7 the graph."""
    return head[:1] == b"\x08" and len(head) > 2 and 1 < head[1] < 32 and head[2] in {0x12, 0x3A, 0x42}


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 4].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head and head[:1] not in {b"\x08", b"\x80"}


def _text(path: Path, head: bytes) -> ModelError:
    start = head.lstrip()
    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        return _error(path, "a text file of blank lines, not a model", _FIX)
    if start[:1] == b"<":
        return _error(path, "an HTML or XML page, not a model", "download the file itself, not the page about it")
    if start[:1] in {b"{", b"["}:
        return _json(path)
    if re.match(r"\s*(import |from \w[\w.]* import |\"\"\"|class |def |#!.*python)", lines[0]) or path.suffix == ".py":
        return _error(
            path,
            "Python code, not a model",
            f"the weights it saves come first; the code goes into --factory {path.name}:FUNCTION",
        )
    for mark, what in ((",", "commas"), (";", "semicolons"), ("\t", "tabs")):
        counts = {line.count(mark) for line in lines[:-1][:20]}
        if len(counts) == 1 and counts != {0} and len(lines) > 1:
            return _error(path, f"a text file with columns between {what}: a table, not a model", _SWAPPED)
    if all(re.match(r"\s*(#|-|[\w.\-\"' ]+:(\s|$))", line) for line in lines[:10]):
        return _error(path, "a YAML file: settings, not a model", "the weights file that goes with it")
    return _error(path, "a text file, not a model", _FIX)


def _json(path: Path) -> ModelError:
    try:
        content = read_json(path)
    except (ValueError, OSError):
        return _error(path, "a text file that begins like JSON, not a model", _FIX)
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if isinstance(weights, dict):
        shards = sorted({str(name) for name in weights.values()})
        return _error(
            path,
            f"the index of weights in {len(shards)} files ({', '.join(shards[:4])}), not the weights",
            "put them into one: torch.save({k: v for f in FILES for k, v in safetensors.torch.load_file(f).items()}, "
            "'weights.pt'), then --factory package.module:function",
        )
    entries = f" with {', '.join(list(content)[:5])}" if isinstance(content, dict) else ""
    return _error(
        path, f"a JSON file{entries}: settings or a report, not a model", "the weights file that goes with it"
    )


def packed(path: Path, what: str, names: list[str]) -> ModelError:
    """The error for an archive of files that has to be unpacked first."""
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return _error(path, f"{what} of files: {listed or 'none'}", "unpack it and name the model file inside")
