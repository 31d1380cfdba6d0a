"""Weights out of a torch archive whose pickle also holds foreign classes, without importing any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from circuitprobe.adapters.archives import ZipReader
from circuitprobe.adapters.models.files import MODEL_FILE
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Described, Name, Stored, check_keys, describe
from circuitprobe.adapters.models.tensor_pickles import (
    FREE,
    PER_BYTE,
    are_sizes,
    extent,
    is_size,
    pickle_in,
    scan_archive,
    shape_words,
)

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
        The content; None where its pickle cannot be read, or describes more than the archive holds.
    """
    with ZipReader(path, MODEL_FILE, path.name) as archive:
        name = pickle_in(archive)
        if name is None:
            return None
        prefix = name.removesuffix("data.pkl")
        order = f"{prefix}byteorder"
        swapped = order in archive.entries and archive.read(order) != b"little"
        try:
            return None if swapped else _Reader(archive, prefix).plain(describe(archive.read(name)))
        except BeyondBoundsError:
            return None


def top_level(path: Path) -> Any:  # noqa: ANN401
    """The archive's content with tensors left as descriptions; None where its pickle cannot be read."""
    with ZipReader(path, MODEL_FILE, path.name) as archive:
        if pickle_in(archive) is None:
            return None
        found, _ = scan_archive(archive)
        return found.roots[0] if found.roots and not found.beyond else None


class _Reader:
    """Puts tensors in the place of their descriptions.

    Args:
        archive: where their numbers are.
        prefix: of its entries' names.
    """

    def __init__(self, archive: ZipReader, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix
        self._seen: dict[str, bytearray] = {}
        self._made: dict[int, Any] = {}
        self._left = PER_BYTE * archive.size + FREE

    def plain(self, value: Any) -> Any:  # noqa: ANN401
        """The same with tensors; what is there twice, or within itself, is made once. A description is never deep."""
        if isinstance(value, Described):
            tensor = self._tensor(value)
            if tensor is not None:
                return tensor
            if value.path != "collections.OrderedDict":
                return value
            value = value.items or dict(_pairs(value.arguments))
        if not isinstance(value, dict):
            return value
        if id(value) not in self._made:
            self._made[id(value)] = result = {}
            for key, item in value.items():
                result[key] = self.plain(item)
        return self._made[id(value)]

    def _tensor(self, value: Described) -> torch.Tensor | None:
        if value.path in {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}:
            inner = value.arguments[0] if value.arguments else None
            return self._tensor(inner) if isinstance(inner, Described) else None
        if value.path != "torch._utils._rebuild_tensor_v2" or len(value.arguments) < 4:
            return None
        stored, offset, size, stride = value.arguments[:4]
        key = stored.key if isinstance(stored, Stored) else None
        if not isinstance(key, tuple) or len(key) < 3 or not isinstance(key[1], Name):
            return None
        dtype = _STORAGES.get(key[1].path)
        entry = f"{self._prefix}data/{key[2]}"
        whole = is_size(offset) and are_sizes(size) and are_sizes(stride)
        if dtype is None or not whole or len(size) != len(stride) or entry not in self._archive.entries:
            return None
        count, reach = extent(size, stride, offset)
        if count == 0:
            return torch.empty(tuple(size), dtype=dtype)
        self._left -= count * dtype.itemsize
        if self._left < 0:
            raise BeyondBoundsError(f"a tensor of shape {shape_words(size)}")
        if entry not in self._seen:
            self._seen[entry] = bytearray(self._archive.read(entry))
        content = self._seen[entry]
        if reach * dtype.itemsize > len(content):
            return None
        flat = torch.frombuffer(content, dtype=dtype, count=len(content) // dtype.itemsize)
        return flat.as_strided(tuple(size), tuple(stride), offset).clone()


def _pairs(arguments: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """What an ordered dictionary was made of before it had items set: lists of two."""
    first = arguments[0] if arguments else []
    pairs = [tuple(pair) for pair in first if isinstance(pair, (list, tuple)) and len(pair) == 2]
    check_keys(key for key, _ in pairs)
    return pairs


def is_state_dict(value: object) -> bool:
    """Whether a value is a dictionary of names and tensors, with at least one."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(key, str) and isinstance(item, torch.Tensor) for key, item in value.items())
    )
