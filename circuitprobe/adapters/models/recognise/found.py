"""What noise has shown of a model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.fixed_rows import FixedRows
from circuitprobe.adapters.models.recognise.code import Code
from circuitprobe.adapters.models.recognise.explore import Exploration
from circuitprobe.adapters.models.recognise.noise import NoiseTap
from circuitprobe.adapters.models.recognise.outputs import Path, left_on, tensors_in
from circuitprobe.adapters.models.recognise.tapped import TappedDecoder
from circuitprobe.adapters.models.recognise.trial import seeded
from circuitprobe.adapters.models.recognise.ways import Way

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE


def fixed_rows(model: nn.Module) -> int | None:
    """How many rows an exported program takes; None for a model that takes any number."""
    return model.rows if isinstance(model, FixedRows) else None


def fewer(model: nn.Module, rows: int) -> int:
    """Fewer rows than these, to see whether that changes anything; all of them for a program of a fixed number."""
    return rows if fixed_rows(model) else max(1, rows // 3)


@dataclass(frozen=True)
class Found:
    """What noise has shown of a model, on a few rows.

    Attributes:
        vae: the model.
        x: the rows, shape (rows, dims).
        seen: the runs.
        way: how forward is called.
        codes: those on which the reconstruction depends.
        output: where the reconstruction lies; None where forward returns none.
    """

    vae: ProbedVAE
    x: Tensor
    seen: Exploration
    way: Way
    codes: tuple[Code, ...]
    output: Path | None

    @property
    def model(self) -> nn.Module:
        """The user's module."""
        return self.vae.model

    @property
    def data(self) -> Tensor:
        """The rows without the condition."""
        return self.x[:, : self.x.shape[1] - self.way.condition_width]

    @property
    def shaped(self) -> Tensor:
        """The rows as forward takes them."""
        return self.data.reshape(len(self.x), *self.way.row_shape) if self.way.row_shape else self.data

    @property
    def mean(self) -> Tensor:
        """All codes side by side, shape (rows, entries), float64."""
        return torch.cat([code.mean for code in self.codes], 1)

    @property
    def std(self) -> Tensor:
        """Likewise."""
        return torch.cat([code.std for code in self.codes], 1)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Of one code as the decoder takes it."""
        return self.codes[0].shape if len(self.codes) == 1 else (self.mean.shape[1],)

    @property
    def decoder(self) -> TappedDecoder:
        """Forward with the codes replaced, on the first row."""
        return TappedDecoder(self.way, self.codes, self.output or (), self.x[:1])

    def replaced(
        self, codes: Tensor, *, constant: float = 0.0, only: Collection[int] | None = None
    ) -> dict[Path, Tensor]:
        """Every tensor that forward gives for other codes, (rows, entries), on the rows themselves, other noise constant."""
        steps = {}
        for code, part in zip(self.codes, torch.split(codes, [c.mean.shape[1] for c in self.codes], 1), strict=True):
            steps[code.step] = part
        with seeded(0, self.x.device), NoiseTap(constant, only=only, steps=steps):
            output = self.way.call(self.model, self.x.clone())
        return tensors_in(output) | left_on(self.model)
