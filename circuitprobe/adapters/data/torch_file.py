"""Tensors in a file that torch.save wrote, loaded without running anything in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from circuitprobe.adapters.archives import Bounds, ZipReader
from circuitprobe.adapters.data.npy_file import StoredArray
from circuitprobe.adapters.data.plain_arrays import numpy_type, plain_array, readable, what_it_is
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from circuitprobe.types import IntArray

# torch's older format begins with this number, as a pickled integer
OLDER_FORMAT = b"l\xfc\x9cF\xf9 j\xa8P\x19"

TENSOR_FILE = Bounds(
    "a file of tensors that torch.save wrote",
    DataError,
    "torch.save(images.clone(), 'images.pt'), which keeps the numbers that the tensor has",
    per_byte=2,
)
"""What may come out of a file of tensors."""


def torch_arrays(path: Path) -> tuple[StoredArray, ...]:
    """The tensors of a file: the one that it holds, or those of a dictionary or list by name.

    Archives of the newer format are memory-mapped, so that only the wanted rows are read.

    Raises:
        DataError: damaged, compressed, or more than tensors is in it.
    """
    import torch

    from circuitprobe.adapters.models.pickles import BeyondBoundsError
    from circuitprobe.adapters.models.tensor_pickles import NotTensorsError, load_tensors

    try:
        content = load_tensors(path, archive=_is_archive(path), bounds=TENSOR_FILE, mapped=True)
    except (MemoryError, torch.OutOfMemoryError, DataError):
        raise
    except BeyondBoundsError as error:
        raise TENSOR_FILE.refused(f"{path.name} describes {error}.") from error
    except Exception as error:
        # torch's own message says how to run what is in the file
        more = isinstance(error, (pickle.UnpicklingError, NotTensorsError))
        why = "it holds more than tensors" if more else f"{type(error).__name__}, damaged or cut off"
        raise DataError(
            f"{path.name} cannot be read as tensors alone: {why}.",
            expected="a whole tensor that torch.save wrote; anything else in data is never loaded",
            fix='torch.save(images, "images.pt") with images a tensor of shape (rows, channels, height, width)',
        ) from error
    tensors = {name: tensor for name, tensor in _named(content).items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise DataError(
            f"{path.name} holds a {type(content).__name__} without a tensor.",
            expected="a tensor of shape (rows, channels, height, width) or (rows, dims)",
            fix='torch.save(images, "images.pt")',
        )
    return tuple(_stored(name, tensor) for name, tensor in tensors.items())


def _is_archive(path: Path) -> bool:
    """Whether the file is a zip archive, whose members are then stored as they are.

    Raises:
        DataError: it is TorchScript, or members are compressed, which torch never does.
    """
    from circuitprobe.adapters.models.zips import is_script

    with open_file(path) as handle:
        if handle.read(4) != b"PK\x03\x04":
            return False
    with ZipReader(path, TENSOR_FILE, path.name) as archive:
        if is_script(archive.names):
            raise DataError(
                f"{path.name} is TorchScript: a program, not rows.",
                expected="a whole tensor that torch.save wrote; anything else in data is never loaded",
                fix="the model comes first, the table second: circuitprobe audit MODEL DATA",
            )
        if all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.entries.values()):
            return True
    raise DataError(
        f"{path.name} is a compressed archive.",
        expected="an archive that torch.save wrote, whose members are stored as they are",
        fix='torch.save(images, "images.pt")',
    )


def _named(content: object) -> dict[str, object]:
    if isinstance(content, Mapping):
        return {str(name): value for name, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        return {str(place): value for place, value in enumerate(content)}
    return {"": content}


def _stored(name: str, tensor: Tensor) -> StoredArray:
    seen = what_it_is(tensor)
    if seen is not None:
        # of a nested one not even the shape can be asked for
        shape = () if tensor.is_nested else tuple(tensor.shape)
        return StoredArray(name, shape, None, seen, lambda _: _unread(seen))

    def rows(index: IntArray) -> np.ndarray[Any, Any]:
        import torch

        return np.array(plain_array(readable(tensor)[torch.as_tensor(index)]))

    return StoredArray(name, tuple(tensor.shape), numpy_type(tensor), str(tensor.dtype).removeprefix("torch."), rows)


def _unread(seen: str) -> NoReturn:
    raise DataError(
        f"The array is {seen}.", expected="real numbers in memory, one per entry", fix="save the tensor x.to_dense()"
    )
