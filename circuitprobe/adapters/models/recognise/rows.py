"""Whether rows come back."""

from __future__ import annotations

import torch
from torch import Tensor

# more are not compared with each other
_MOST_COLUMNS = 4096
# of fewer rows every column is like another
_FEWEST_ROWS = 8


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


def columns_in_other_places(output: Tensor, x: Tensor) -> tuple[tuple[int, int], ...]:
    """Columns that come back in each other's places: (column, where it comes back), () where none does.

    Args:
        output: shape (rows, dims).
        x: the rows, same shape.
    """
    spread = x.double().var(0, correction=0)
    if x.shape[1] > _MOST_COLUMNS or len(x) < _FEWEST_ROWS or not bool((spread > 0).any()):
        return ()
    matrices = [_errors_between(made.double(), x.double(), spread) for made in (output, torch.sigmoid(output))]
    errors = min(matrices, key=lambda matrix: float(matrix.amin(0).mean()))
    best, own = errors.argmin(0), errors.diagonal()
    there = errors.amin(0)
    moved = {int(j) for j in ((there < 0.5) & (own > 0.05) & (there < 0.5 * own)).nonzero()[:, 0]}
    while any(int(best[j]) not in moved for j in moved):
        moved = {j for j in moved if int(best[j]) in moved}
    return tuple((j, int(best[j])) for j in sorted(moved))


def _errors_between(made: Tensor, x: Tensor, spread: Tensor) -> Tensor:
    """Mean squared error of each output (row of the result) for each column, in units of the column's variance."""
    squared = made.square().mean(0)[:, None] - 2 * made.T @ x / len(x) + x.square().mean(0)[None]
    # a column that does not vary is no evidence
    return torch.where(spread > 0, squared / spread.clamp_min(torch.finfo(x.dtype).tiny), float("inf"))


def column_means_error(x: Tensor) -> float:
    """The same for predicting each column's mean: 1, or 0 where no column varies."""
    return float(bool((x.var(0, correction=0) > 0).any()))
