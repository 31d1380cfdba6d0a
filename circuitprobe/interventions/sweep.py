"""Patching every unit of a site on all rows, with the values of all source rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitprobe.probe.engine import PIECE_BYTES, Engine, Recorded
from circuitprobe.probe.measure import Measure
from circuitprobe.probe.routing import patch
from circuitprobe.types import Site


@dataclass(frozen=True)
class Pairing:
    """A recorded run, and the activations of another run on the same rows, that units take their values from.

    Attributes:
        base: the run that is patched.
        source: activations by site, shaped as the model made them.
        measure: what is read off.
    """

    base: Recorded
    source: dict[Site, Tensor]
    measure: Measure


@dataclass(frozen=True)
class Sweep:
    """Every (source, rows) combination of a level, made when it is needed.

    Attributes:
        engine: of the half.
        rows: how many.
        sources: R.
        pairing: (number of the source, rows) -> what is patched with what.
    """

    engine: Engine
    rows: int
    sources: int
    pairing: Callable[[int, slice], Pairing]

    def chunks(self) -> list[slice]:
        """Rows that are recorded at once: recordings take a quarter of the memory."""
        return list(self.engine.pieces(self.rows, max(1, self.engine.memory // 8 // self.engine.row_bytes)))

    def units(self, site: Site, columns: int, units: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Patch the units of a site one at a time.

        Args:
            site: where.
            columns: of the measures.
            units: which, ascending; default all.

        Yields:
            Units and what was measured, mean over the sources, shape (units, rows, columns), in the model's dtype.
        """
        chosen = torch.arange(site.units, device=self.engine.probe.device) if units is None else units
        per_unit = self.rows * columns * self.engine.probe.element_size()
        # blocks that stay in the processor's cache: what is measured is read several times
        size = max(1, min(self.engine.memory // 16, PIECE_BYTES) // per_unit)
        for start in range(0, len(chosen), size):
            block = chosen[start : start + size]
            if self.sources == 1 and len(self.chunks()) == 1:
                pairing = self.pairing(0, slice(0, self.rows))
                for part in patch(pairing.base, site, pairing.source[site], pairing.measure, block):
                    yield part.units, part.values
                continue
            total = torch.zeros(len(block), self.rows, columns, dtype=self.engine.probe.dtype, device=block.device)
            for rows in self.chunks():
                for number in range(self.sources):
                    pairing = self.pairing(number, rows)
                    done = 0
                    for part in patch(pairing.base, site, pairing.source[site], pairing.measure, block):
                        total[done : done + len(part.units), rows] += part.values
                        done += len(part.units)
            yield block, total / self.sources
