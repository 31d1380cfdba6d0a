"""What the levels read off patched runs (see ``probe.patching.Measure``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitprobe.interventions.shifts import Shifts
from circuitprobe.probe import Readout


@dataclass(frozen=True)
class OutputMeasure:
    """Decoder output: delta_f of every feature, E, and <b, t> with a sender's total change where one is given.

    Columns: F feature changes, E, and, with ``total``, the inner product of the signed change with it.

    Attributes:
        readout: how the output reads.
        reading: of the run without a patch, shape (rows, readings).
        total: t, signed change vectors, shape (rows, readings), or None.
    """

    readout: Readout
    reading: Tensor
    total: Tensor | None = None

    @property
    def columns(self) -> int:
        """F + 1, or F + 2 with a total."""
        return len(self.readout.features) + (1 if self.total is None else 2)

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, columns)."""
        before = self.reading.index_select(0, rows)
        difference = self.readout.read(output) - before
        products = []
        if self.total is not None:
            vectors = difference * self.readout.signed.to(difference.dtype)
            products = [vectors.mul_(self.total.index_select(0, rows)).sum(1, keepdim=True)]
        return torch.cat([*_with_effect(self.readout.weighed(difference.abs_())), *products], 1)

    def along(self, delta: Tensor, directions: Tensor) -> Tensor | None:
        """Shape (units, rows, columns) for outputs that move along one direction per unit."""
        if not self.readout.is_linear:
            return None
        step = self.readout.along(directions)
        per_unit = torch.cat(_with_effect(self.readout.weighed(step.abs())), 1)
        values = delta.abs().t()[:, :, None] * per_unit[:, None, :]
        if self.total is None:
            return values
        product = (step * self.readout.signed.to(step.dtype)) @ self.total.t() * delta.t()
        return torch.cat([values, product[:, :, None]], 2)


@dataclass(frozen=True)
class VectorMeasure:
    """Decoder output: the signed change vectors themselves, shape (runs, readings)."""

    readout: Readout
    reading: Tensor

    @property
    def columns(self) -> int:
        """How many readings."""
        return len(self.readout.dims)

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, readings)."""
        return self.readout.vectors(self.readout.read(output), self.reading.index_select(0, rows))

    def along(self, delta: Tensor, directions: Tensor) -> Tensor | None:
        """Shape (units, rows, readings)."""
        if not self.readout.is_linear:
            return None
        step = self.readout.along(directions) * self.readout.signed.to(self.readout.dtype)
        return delta.t()[:, :, None] * step[:, None, :]


@dataclass(frozen=True)
class CodeMeasure:
    """Encoder output: the shift of every latent, their root mean square, and <b, t> where a total is given.

    Columns: d shifts, their root mean square, and, with ``total``, the inner product of the signed change with it.

    Attributes:
        mean: mu without a patch, shape (rows, code columns).
        shifts: what a change of a code counts.
        total: t, shape (rows, code columns), or None.
    """

    mean: Tensor
    shifts: Shifts
    total: Tensor | None = None

    @property
    def latents(self) -> int:
        """How many."""
        return len(self.shifts.blocks.latents)

    @property
    def columns(self) -> int:
        """One per latent and their root mean square, one more with a total."""
        return self.latents + (1 if self.total is None else 2)

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, columns)."""
        vectors = self.shifts.vectors(output[:, : self.mean.shape[1]], self.mean.index_select(0, rows))
        parts = self._with_effect(vectors.abs())
        if self.total is not None:
            parts.append((vectors * self.total.index_select(0, rows)).sum(1, keepdim=True))
        return torch.cat(parts, 1)

    def along(self, delta: Tensor, directions: Tensor) -> Tensor | None:
        """Shape (units, rows, columns); no closed form for indices."""
        if self.shifts.indices:
            return None
        step = directions[:, : self.mean.shape[1]] / self.shifts.scale
        values = delta.abs().t()[:, :, None] * torch.cat(self._with_effect(step.abs()), 1)[:, None, :]
        if self.total is None:
            return values
        return torch.cat([values, (step @ self.total.t() * delta.t())[:, :, None]], 2)

    def _with_effect(self, sizes: Tensor) -> list[Tensor]:
        """Shifts and their root mean square over the latents that have a scale."""
        shifts, count = self.shifts.per_latent(sizes), self.shifts.scaled.sum().clamp_min(1)
        return [shifts, (shifts.square().sum(1, keepdim=True) / count).sqrt()]


@dataclass(frozen=True)
class ThroughDecoder:
    """Encoder output followed to the decoder's: shifts of the latents, delta_f of the features, E.

    Columns: d shifts, F feature changes, E.

    Attributes:
        codes: reads the encoder's output.
        outputs: reads the decoder's.
        decode: whole codes, with their condition, of any number of rows -> decoder output.
        width: columns of a whole code.
    """

    codes: CodeMeasure
    outputs: OutputMeasure
    decode: Callable[[Tensor], Tensor]
    width: int

    @property
    def columns(self) -> int:
        """One per latent, one per feature, E."""
        return self.codes.latents + self.outputs.columns

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, columns)."""
        shifts = self.codes.of(output, rows)[:, : self.codes.latents]
        return torch.cat([shifts, self.outputs.of(self.decode(output[:, : self.width]), rows)], 1)

    def along(self, delta: Tensor, directions: Tensor) -> Tensor | None:  # noqa: ARG002 - the decoder comes after
        """No closed form."""
        return None


def _with_effect(changes: Tensor) -> list[Tensor]:
    """Changes and their root mean square."""
    return [changes, changes.square().mean(1, keepdim=True).sqrt()]
