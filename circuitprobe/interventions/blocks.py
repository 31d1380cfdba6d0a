"""Which columns of the flat code each latent is made of, and sums over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.types import Latent

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray


@dataclass(frozen=True)
class Blocks:
    """Latents as sets of code columns.

    Attributes:
        latents: with their columns; no column belongs to two of them.
        columns: of the flat code, without the condition.
    """

    latents: tuple[Latent, ...]
    columns: int

    @cached_property
    def plain(self) -> bool:
        """Every latent is one column, in order, and none is left out: sums over members are the columns themselves."""
        return len(self.latents) == self.columns and all(x.dims == (i,) for i, x in enumerate(self.latents))

    @cached_property
    def sizes(self) -> IntArray:
        """Columns of each latent, shape (latents,)."""
        return np.array([len(latent.dims) for latent in self.latents], dtype=np.int64)

    def sums(self, values: FloatArray) -> FloatArray:
        """Sums over the members of each latent: (..., columns) -> (..., latents)."""
        if self.plain:
            return values
        return np.asarray(np.add.reduceat(values[..., self._order], self._starts, axis=-1))

    def means(self, values: FloatArray) -> FloatArray:
        """Means over the members of each latent: (..., columns) -> (..., latents)."""
        return values if self.plain else self.sums(values) / self.sizes

    def tensor_sums(self, values: Tensor) -> Tensor:
        """``sums`` of a tensor (rows, columns), in its dtype."""
        if self.plain:
            return values
        picked = values if self._in_order else values[:, torch.as_tensor(self._order, device=values.device)]
        if len(set(self.sizes.tolist())) == 1:
            return picked.reshape(len(picked), len(self.latents), -1).sum(2)
        owner = torch.as_tensor(np.repeat(np.arange(len(self.latents)), self.sizes), device=values.device)
        return values.new_zeros(len(values), len(self.latents)).index_add_(1, owner, picked)

    @cached_property
    def _order(self) -> IntArray:
        """The latents' columns, one latent after the other."""
        return np.array([dim for latent in self.latents for dim in latent.dims], dtype=np.int64)

    @cached_property
    def _in_order(self) -> bool:
        return np.array_equal(self._order, np.arange(self.columns))

    @cached_property
    def _starts(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)
