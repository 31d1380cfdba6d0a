"""Pickles as their opcodes spell them, and torch archives that say of their storages what they like."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hostile.corpus import CANARY


class Opens:
    """Makes the canary when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (CANARY, "w")


class Calls:
    """Calls something when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self._reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def by_name(path: str) -> Any:
    """What pickles as a global of that name, whether or not there is one here."""
    module, _, name = path.rpartition(".")
    return _Global(module, name)


@dataclass(frozen=True)
class _Global:
    module: str
    name: str


@dataclass(frozen=True)
class Called:
    """A REDUCE of any name with any arguments."""

    path: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A storage: its class by name, its entry, and how many elements it is said to have."""

    kind: str = "torch.FloatStorage"
    key: str = "0"
    elements: int = 1
    location: str = "cpu"


class Writer(pickle._Pickler):
    """A pickler that writes names which need not exist, and storages."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, Stored):
            return ("storage", by_name(value.kind), value.key, value.location, value.elements)
        return None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Called):
            self.save(by_name(obj.path))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def written(value: Any, protocol: int = 2) -> bytes:
    """A pickle of names, calls and storages."""
    out = io.BytesIO()
    Writer(out, protocol).dump(value)
    return out.getvalue()


def archive(pickled: bytes, storages: Mapping[str, bytes] | None = None, **entries: bytes) -> bytes:
    """A torch archive of a pickle as it is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("m/data.pkl", pickled)
        made.writestr("m/byteorder", "little")
        for key, stored in (storages or {}).items():
            made.writestr(f"m/data/{key}", stored)
        for name, stored in entries.items():
            made.writestr(f"m/{name}", stored)
        made.writestr("m/version", "3\n")
    return out.getvalue()


def saved(value: Any, **options: Any) -> bytes:
    """As torch.save writes it."""
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def tensor(size: Sequence[int], stride: Sequence[int], offset: int = 0, stored: Stored | None = None) -> Called:
    """A tensor of any size over a storage of four bytes."""
    arguments = (stored or Stored(), offset, tuple(size), tuple(stride), False, Called("collections.OrderedDict"))
    return Called("torch._utils._rebuild_tensor_v2", arguments)


def weights(value: Any, numbers: bytes = b"\0\0\0\0") -> bytes:
    """A state_dict of one tensor."""
    return archive(written({"encoder.0.weight": value}), {"0": numbers})


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda plain: gzip.compress(plain, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def zipped(entries: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, plain in entries.items():
            made.writestr(name, plain)
    return out.getvalue()
