"""Typed output heads: how the last layer's columns of a table read, by column kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from circuitprobe.reference_models.config import KINDS
from circuitprobe.types import FeatureKind

if TYPE_CHECKING:
    from collections.abc import Iterable


class MixedHeads(nn.Module):
    """Reads the decoder's output columns by kind: identity, sigmoid, or softmax within each block.

    Holds indices only, no weights. All blocks of a kind are handled at once.

    Args:
        blocks: (kind, width) in the order of the model's dimensions.
    """

    numeric: Tensor
    binary: Tensor
    categorical: Tensor
    block_of: Tensor
    membership: Tensor
    order: Tensor

    def __init__(self, blocks: Iterable[tuple[str, int]]) -> None:
        super().__init__()
        dims: dict[str, list[int]] = {kind: [] for kind in KINDS}
        self.widths: list[int] = []
        start = 0
        for kind, width in blocks:
            dims[kind].extend(range(start, start + width))
            if kind == FeatureKind.CATEGORICAL:
                self.widths.append(width)
            start += width
        indices = {kind: torch.tensor(dims[kind], dtype=torch.long) for kind in KINDS}
        block_of = torch.repeat_interleave(torch.arange(len(self.widths)), torch.tensor(self.widths, dtype=torch.long))
        for kind, index in indices.items():
            self.register_buffer(kind, index, persistent=False)
        self.register_buffer("block_of", block_of, persistent=False)
        membership = nn.functional.one_hot(block_of, max(len(self.widths), 1)).to(torch.get_default_dtype())
        self.register_buffer("membership", membership, persistent=False)
        # Where each dimension lies once the kinds are put side by side.
        self.register_buffer("order", torch.cat([indices[kind] for kind in KINDS]).argsort(), persistent=False)

    def log_normalisers(self, logits: Tensor) -> Tensor:
        """Log-sum-exp of each categorical block.

        Args:
            logits: of the categorical dimensions only, shape (rows, categorical dims).

        Returns:
            shape (rows, blocks).
        """
        if not self.widths:
            return logits.new_zeros(logits.shape[0], 1)
        # The maximum is a constant shift: it cancels in value and gradient, so it needs none.
        peaks = torch.stack([block.amax(1) for block in logits.detach().split_with_sizes(self.widths, 1)], 1)
        # A product with the membership matrix, as index_add is not deterministic on CUDA.
        sums = (logits - peaks.index_select(1, self.block_of)).exp() @ self.membership
        return sums.log() + peaks

    def forward(self, logits: Tensor) -> Tensor:
        """Values and probabilities, shape (rows, dims), from the output layer's columns of the same shape."""
        block_logits = logits.index_select(1, self.categorical)
        log_normalisers = self.log_normalisers(block_logits).index_select(1, self.block_of)
        parts = [
            logits.index_select(1, self.numeric),
            logits.index_select(1, self.binary).sigmoid(),
            (block_logits - log_normalisers).exp(),
        ]
        return torch.cat(parts, 1).index_select(1, self.order)
