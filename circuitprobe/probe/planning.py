"""Finding out, by running it on a few rows, which shortcuts a network allows (the engine's self-check)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from circuitprobe.probe.calls import Calls, LeafCall, noise_like
from circuitprobe.probe.consumers import is_affine, is_view, keeps_units, one_channel, responses
from circuitprobe.probe.half import Half
from circuitprobe.probe.outputs import tensors_in, with_tensors
from circuitprobe.probe.rounding import rounding_limit
from circuitprobe.probe.route import FAILURES, Consumer
from circuitprobe.probe.stubs import Stub, stubbed
from circuitprobe.probe.tape import Tape, for_rows
from circuitprobe.types import Site

PROBE_ROWS = 8
CLOSE_UNITS = 64.0
"""Rounding units of a column's largest value within which two outputs are equal without a look at the network."""


def agree(one: Tensor, other: Tensor, limit: Callable[[], Tensor], offset: Tensor | None = None) -> bool:
    """Whether two outputs are equal but for rounding.

    Args:
        one: shape (rows, ...).
        other: the same shape.
        limit: gives what rounding can do to each column (``rounding.rounding_limit``); asked for only where it matters.
        offset: what both are differences from; the rounding of a difference is that of what it was taken from.
    """
    if one.shape != other.shape:
        return False
    if not other.numel() or not other.is_floating_point():
        return torch.equal(one, other)
    size = other.abs().flatten(1).amax(0)
    if offset is not None:
        size = torch.maximum(size, offset.abs().flatten(1).amax(0))
    close = CLOSE_UNITS * torch.finfo(other.dtype).eps * size
    away = (one - other).abs().flatten(1)
    # "not within" rather than "beyond", so that nan agrees with nothing
    return bool((away <= close).all()) or bool((away <= close + limit()).all())


@dataclass(frozen=True)
class Trial:
    """A half with a recorded run on a few rows, to try shortcuts on.

    Attributes:
        half: what is run.
        calls: its leaf calls.
        tape: the recorded run.
        kernels: stubs that compute the same in a faster way.
    """

    half: Half
    calls: Calls
    tape: Tape
    kernels: Mapping[int, Stub]

    def output(self, stubs: Mapping[int, Stub]) -> Tensor | None:
        """The output of a run with stubs, None where it fails."""
        try:
            with stubbed(self.calls, stubs):
                return self.half.run(self.tape.inputs)
        except FAILURES:
            return None

    @cached_property
    def rounding(self) -> Tensor:
        """What rounding can do to each column of the output on these rows."""
        return rounding_limit(lambda: self.half.run(self.tape.inputs), self.half.model)

    def unchanged(self, stubs: Mapping[int, Stub]) -> bool:
        """Whether the run with stubs gives the recorded output."""
        output = self.output(stubs)
        return output is not None and agree(output, self.tape.output, lambda: self.rounding)

    def recorded(self, leaf: LeafCall) -> Stub:
        """A stub that returns what the leaf returned when it was recorded."""
        return always(
            for_rows(
                self.tape.outputs[leaf.index], leaf.axes, torch.arange(self.tape.rows, device=self.tape.inputs.device)
            )
        )

    def noise(self, leaf: LeafCall, seed: int) -> Stub:
        """A stub that returns random numbers in that shape."""
        generator = torch.Generator().manual_seed(seed * 100_003 + leaf.index)
        output = self.tape.outputs[leaf.index]
        found = list(tensors_in(output))
        return always(
            with_tensors(
                output,
                {
                    s: noise_like(t, axis, self.tape.rows, generator)
                    for (s, t), axis in zip(found, leaf.axes, strict=True)
                },
            )
        )

    def read_after(self, cut: int) -> frozenset[int] | None:
        """The leaf calls before ``cut`` whose output still matters when the call at ``cut`` returns what it is told.

        Found by having them return random numbers. None where the half cannot be run with stubs at all.
        """
        leaves = self.calls.leaves[: cut + 1]
        held = {leaf.index: self.recorded(leaf) for leaf in leaves}
        if not self.unchanged(held):
            return None
        before = leaves[:-1]
        if all(self.unchanged(held | {leaf.index: self.noise(leaf, seed) for leaf in before}) for seed in (1, 2)):
            return frozenset()
        read = {leaf.index for leaf in before if not self.unchanged(held | {leaf.index: self.noise(leaf, 1)})}
        rest = [leaf for leaf in before if leaf.index not in read]
        if self.unchanged(held | {leaf.index: self.noise(leaf, 2) for leaf in rest}):
            return frozenset(read)
        return frozenset(leaf.index for leaf in before)

    def consumers(self, site: Site, at: int, limit: int) -> Iterable[Consumer]:
        """Layers from which a run can go on, the farthest first.

        Args:
            site: the patched site.
            at: its leaf call.
            limit: how many numbers the directions of a consumer may take.
        """
        found: list[Consumer] = []
        chain: tuple[int, ...] = ()
        views: tuple[int, ...] = ()
        place, directions = at, None
        shape = tuple(self.tape.outputs[at].shape[1:]) if self.calls.leaves[at].single else None
        while shape is not None:
            leaf = self._only_reader(place)
            if leaf is None or not leaf.single:
                break
            if is_view(leaf.module):
                views, place = (*views, leaf.index), leaf.index
                continue
            if not found and keeps_units(leaf.module, site.unit_axis) and leaf.argument_shape == shape:
                chain, place = (*chain, leaf.index), leaf.index
                shape = tuple(self.tape.outputs[place].shape[1:])
                continue
            folded = (*views, *(consumer.index for consumer in found))
            try:
                consumer = self._consumer(site, leaf, chain, folded, shape, directions, limit)
            except FAILURES:
                # a layer that takes no made-up input: another dtype than its weight's, a state of its own
                consumer = None
            if consumer is None:
                break
            found.append(consumer)
            directions, place = consumer.directions, leaf.index
            if directions is None:
                break
        return reversed(found)

    def _only_reader(self, place: int) -> LeafCall | None:
        """The first leaf call that takes the output of ``place`` as its only argument."""
        return next((leaf for leaf in self.calls.leaves[place + 1 :] if leaf.source == place), None)

    def _consumer(
        self,
        site: Site,
        leaf: LeafCall,
        chain: tuple[int, ...],
        folded: tuple[int, ...],
        shape: tuple[int, ...],
        before: Tensor | None,
        limit: int,
    ) -> Consumer | None:
        if not is_affine(leaf.module):
            return None
        units, wide = site.units, self.tape.outputs[leaf.index][0].numel()
        closes = self.calls.output_of == leaf.index

        def made(directions: Tensor | None, *, flat: bool = False) -> Consumer:
            return Consumer(leaf.index, chain, directions, flat, folded, closes, leaf.module)

        if before is not None:
            if units * wide > limit:
                return None
            return made(responses(leaf.module, before.reshape(units, *leaf.argument_shape)))
        if len(shape) == 1 and site.unit_axis == 1:
            if units * wide > limit:
                return None
            eye = torch.eye(units, dtype=self.tape.inputs.dtype, device=self.tape.inputs.device)
            return made(responses(leaf.module, eye.reshape(units, *leaf.argument_shape)))
        if (
            isinstance(leaf.module, torch.nn.Linear)
            and leaf.argument_shape == (int(torch.tensor(shape).prod()),)
            and site.unit_axis == 1
        ):
            return made(None, flat=True)
        if leaf.argument_shape == shape and site.unit_axis == 1 and len(shape) == 3 and one_channel(leaf.module):
            return made(None)
        return None


def always(value: Any) -> Stub:  # noqa: ANN401 - whatever a module returns
    """A stub that returns one thing."""

    def stub(_original: Any, _arguments: Any, _keywords: Any) -> Any:  # noqa: ANN401
        return value

    return stub
