"""Weights out of a torch archive whose pickle also holds foreign classes, without importing any of them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuitprobe.adapters.models.pickles import Described, Name, Stored, describe

_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}


def read_plain(path: Path) -> Any:  # noqa: ANN401 - whatever was saved
    """The archive's content: containers, numbers and tensors as they are, everything else as a ``Described``.

    Nothing is resolved by name: tensors are put together here from the archive's bytes.

    Args:
        path: a torch.save archive.

    Returns:
        The content; None where its pickle cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl") and n.count("/") <= 1)
        prefix = name[: -len("data.pkl")]
        swapped = f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little"
        return None if swapped else _plain(describe(archive.read(name)), archive, prefix, {}, {})


def top_level(path: Path) -> Any:  # noqa: ANN401
    """The archive's content with tensors left as descriptions; None where its pickle cannot be read."""
    with zipfile.ZipFile(path) as archive:
        name = next((n for n in archive.namelist() if n.endswith("data.pkl") and n.count("/") <= 1), None)
        return describe(archive.read(name)) if name else None


def _plain(value: Any, archive: zipfile.ZipFile, prefix: str, seen: dict[str, bytes], made: dict[int, Any]) -> Any:  # noqa: ANN401
    """The same with tensors in place of their descriptions; what is there twice, or within itself, is made once."""
    if isinstance(value, Described):
        tensor = _tensor(value, archive, prefix, seen)
        if tensor is not None:
            return tensor
        if value.path != "collections.OrderedDict":
            return value
        value = value.items or dict(_pairs(value.arguments))
    if not isinstance(value, dict):
        return value
    if id(value) not in made:
        made[id(value)] = result = {}
        for key, item in value.items():
            result[key] = _plain(item, archive, prefix, seen, made)
    return made[id(value)]


def _pairs(arguments: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """What an ordered dictionary was made of before it had items set: lists of two."""
    first = arguments[0] if arguments else []
    return [tuple(pair) for pair in first if isinstance(pair, (list, tuple)) and len(pair) == 2]


def _tensor(value: Described, archive: zipfile.ZipFile, prefix: str, seen: dict[str, bytes]) -> torch.Tensor | None:
    if value.path in {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}:
        inner = value.arguments[0] if value.arguments else None
        return _tensor(inner, archive, prefix, seen) if isinstance(inner, Described) else None
    if value.path != "torch._utils._rebuild_tensor_v2" or len(value.arguments) < 4:
        return None
    stored, offset, size, stride = value.arguments[:4]
    key = stored.key if isinstance(stored, Stored) else None
    if not isinstance(key, tuple) or len(key) < 3 or not isinstance(key[1], Name):
        return None
    dtype = _STORAGES.get(key[1].path)
    entry = f"{prefix}data/{key[2]}"
    whole = isinstance(offset, int) and all(isinstance(n, int) and n >= 0 for n in (*size, *stride, offset))
    if dtype is None or not whole or len(size) != len(stride) or entry not in archive.namelist():
        return None
    if entry not in seen:
        seen[entry] = archive.read(entry)
    content = seen[entry]
    if math.prod(size) == 0:
        return torch.empty(tuple(size), dtype=dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (last + 1) * dtype.itemsize > len(content):
        return None
    flat = torch.frombuffer(bytearray(content), dtype=dtype, count=len(content) // dtype.itemsize)
    return flat.as_strided(tuple(size), tuple(stride), offset).clone()


def is_state_dict(value: object) -> bool:
    """Whether a value is a dictionary of names and tensors, with at least one."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(item, torch.Tensor) for key, item in value.items())
    )
