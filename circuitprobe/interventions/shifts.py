"""How far codes move: in standard deviations of each code column, read off per latent (METHOD.md section 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from circuitprobe.interventions.blocks import Blocks


@dataclass(frozen=True)
class Shifts:
    """What a change of a code counts.

    Attributes:
        scale: s_m of every code column, shape (columns,); infinite for a column that never varies, so that its changes are 0.
        blocks: which columns each latent is made of.
        indices: the code is indices into a codebook: any change of one counts 1.
    """

    scale: Tensor
    blocks: Blocks
    indices: bool = False

    def vectors(self, after: Tensor, before: Tensor) -> Tensor:
        """Signed changes in units of s_m, shape (rows, columns); 1 where an index changes, else 0."""
        if self.indices:
            return (after != before).to(after.dtype)
        return (after - before) / self.scale.to(after.dtype)

    def per_latent(self, sizes: Tensor) -> Tensor:
        """The mean over a latent's members that have a scale, (rows, columns) -> (rows, latents), from sizes of changes."""
        if self.blocks.plain:
            return sizes
        return self.blocks.tensor_sums(sizes) * self._shares.to(sizes.dtype)

    @cached_property
    def scaled(self) -> Tensor:
        """Latents with a member that varies, so that a shift can be counted, shape (latents,)."""
        return self._members > 0

    @cached_property
    def _members(self) -> Tensor:
        """How many columns of each latent vary, shape (latents,)."""
        return self.blocks.tensor_sums(self.scale.isfinite().to(torch.float64)[None])[0]

    @cached_property
    def _shares(self) -> Tensor:
        return 1.0 / self._members.clamp_min(1.0)
