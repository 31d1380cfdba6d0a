"""Whether a pickle is tensors and plain containers alone, by its description, before torch reads it.

``torch.load(weights_only=True)`` imports nothing of a file's own, and still calls what is on its list with whatever arguments
the file gives: ``bytearray(3_000_000_000)``, a tensor of 10^12 numbers over a storage of one. So each call is looked at first: it
is on the list here, and what it makes is bounded by the bytes of the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import torch

from circuitprobe.adapters.archives import Bounds, ZipReader
from circuitprobe.adapters.models.pickles import (
    BeyondBoundsError,
    Contents,
    Described,
    Name,
    Scan,
    Stored,
    check_keys,
    scan,
    tangled,
)
from circuitprobe.adapters.user_files import open_file

PER_BYTE, FREE = 8, 16 * 2**20
"""Bytes of all tensors together for each byte of the file, and besides: weights may be there under several names."""
LARGEST_PICKLE = 128 * 2**20
_STORAGES = {
    "Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexFloat": 8, "ComplexDouble": 16, "Untyped": 1, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1,
}  # fmt: skip
_REBUILT = "torch._utils._rebuild_"
_STRIDED = {f"{_REBUILT}{kind}": f for kind, f in (("tensor", 4), ("tensor_v2", 6), ("tensor_v3", 7), ("qtensor", 7))}
_ENCODINGS = {"latin1", "latin-1", "utf-8", "utf8", "ascii"}
_LARGEST_INT = 2**63


class NotTensorsError(Exception):
    """A pickle with something else than tensors and plain containers."""


def pickle_in(archive: ZipReader) -> str | None:
    """The entry of a torch archive that is its pickle."""
    return next((name for name in archive.names if name.endswith("data.pkl") and name.count("/") <= 1), None)


def scan_archive(archive: ZipReader) -> tuple[Scan, Mapping[str, int]]:
    """The pickle of a torch archive, and the bytes of each of its storages.

    Raises:
        NotTensorsError: it has none.
        BeyondBoundsError: it is beyond any size.
    """
    name = pickle_in(archive)
    if name is None:
        raise NotTensorsError("no data.pkl")
    if archive.entries[name].file_size > LARGEST_PICKLE:
        raise BeyondBoundsError(f"a pickle of {archive.entries[name].file_size:,} bytes")
    prefix = f"{name.removesuffix('data.pkl')}data/"
    lengths = {
        entry.removeprefix(prefix): info.file_size
        for entry, info in archive.entries.items()
        if entry.startswith(prefix)
    }
    return scan(Contents.of(archive.read(name))), lengths


def check_archive(archive: ZipReader) -> int:
    """Make sure that a torch archive holds tensors and plain containers within the bytes that it has; their numbers' count.

    Raises:
        NotTensorsError: it calls for something else.
        BeyondBoundsError: it describes more than it holds.
        zipfile.BadZipFile: its directory is not at its end, where every reader looks.
    """
    archive.check_end()
    found, lengths = scan_archive(archive)
    return _Check(found, lengths, archive.size).run()


def check_older(stream: BinaryIO) -> int:
    """The same of a file of torch's older format, or of a plain pickle.

    Raises:
        NotTensorsError, BeyondBoundsError: as of ``check_archive``.
    """
    contents = Contents(stream)
    return _Check(scan(contents), None, contents.size).run()


def load_tensors(
    source: Path | bytes, *, archive: bool, bounds: Bounds, device: str = "cpu", mapped: bool = False
) -> Any:  # noqa: ANN401 - whatever was saved
    """The tensors and plain containers of a file, read by torch after its description was found to be in bounds.

    Args:
        source: the file, or the bytes of one inside another.
        archive: whether it is a zip archive; else of torch's older format.
        bounds: what may come out of an archive.
        device: where the tensors go.
        mapped: leave the numbers of an archive on disk until they are used.

    Raises:
        NotTensorsError: it calls for something else.
        BeyondBoundsError: it describes more than it holds.
        Exception: whatever torch raises where it is damaged.
    """
    if archive:
        with ZipReader(source, bounds, "an inner file" if isinstance(source, bytes) else source.name) as reader:
            check_archive(reader)
    # opened here: given a path, torch goes by the suffix
    with io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as handle:
        if not archive:
            check_older(handle)
        handle.seek(0)
        with warnings.catch_warnings():
            # torch's advice on pickle protocols is for the writer of the file
            warnings.simplefilter("ignore", UserWarning)
            if mapped and archive and not isinstance(source, bytes):
                return torch.load(source, map_location=device, weights_only=True, mmap=True)
            return torch.load(handle, map_location=device, weights_only=True)


class _Check:
    """One pickle's calls against what is allowed.

    Args:
        found: the pickle.
        lengths: bytes of each storage by its key; None where they follow the pickle.
        size: bytes of the file.
    """

    def __init__(self, found: Scan, lengths: Mapping[str, int] | None, size: int) -> None:
        self._found = found
        self._lengths = lengths
        self._size = size
        self._storages: dict[str, int] = {}
        self._kept = 0
        self._made = 0
        self._numbers = 0
        self._calls: dict[str, Callable[[tuple[Any, ...]], bool]] = {
            "collections.OrderedDict": _is_ordered,
            "collections.Counter": lambda given: not given or (len(given) == 1 and isinstance(given[0], dict)),
            "torch.Size": lambda given: len(given) == 1 and are_sizes(given[0]),
            "torch.device": lambda given: all(isinstance(part, (str, int)) for part in given),
            "torch.serialization._get_layout": lambda given: all(isinstance(part, str) for part in given),
            "_codecs.encode": lambda given: len(given) == 1 or (len(given) == 2 and given[1] in _ENCODINGS),
            "builtins.bytearray": lambda given: not any(isinstance(part, int) for part in given),
            "builtins.set": _is_set,
            "builtins.complex": lambda given: all(isinstance(part, (int, float)) for part in given),
            f"{_REBUILT}parameter": _is_parameter,
            f"{_REBUILT}parameter_with_state": _is_parameter,
            f"{_REBUILT}sparse_tensor": _is_sparse,
            "torch._tensor._rebuild_from_type_v2": self._is_typed,
        }

    def run(self) -> int:
        beyond = self._found.beyond or tangled(self._found.roots)
        if beyond:
            raise BeyondBoundsError(beyond)
        for stored in self._found.stored:
            self._keep(stored)
        for call in self._found.calls:
            self._check(call)
        return self._numbers

    def _keep(self, stored: Stored) -> None:
        key = stored.key
        if not isinstance(key, tuple) or len(key) not in {5, 6} or key[0] != "storage" or not isinstance(key[1], Name):
            raise NotTensorsError("a persistent id that is no storage")
        kind, name, count = key[1].path, key[2], key[4]
        item = _STORAGES.get(kind.rpartition(".")[2].removesuffix("Storage"))
        if not kind.startswith("torch.") or item is None or not isinstance(name, str) or not is_size(count):
            raise NotTensorsError(f"a storage of {kind[:60]}")
        there = self._size if self._lengths is None else self._lengths.get(name, 0)
        if count * item > there:
            raise BeyondBoundsError(f"a storage of {count * item:,} bytes where there are {there:,}")
        if name not in self._storages:
            self._storages[name] = count * item
            self._kept += count * item
        elif self._storages[name] != count * item:
            raise BeyondBoundsError("one storage with two sizes")
        # the older format makes room for each storage before it reads one
        if self._lengths is None and self._kept > self._size:
            raise BeyondBoundsError(f"storages of more bytes than the file's {self._size:,}")
        if len(key) == 6 and key[5] is not None:
            raise NotTensorsError("a storage that is a view of another")

    def _check(self, call: Described) -> None:
        path = call.path
        if path not in self._calls and path not in _STRIDED:
            raise NotTensorsError(f"a call of {path[:80] or 'something made at run time'}")
        ordered = path == "collections.OrderedDict"
        filled = (call.state is not None and not (ordered and isinstance(call.state, dict))) or (
            call.items and not ordered and path != "collections.Counter"
        )
        if filled:
            raise NotTensorsError(f"a {path} that is filled otherwise")
        self._check_arguments(path, call.arguments)

    def _check_arguments(self, path: str, given: tuple[Any, ...]) -> None:
        if path in _STRIDED:
            self._check_extent(path, given)
        elif not self._calls[path](given):
            raise NotTensorsError(f"arguments of {path} that are none of its own")

    def _is_typed(self, given: tuple[Any, ...]) -> bool:
        """A tensor with attributes: the function that makes it, its class, that function's arguments, the attributes."""
        if len(given) != 4 or not isinstance(given[0], Name) or not isinstance(given[2], tuple):
            return False
        if given[0].path not in _STRIDED and given[0].path != f"{_REBUILT}parameter":
            return False
        self._check_arguments(given[0].path, given[2])
        return isinstance(given[1], Name) and given[1].path in {"torch.Tensor", "torch.nn.parameter.Parameter"}

    def _check_extent(self, path: str, given: tuple[Any, ...]) -> None:
        if len(given) < 4 or not isinstance(given[0], Stored):
            raise NotTensorsError(f"arguments of {path} that are none of its own")
        stored, offset, size, stride = given[:4]
        size, stride = (each.arguments[0] if isinstance(each, Described) else each for each in (size, stride))
        if not (is_size(offset) and are_sizes(size) and are_sizes(stride) and len(size) == len(stride) <= 64):
            raise BeyondBoundsError("a tensor whose sizes are none")
        item = _STORAGES[stored.key[1].path.rpartition(".")[2].removesuffix("Storage")]
        if path.endswith("_v3"):
            dtype = getattr(torch, given[6].path.removeprefix("torch."), None) if isinstance(given[6], Name) else None
            if not isinstance(dtype, torch.dtype):
                raise NotTensorsError("a tensor of no known type")
            item = dtype.itemsize
        made, reach = extent(size, stride, offset)
        if reach * item > self._storages[stored.key[2]]:
            raise BeyondBoundsError(
                f"a tensor of shape {shape_words(size)} over {self._storages[stored.key[2]]:,} bytes"
            )
        self._numbers += made
        self._made += made * item
        if self._made > PER_BYTE * self._size + FREE:
            raise BeyondBoundsError(f"tensors of more than {PER_BYTE * self._size + FREE:,} bytes in {self._size:,}")


def extent(size: Any, stride: Any, offset: int) -> tuple[int, int]:  # noqa: ANN401 - lists or tuples of ints
    """How many numbers a tensor has, and how many its storage needs."""
    count = 1
    for side in size:
        count *= side
        if count > _LARGEST_INT:
            raise BeyondBoundsError(f"a tensor of shape {shape_words(size)}")
    reach = offset + 1 + sum((side - 1) * step for side, step in zip(size, stride, strict=True)) if count else 0
    return count, reach


def shape_words(size: Any) -> str:  # noqa: ANN401
    """A shape for a message."""
    return " x ".join(f"{side:,}" for side in list(size)[:6]) or "()"


def is_size(value: object) -> bool:
    """Whether a value is a number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_INT


def are_sizes(value: object) -> TypeGuard[Sequence[int]]:
    """Whether a value is a list or tuple of numbers of things."""
    return isinstance(value, (list, tuple)) and all(is_size(each) for each in value)


def _is_ordered(given: tuple[Any, ...]) -> bool:
    if not given:
        return True
    pairs = given[0]
    if len(given) != 1 or not isinstance(pairs, (list, tuple)):
        return False
    check_keys(pair[0] for pair in pairs if isinstance(pair, (list, tuple)) and pair)
    return all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs)


def _is_set(given: tuple[Any, ...]) -> bool:
    if len(given) != 1 or not isinstance(given[0], (list, tuple)):
        return not given
    check_keys(given[0])
    return True


def _is_parameter(given: tuple[Any, ...]) -> bool:
    return (
        len(given) >= 3
        and isinstance(given[0], Described)
        and given[0].path in (*_STRIDED, "torch._tensor._rebuild_from_type_v2")
    )


def _is_sparse(given: tuple[Any, ...]) -> bool:
    parts = given[1] if len(given) == 2 else None
    flags = (True, False, None)
    return isinstance(parts, tuple) and all(
        isinstance(part, Described) or are_sizes(part) or part in flags for part in parts
    )
