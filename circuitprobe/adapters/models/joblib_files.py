"""joblib's files: pickles with the bytes of numpy arrays between their parts, compressed or not.

``joblib.dump`` writes an array as a small object, the wrapper, and the array's bytes behind it. An ordinary unpickler takes those
for opcodes, so such a file seems to break off there.
"""

from __future__ import annotations

import bz2
import importlib
import io
import lzma
import math
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from circuitprobe.adapters.archives import Bounds, Counted
from circuitprobe.adapters.models.files import FIX, MODEL_FILE, FileFacts, FileKind, is_pickle, truncated
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, Described, Describer, Name
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import CircuitProbeError, ModelError

_WRITER = "joblib.numpy_pickle"
_WRAPPER = f"{_WRITER}.NumpyArrayWrapper"
_CHUNK, _HEAD = 2**20, 4096
_JOBLIB_FILE = Bounds("a model file", ModelError, FIX, per_byte=16, free=64 * 2**20)
# first bytes, name, what inflates a part, what opens a file
_COMPRESSIONS: tuple[tuple[bytes, str, Callable[[], Any], str, str], ...] = (
    (b"\x1f\x8b", "gzip", lambda: zlib.decompressobj(31), "gzip", "GzipFile"),
    (b"BZh", "bzip2", bz2.BZ2Decompressor, "bz2", "BZ2File"),
    (b"\xfd7zXZ\x00", "xz", lzma.LZMADecompressor, "lzma", "LZMAFile"),
    (b"\x5d\x00\x00", "lzma", lzma.LZMADecompressor, "lzma", "LZMAFile"),
    (b"\x78", "zlib", zlib.decompressobj, "joblib.compressor", "BinaryZlibFile"),
    (
        b"\x04\x22\x4d\x18",
        "lz4",
        lambda: importlib.import_module("lz4.frame").LZ4FrameDecompressor(),
        "lz4.frame",
        "LZ4FrameFile",
    ),
)


def of_joblib(imports: tuple[str, ...]) -> bool:
    """Whether a pickle names joblib's wrapper of arrays, that of today or an older one."""
    return any(name.startswith(f"{_WRITER}.") for name in imports)


def compression(path: Path, head: bytes) -> str:
    """How a compressed pickle is compressed; "" for all other files, and where what inflates it is not installed."""
    for first, name, inflater, _, _ in _COMPRESSIONS:
        if head.startswith(first):
            with open_file(path) as handle:
                # bzip2 gives nothing before its first block, of 900,000 bytes, is complete
                part = handle.read(_CHUNK)
            try:
                return name if is_pickle(inflater().decompress(part, _HEAD)) else ""
            except Exception:  # noqa: BLE001 - bytes that only begin like compressed ones make the libraries raise anything
                return ""
    return ""


def look_into_joblib(path: Path, compressed: str = "") -> FileFacts:
    """What unpickling would import; nothing is run.

    Args:
        path: the file.
        compressed: as ``compression`` says.

    Raises:
        ModelError: it breaks off, or is beyond what any model's is.
    """
    stream = _opened(path, compressed)
    reader = _Reader(stream)
    whole = True
    try:
        reader.load()
    except CircuitProbeError:
        raise
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(f"{path.name} holds a pickle with {error}; nothing in it was loaded") from error
    except Exception as error:
        if stream.ended or isinstance(error, EOFError):
            raise truncated(path) from error
        whole = False
    return FileFacts(FileKind.JOBLIB, tuple(reader.names), whole, torch_wrote=False, compressed=compressed)


def describe_joblib(path: Path, compressed: str) -> Any:  # noqa: ANN401 - whatever was saved
    """The content as a description; None where it cannot be read without running it."""
    try:
        return _Reader(_opened(path, compressed)).load()
    except Exception:  # noqa: BLE001 - as in ``pickles.described``
        return None


def load_joblib(path: Path, find: Callable[[str, str], Any]) -> Any:  # noqa: ANN401
    """Unpickle by joblib itself: runs the code in the file.

    Args:
        path: the file.
        find: (module, name) -> the user's class of that name, or None.
    """
    import joblib
    from joblib import numpy_pickle

    own = numpy_pickle.NumpyUnpickler

    class Unpickler(own):  # type: ignore[misc, valid-type]
        def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
            found = find(module, name)
            return super().find_class(module, name) if found is None else found

    # joblib.load takes no unpickler, and how one is made differs between its versions
    numpy_pickle.NumpyUnpickler = Unpickler
    try:
        return joblib.load(path)
    finally:
        numpy_pickle.NumpyUnpickler = own


class _Stream(Contents):
    """A stream that is read from front to back, and that says whether it came to its end.

    Args:
        stream: a file, or what inflates one.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.steps, self.ended = stream, 0, False

    def read(self, count: int) -> bytes:
        """So many bytes; none of them where they are many."""
        kept, left = b"", count
        while left > 0:
            piece = self._stream.read(min(left, _CHUNK))
            if not piece:
                self.ended = True
                break
            left -= len(piece)
            if count <= _CHUNK:
                kept += piece
        return kept

    def readline(self) -> bytes:
        """Up to the next end of a line."""
        line = super().readline()
        self.ended = self.ended or not line.endswith(b"\n")
        return line

    def frame(self, count: int) -> bytes:
        """A part of the pickle itself."""
        content = super().frame(count)
        self.ended = self.ended or len(content) < count
        return content


def _opened(path: Path, compressed: str) -> _Stream:
    if not compressed:
        return _Stream(open_file(path))
    module, name = next((module, opener) for _, known, _, module, opener in _COMPRESSIONS if known == compressed)
    inflated = getattr(importlib.import_module(module), name)(str(path), "rb")
    counted = Counted(inflated, _JOBLIB_FILE.budget(path.stat().st_size), path.name)
    return _Stream(cast("BinaryIO", io.BufferedReader(counted)))


class _Reader(Describer):
    """Describes a pickle and steps over the arrays in it."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(Describer.dispatch)

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self._stream = stream

    def _state_or_array(self) -> None:
        self._state()
        made = self.stack[-1]
        if isinstance(made, Described) and made.path == _WRAPPER and isinstance(made.state, dict):
            self._step_over(made.state)
            self.stack[-1] = Described(Name("numpy.ndarray"))

    dispatch[pickle.BUILD[0]] = _state_or_array

    def _step_over(self, array: dict[str, Any]) -> None:
        size, objects = _item(array["dtype"])
        if objects:
            inner = _Reader(self._stream)
            inner.load()
            self.names.update(inner.names)
            return
        if array.get("numpy_array_alignment_bytes") is not None:
            self._stream.read(self._stream.read(1)[0])
        left = math.prod(array["shape"]) * size
        while left > 0:
            left -= len(self._stream.read(min(left, _CHUNK)))
            if self._stream.ended:
                raise EOFError


def _item(dtype: Described) -> tuple[int, bool]:
    """Bytes of one element of a described numpy.dtype, and whether its elements are Python objects."""
    found = re.fullmatch(r"([A-Za-z])(\d+)", str(dtype.arguments[0]))
    if found is None:
        raise pickle.UnpicklingError(f"dtype {dtype.arguments[0]!r}")
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    # numpy's flag of items that are counted references
    objects = found[1] == "O" or bool(len(state) > 7 and isinstance(state[7], int) and state[7] & 1)
    return int(found[2]) * (4 if found[1] == "U" else 1), objects
