"""The senders of path-specific patching: latents on the decoder side, feature groups on the encoder side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from circuitprobe.errors import UsageError
from circuitprobe.interventions.measure import CodeMeasure, OutputMeasure
from circuitprobe.interventions.subject import Subject
from circuitprobe.interventions.sweep import Pairing, Sweep
from circuitprobe.probe.engine import Engine, Recorded
from circuitprobe.probe.measure import Measure
from circuitprobe.types import Site

SideName = Literal["encoder", "decoder"]
CACHED = 8


@dataclass(frozen=True)
class Side:
    """One half of a model as paths go through it.

    Attributes:
        name: which half.
        engine: that half, tried out.
        inputs: rows or codes, shape (rows, width).
        pool: the same of the rows that values are taken from.
        senders: names of latents or feature groups.
        dims: which columns of ``inputs`` each sender moves.
        ends: names of features or latents.
        sources: pi, shape (R, rows).
        measure: (recorded output, t or None) -> what is read off.
        vectors: (output, recorded output) -> signed standardised changes, shape (rows, entries).
    """

    name: SideName
    engine: Engine
    inputs: Tensor
    pool: Tensor
    senders: tuple[str, ...]
    dims: tuple[tuple[int, ...], ...]
    ends: tuple[str, ...]
    sources: Tensor
    measure: Callable[[Tensor, Tensor | None], Measure]
    vectors: Callable[[Tensor, Tensor], Tensor]

    @property
    def columns(self) -> int:
        """Columns of a measure with a total: one per end, E, <b, t>."""
        return len(self.ends) + 2

    def numbers(self, senders: str | int | Sequence[str | int]) -> list[int]:
        """The senders that names or numbers stand for; one alone needs no list."""
        return [self.number(one) for one in ([senders] if isinstance(senders, (str, int)) else senders)]

    def number(self, sender: str | int) -> int:
        """Which sender a name or number stands for.

        Raises:
            UsageError: none.
        """
        if isinstance(sender, str) and sender in self.senders:
            return self.senders.index(sender)
        if isinstance(sender, int) and 0 <= sender < len(self.senders):
            return sender
        shown = ", ".join(self.senders[:12]) + (", ..." if len(self.senders) > 12 else "")
        raise UsageError(f"sender {sender!r}", expected=f"one of {shown}", fix=f"senders=[{self.senders[0]!r}]")

    def moved(self, sender: int, source: int, rows: slice) -> Tensor:
        """Inputs in which one sender takes the values of the source rows."""
        inputs = self.inputs[rows].clone()
        dims = list(self.dims[sender])
        inputs[:, dims] = self.pool[self.sources[source, rows]][:, dims]
        return inputs


def decoder_side(subject: Subject) -> Side:
    """Latents -> units of the decoder -> features."""
    readout, latents = subject.readout, subject.latents

    def measure(output: Tensor, total: Tensor | None) -> Measure:
        return OutputMeasure(readout, readout.read(output), total)

    return Side(
        "decoder",
        subject.halves.decoder,
        subject.base.z,
        subject.codes,
        latents,
        tuple(latent.dims for latent in subject.blocks.latents),
        tuple(feature.name for feature in subject.features),
        subject.sources,
        measure,
        lambda after, before: readout.vectors(readout.read(after), readout.read(before)),
    )


def encoder_side(subject: Subject) -> Side:
    """Feature groups -> units of the encoder -> latents."""
    shifts, columns = subject.shifts, subject.blocks.columns

    def measure(output: Tensor, total: Tensor | None) -> Measure:
        return CodeMeasure(output[:, :columns], shifts, total)

    return Side(
        "encoder",
        subject.encoder,
        subject.inputs,
        subject.pool,
        tuple(group.name for group in subject.groups),
        tuple(tuple(subject.group_dims(group)) for group in subject.groups),
        subject.latents,
        subject.sources,
        measure,
        lambda after, before: shifts.vectors(after[:, :columns], before[:, :columns]),
    )


@dataclass(frozen=True)
class SenderRun:
    """The run in which a sender has moved, on some rows.

    Attributes:
        source: activations by site.
        total: t, shape (rows, entries).
        changes: per end, and E last, shape (rows, ends + 1).
    """

    source: dict[Site, Tensor]
    total: Tensor
    changes: Tensor


@dataclass(frozen=True)
class Sender:
    """One sender with its runs, made when they are needed.

    Attributes:
        side: the half.
        number: of the sender.
        sites: where its activations are read.
        base: the run without an intervention on some rows.
        run: (number of the source, rows) -> its run.
    """

    side: Side
    number: int
    sites: tuple[Site, ...]
    base: Callable[[slice], Recorded]
    run: Callable[[int, slice], SenderRun]

    @property
    def name(self) -> str:
        """Of the latent or feature group."""
        return self.side.senders[self.number]

    def sweep(self) -> Sweep:
        """Patching runs: every receiver takes the value it has when the sender has moved."""

        def pairing(source: int, rows: slice) -> Pairing:
            base, run = self.base(rows), self.run(source, rows)
            return Pairing(base, run.source, self.side.measure(base.output, run.total))

        return Sweep(self.side.engine, len(self.side.inputs), len(self.side.sources), pairing)

    def totals(self) -> tuple[Tensor, Tensor]:
        """The sender's total effect: changes per end and E, shape (rows, ends + 1), and <t, t>, shape (rows,)."""
        count = len(self.side.inputs)
        changes = self.side.inputs.new_zeros(count, len(self.side.ends) + 1)
        squared = self.side.inputs.new_zeros(count)
        sweep = self.sweep()
        for rows in sweep.chunks():
            for source in range(sweep.sources):
                run = self.run(source, rows)
                changes[rows] += run.changes
                squared[rows] += run.total.square().sum(1)
        return changes / sweep.sources, squared / sweep.sources


def recorder(side: Side, sites: Sequence[Site]) -> Callable[[slice], Recorded]:
    """Records the run without an intervention on some rows; the last one is kept."""

    @lru_cache(maxsize=1)
    def recorded(start: int, stop: int) -> Recorded:
        return side.engine.tape(side.inputs[start:stop], sites)

    return lambda rows: recorded(rows.start, rows.stop)


def sender_of(side: Side, number: int, sites: Sequence[Site], base: Callable[[slice], Recorded]) -> Sender:
    """A sender with its runs; as many are kept as there are sources, up to eight."""

    @lru_cache(maxsize=min(CACHED, len(side.sources)))
    def run(source: int, start: int, stop: int) -> SenderRun:
        rows = slice(start, stop)
        output, activations = side.engine.read(side.moved(number, source, rows), sites)
        before = base(rows).output
        everyone = torch.arange(len(output), device=output.device)
        return SenderRun(activations, side.vectors(output, before), side.measure(before, None).of(output, everyone))

    return Sender(side, number, tuple(sites), base, lambda source, rows: run(source, rows.start, rows.stop))
