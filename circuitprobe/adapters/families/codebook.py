"""Codes that are indices into a codebook."""

from __future__ import annotations

from torch import Tensor

from circuitprobe.errors import ModelError


def entries(book: Tensor, codes: Tensor) -> Tensor:
    """The codebook's vectors at some indices.

    Args:
        book: shape (codebook size, width).
        codes: indices as numbers, any shape.

    Returns:
        One vector per index, the last axis the width.

    Raises:
        ModelError: an index lies outside.
    """
    indices = codes.round().long()
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= len(book):
        raise ModelError(
            f"a code asks for index {low if low < 0 else high} of a codebook of {len(book)}",
            expected=f"indices from 0 to {len(book) - 1}",
            fix="values that are indices",
        )
    return book[indices]
