"""Encoder and decoder made of a model's own forward: stopped at the code, or gone on from another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.recognise.code import Code
from circuitprobe.adapters.models.recognise.noise import NoiseTap, halting
from circuitprobe.adapters.models.recognise.outputs import Path, taken
from circuitprobe.adapters.models.recognise.trial import seeded
from circuitprobe.adapters.models.recognise.ways import Way

Reconstruct = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class TappedEncoder:
    """Runs forward up to the last code: mean and spread of every code, side by side.

    Attributes:
        way: how forward is called.
        codes: what is read.
    """

    way: Way
    codes: tuple[Code, ...]

    def __call__(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (rows, code width), or (rows, *code shape) where there is one code.

        Args:
            model: the module.
            x: rows, shape (rows, dims).
        """
        tap = NoiseTap(
            captures=[code.capture for code in self.codes if code.capture is not None],
            values=[code.step for code in self.codes],
            halt_after=max(code.step for code in self.codes),
        )
        with seeded(0, x.device), halting(tap):
            self.way.call(model, x.flatten(1))
        means = [tap.taken[code.step].reshape(len(x), -1) for code in self.codes]
        stds = [self._std(code, tap, mean) for code, mean in zip(self.codes, means, strict=True)]
        mean, std = torch.cat(means, 1), torch.cat(stds, 1)
        shape = self.codes[0].shape if len(self.codes) == 1 else mean.shape[1:]
        return mean.reshape(len(x), *shape), std.reshape(len(x), *shape)

    def _std(self, code: Code, tap: NoiseTap, mean: Tensor) -> Tensor:
        if code.capture is not None:
            return tap.captured[code.capture.step].reshape(mean.shape).abs()
        return code.std[:1].to(mean).expand_as(mean)


@dataclass(frozen=True)
class TappedDecoder:
    """Runs forward with the codes replaced, all other noise 0.

    Attributes:
        way: how forward is called.
        codes: what is replaced.
        output: where the reconstruction lies in what forward returns.
        row: the row that stands in for the input, shape (1, dims): the output does not depend on it.
        seed: of draws that are not normal: the output does not depend on it.
    """

    way: Way
    codes: tuple[Code, ...]
    output: Path
    row: Tensor
    seed: int = 0

    def run(self, model: nn.Module, code: Tensor) -> object:
        """What forward returns for flat codes with the condition behind them, shape (rows, code width + condition)."""
        given = self.way.condition_width
        x = self.row.to(code).expand(len(code), -1)
        if given:
            code, condition = code[:, :-given], code[:, -given:]
            x = torch.cat([x[:, :-given], condition], 1)
        widths = [code_.mean.shape[1] for code_ in self.codes]
        steps = {c.step: part for c, part in zip(self.codes, torch.split(code, widths, 1), strict=True)}
        with seeded(self.seed, code.device), halting(NoiseTap(steps=steps)):
            return self.way.call(model, x.clone())

    def __call__(self, model: nn.Module, z: Tensor) -> Tensor:
        """The reconstruction, shape (rows, dims), for codes (rows, ...)."""
        return taken(model, self.run(model, z.flatten(1)), self.output).reshape(len(z), -1)
