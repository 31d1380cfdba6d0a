"""Tensors in a file that torch.save wrote, loaded without running anything in it."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from circuitprobe.adapters.data.npy_file import StoredArray
from circuitprobe.adapters.data.plain_arrays import numpy_type, plain_array, readable, what_it_is
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from circuitprobe.types import IntArray

# torch's older format begins with this number, as a pickled integer
OLDER_FORMAT = b"l\xfc\x9cF\xf9 j\xa8P\x19"


def torch_arrays(path: Path) -> tuple[StoredArray, ...]:
    """The tensors of a file: the one that it holds, or those of a dictionary or list by name.

    Archives of the newer format are memory-mapped, so that only the wanted rows are read.

    Raises:
        DataError: damaged, compressed, or more than tensors is in it.
    """
    import torch

    older = _is_older(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=not older)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        # torch's own message says how to run what is in the file
        more = isinstance(error, pickle.UnpicklingError)
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


def _is_older(path: Path) -> bool:
    """Whether the file is no zip archive; of an archive that its members are stored as they are.

    Raises:
        DataError: members are compressed, which torch never does.
    """
    if not zipfile.is_zipfile(path):
        return True
    with zipfile.ZipFile(path) as archive:
        if all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist()):
            return False
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
