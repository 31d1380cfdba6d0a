"""Circuits: the smallest set of receivers in a layer that carries a sender's effect (METHOD.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.interventions.baseline import to_numpy
from circuitprobe.interventions.senders import Sender
from circuitprobe.probe.routing import patch_sets
from circuitprobe.types import Site

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

SHARE = 0.9
FIRST_BLOCK = 4
LARGEST_BLOCK = 32


@dataclass(frozen=True)
class Circuit:
    """The units of one layer that carry a sender's effect.

    Attributes:
        sender: name of the latent or feature group.
        site: name of the layer's site.
        units: in the order in which they were added: strongest path first.
        faithfulness: share of the sender's total effect that comes back when only these units see it; nan without an effect.
        completeness: share left when they are held at their baseline and the rest of the layer sees it.
        complete: whether the wanted share was reached; False: these are all units that carry anything.
    """

    sender: str
    site: str
    units: tuple[int, ...]
    faithfulness: float
    completeness: float
    complete: bool

    @property
    def size(self) -> int:
        """How many units."""
        return len(self.units)


@dataclass(frozen=True)
class FoundCircuit:
    """A circuit with the per-row figures behind it, means over the source rows.

    Attributes:
        circuit: what was found.
        kept: <b, t> with the circuit alone, shape (rows,).
        left: <b, t> with the rest of the layer alone, shape (rows,).
        whole: <t, t>, shape (rows,).
    """

    circuit: Circuit
    kept: FloatArray
    left: FloatArray
    whole: FloatArray


def set_values(sender: Sender, site: Site, sets: Tensor) -> Tensor:
    """Measures of sets of receivers that see the sender together, mean over the sources, shape (sets, rows, columns)."""
    sweep = sender.sweep()
    values = sender.side.inputs.new_zeros(len(sets), sweep.rows, sender.side.columns)
    for rows in sweep.chunks():
        for source in range(sweep.sources):
            pairing = sweep.pairing(source, rows)
            values[:, rows] += patch_sets(pairing.base, site, pairing.source[site], pairing.measure, sets)
    return values / sweep.sources


def find_circuit(
    sender: Sender, site: Site, strength: FloatArray, squared: Tensor, share: float = SHARE
) -> FoundCircuit:
    """Add receivers, the strongest path first, until the wanted share of the total effect comes back.

    Args:
        sender: with its runs.
        site: the layer.
        strength: PSE as E of every unit of the site, shape (units,); nan or 0: not to be added.
        squared: <t, t>, shape (rows,).
        share: what is wanted.
    """
    whole = to_numpy(squared)
    order = [int(unit) for unit in np.argsort(-np.nan_to_num(strength), kind="stable") if strength[unit] > 0]
    if whole.sum() <= 0 or not order:
        # no effect: no share of it; no unit that carries any of it: a share of 0
        share_of_nothing, nothing = (np.nan if whole.sum() <= 0 else 0.0), np.zeros_like(whole)
        empty = Circuit(sender.name, site.name, (), share_of_nothing, share_of_nothing, complete=False)
        return FoundCircuit(empty, nothing, nothing, whole)
    size, kept = _shortest_prefix(sender, site, order, whole, share)
    chosen = order[:size]
    rest = torch.ones(1, site.units, dtype=torch.bool, device=squared.device)
    rest[0, chosen] = False
    left = to_numpy(set_values(sender, site, rest)[0, :, -1])
    faithfulness = float(kept.sum() / whole.sum())
    circuit = Circuit(
        sender.name, site.name, tuple(chosen), faithfulness, float(left.sum() / whole.sum()), faithfulness >= share
    )
    return FoundCircuit(circuit, kept, left, whole)


def _shortest_prefix(
    sender: Sender, site: Site, order: list[int], whole: FloatArray, share: float
) -> tuple[int, FloatArray]:
    """Length of the shortest prefix that reaches the share, all of them where none does, with its <b, t> per row."""
    start, block = 1, FIRST_BLOCK
    kept = np.zeros_like(whole)
    while start <= len(order):
        lengths = range(start, min(start + block, len(order) + 1))
        sets = torch.zeros(len(lengths), site.units, dtype=torch.bool, device=sender.side.inputs.device)
        for row, length in enumerate(lengths):
            sets[row, order[:length]] = True
        found = to_numpy(set_values(sender, site, sets)[:, :, -1])
        shares = found.sum(axis=1) / whole.sum()
        reached = np.flatnonzero(shares >= share)
        if reached.size:
            return lengths[int(reached[0])], found[int(reached[0])]
        kept = found[-1]
        start, block = start + len(lengths), min(2 * block, LARGEST_BLOCK)
    return len(order), kept


def jaccard(one: Circuit, other: Circuit) -> float:
    """Overlap of two circuits of one layer: |A and B| / |A or B|; nan where one has no unit."""
    a, b = set(one.units), set(other.units)
    return len(a & b) / len(a | b) if a and b else float("nan")
