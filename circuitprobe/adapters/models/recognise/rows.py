"""Whether rows come back."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_error(output: Tensor, x: Tensor) -> float:
    """Mean squared error of a column in units of its variance, 1 at most, averaged over columns.

    What is unrelated to the rows gets 1. The better of the output as it is and of its sigmoid.

    Args:
        output: shape (rows, dims).
        x: the rows, same shape.
    """
    spread = x.double().var(0, correction=0)
    varying = spread > 0
    if not bool(varying.any()):
        return 0.0
    errors = [
        # a pixel that hardly varies must not outweigh all others
        float((((made.double() - x.double()) ** 2).mean(0)[varying] / spread[varying]).clamp_max(1.0).mean())
        for made in (output, torch.sigmoid(output))
    ]
    return min(errors)


def column_means_error(x: Tensor) -> float:
    """The same for predicting each column's mean: 1, or 0 where no column varies."""
    return float(bool((x.var(0, correction=0) > 0).any()))
