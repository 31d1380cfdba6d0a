"""Tensors and arrays from Python or a file as plain numpy arrays: what is not stored as one number per entry is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_NUMPY = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
)  # fmt: skip
_WIDENED = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
"""Numbers that numpy does not know; 32-bit floats hold all of them."""


def numpy_type(tensor: Tensor) -> np.dtype[Any] | None:
    """What the entries of a tensor are in numpy; None for complex, quantized and packed ones."""
    name = str(tensor.dtype).removeprefix("torch.")
    if name in _WIDENED:
        return np.dtype(np.float32)
    return np.dtype(name) if name in _NUMPY else None


def what_it_is(tensor: Tensor) -> str | None:
    """What a tensor is instead of numbers in memory, in words; None for one that is just that."""
    from torch import Tensor as Plain
    from torch import strided

    if type(tensor).__torch_dispatch__ is not Plain.__torch_dispatch__:
        return f"a {type(tensor).__name__}, which holds no numbers itself"
    if tensor.is_nested:
        return "a nested tensor, whose rows have different shapes"
    if tensor.layout is not strided:
        return f"a tensor of layout {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_meta:
        return "a tensor on the device meta, which has a shape and no numbers"
    try:
        tensor.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return "a tensor inside a transformation of torch.func, which has no numbers yet"
    return None if numpy_type(tensor) is not None else f"of {str(tensor.dtype).removeprefix('torch.')}"


def readable(x: np.ndarray[Any, Any] | Tensor, *, what: str = "array") -> np.ndarray[Any, Any] | Tensor:
    """An array or tensor that rows can be picked from and that ``plain_array`` takes; no copy is made.

    Args:
        x: any shape.
        what: what it is to the user.

    Returns:
        The same numbers as a ``numpy.ndarray`` or ``torch.Tensor`` of no subclass.

    Raises:
        DataError: a tensor that holds no real numbers in memory: nested, sparse, quantized, complex, on the device meta, fake; an
            array with masked entries.
    """
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            raise DataError(
                f"The {what} is masked: {int(np.ma.getmaskarray(x).sum()):,} of its entries are hidden.",
                expected="a number in every entry",
                fix="x.filled(value), or x[~x.mask.any(axis=1)].data for the rows without",
            )
        return np.asarray(x.data)
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    from torch import Tensor

    seen = what_it_is(x)
    if seen is not None:
        raise DataError(
            f"The {what} is {seen}.",
            expected="real numbers in memory, one per entry",
            fix="x.to_dense(), x.dequantize(), x.real or torch.stack(rows), whichever makes one of it",
        )
    return x.detach().as_subclass(Tensor)


def plain_array(x: np.ndarray[Any, Any] | Tensor) -> np.ndarray[Any, Any]:
    """What ``readable`` gives as a numpy array; numbers that numpy does not know as float32."""
    if isinstance(x, np.ndarray):
        return x
    whole = x.cpu().resolve_neg()
    return np.asarray((whole.float() if str(whole.dtype).removeprefix("torch.") in _WIDENED else whole).numpy())
