"""Patching units: as little arithmetic as gives the exact figures (interchange interventions on one site at a time).

A run with one unit patched differs from the recorded run only downstream of it, and the layer that reads the unit changes by
a rank-one update. So a run returns recorded outputs for every leaf before that layer, the recorded output plus the update for the
layer itself, and computes only what comes after; rows whose unit does not change are not run at all. Interventions of many
units and rows are stacked in pieces of about two megabytes. Which of this a network allows is found out by trying it
(``planning``), and checked against plain runs before it is used (``routing``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from circuitprobe.probe.consumers import one_channel
from circuitprobe.probe.engine import PIECE_BYTES, Engine, Recorded
from circuitprobe.probe.measure import Block, Measure
from circuitprobe.probe.outputs import with_tensors
from circuitprobe.probe.route import Consumer, Route, Way
from circuitprobe.probe.stubs import Stub, stubbed
from circuitprobe.probe.tape import for_rows, shaped_for
from circuitprobe.types import Site

Tensors = Callable[[Tensor, Tensor], Tensor]
"""(rows, what is patched) -> a tensor with one entry per run."""


def by_unit(activation: Tensor, site: Site) -> Tensor:
    """Activations as (rows, units, ...)."""
    return activation.movedim(site.unit_axis, 1)


def run_patched(base: Recorded, route: Route, source: Tensor, measure: Measure, chosen: Tensor) -> Iterator[Block]:
    """Patch units of a site one at a time in a given way; see ``routing.patch``."""
    job = _UnitJob(base, route, source, measure)
    per_unit = base.rows * (measure.columns * base.output.element_size() + 16)
    # blocks that stay in the processor's cache: what is measured is read several times
    size = max(1, min(base.engine.memory // 16, PIECE_BYTES) // max(1, per_unit))
    for start in range(0, len(chosen), size):
        block = chosen[start : start + size]
        closed = job.closed(block) if route.way is Way.CLOSED_FORM else None
        yield Block(block, job.measured(block) if closed is None else closed)


def run_sets(base: Recorded, route: Route, source: Tensor, measure: Measure, sets: Tensor) -> Tensor:
    """Patch sets of units of a site together; see ``routing.patch_sets``."""
    site = route.site
    other, plain = by_unit(source, site), by_unit(base.at(site), site)
    changed = _any_unit(other != plain)
    pairs = (sets.to(torch.bool)[:, None, :] & changed[None]).any(2).nonzero()
    wide = (slice(None), slice(None), *([None] * (plain.ndim - 2)))

    def tensor(rows: Tensor, which: Tensor) -> Tensor:
        moved = sets.index_select(0, which)[wide]
        return torch.where(moved, other.index_select(0, rows), plain.index_select(0, rows)).movedim(1, site.unit_axis)

    values = base.output.new_zeros(len(sets) * base.rows, measure.columns)
    with ExitStack() as stack:
        run = _runner(base, route, None, tensor, tensor, stack)
        for local, rows in _pieces(pairs, base, route, base.engine.piece(route.row_bytes)):
            values.index_copy_(0, local * base.rows + rows, measure.of(run(rows, local), rows))
    return values.view(len(sets), base.rows, -1)


def _any_unit(changed: Tensor) -> Tensor:
    """(rows, units) from (rows, units, ...)."""
    return changed.flatten(2).any(2) if changed.ndim > 2 else changed


def _pieces(pairs: Tensor, base: Recorded, route: Route, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(what is patched, row) of the runs of each forward run; all rows of one patch at a time on the plain way."""
    if route.way is not Way.PLAIN:
        for start in range(0, len(pairs), size):
            yield pairs[start : start + size, 0], pairs[start : start + size, 1]
        return
    everyone = torch.arange(base.rows, device=pairs.device)
    for local in sorted(set(pairs[:, 0].tolist())):
        yield torch.full_like(everyone, local), everyone


def _runner(
    base: Recorded, route: Route, consumer: Consumer | None, tensor: Tensors, update: Tensors, stack: ExitStack
) -> Tensors:
    """What runs the half for (rows, what is patched); a row is never run alone, as it may lose its axis in a squeeze."""
    run = _bare_runner(base, route, consumer, tensor, update, stack)
    return lambda rows, which: run(rows, which) if len(rows) > 1 else run(rows.repeat(2), which.repeat(2))[:1]


def _bare_runner(
    base: Recorded, route: Route, consumer: Consumer | None, tensor: Tensors, update: Tensors, stack: ExitStack
) -> Tensors:
    """What runs the half for (rows, what is patched)."""
    if route.way in {Way.STACKED, Way.PLAIN}:

        def whole(rows: Tensor, which: Tensor) -> Tensor:
            inputs = base.tape.inputs.index_select(0, rows)
            return base.engine.backend.patched(base.engine.half, inputs, {route.site: tensor(rows, which)})[0]

        return whole
    if consumer is not None and consumer.closes:
        return lambda rows, which: update(rows, which).reshape(len(rows), -1)
    return _StubbedRuns(base, route, consumer, tensor, update, stack)


def replayed(base: Recorded, route: Route) -> Tensor:
    """The output of all rows run this way without a patch: what was recorded, if the way holds on these rows."""
    plain, consumer = base.at(route.site), route.consumer if route.way in {Way.CLOSED_FORM, Way.SUBSTITUTION} else None
    with ExitStack() as stack:
        run = _runner(
            base,
            route,
            consumer,
            lambda rows, _: plain.index_select(0, rows),
            lambda rows, _: base.tape.outputs[-1 if consumer is None else consumer.index].index_select(0, rows),
            stack,
        )
        everyone = torch.arange(base.rows, device=base.output.device)
        size = max(2, base.engine.piece(route.row_bytes))
        outputs = [
            run(everyone[start : start + size], everyone[start : start + size]) for start in range(0, base.rows, size)
        ]
    return torch.cat(outputs)


class _UnitJob:
    """One site of one recorded run with its source values, ready to be patched one unit at a time."""

    def __init__(self, base: Recorded, route: Route, source: Tensor, measure: Measure) -> None:
        self.base, self.route, self.measure = base, route, measure
        self.engine: Engine = base.engine
        self.source = by_unit(source, route.site)
        self.plain = by_unit(base.at(route.site), route.site)
        self.consumer = route.consumer if route.way in {Way.CLOSED_FORM, Way.SUBSTITUTION} else None
        if self.consumer is None:
            self.delta = self.source - self.plain
        else:
            self.delta = _after_chain(base, self.consumer, source) - _recorded_after_chain(base, self.consumer, route)

    def closed(self, units: Tensor) -> Tensor | None:
        """Effects without running the model; None where the measure has no closed form."""
        if self.consumer is None or self.consumer.directions is None:
            return None
        directions = self.consumer.directions.flatten(1).index_select(0, units)
        return self.measure.along(self.delta.index_select(1, units), directions)

    def measured(self, units: Tensor) -> Tensor:
        """Effects of running every changed row of every unit."""
        changed = _any_unit(self.delta.index_select(1, units) != 0)
        pairs = changed.t().nonzero()
        values = self.base.output.new_zeros(len(units) * self.base.rows, self.measure.columns)
        with ExitStack() as stack:
            run = _runner(self.base, self.route, self.consumer, self._tensor, self._update, stack)
            for local, rows in _pieces(pairs, self.base, self.route, self.engine.piece(self.route.row_bytes)):
                output = run(rows, units.index_select(0, local))
                values.index_copy_(0, local * self.base.rows + rows, self.measure.of(output, rows))
        return values.view(len(units), self.base.rows, -1)

    def _tensor(self, rows: Tensor, units: Tensor) -> Tensor:
        """The site's tensor, shaped as the model makes it."""
        tensor = self.plain.index_select(0, rows)
        index = torch.arange(len(rows), device=rows.device)
        tensor[index, units] = self.source[rows, units]
        return tensor.movedim(1, self.route.site.unit_axis)

    def _update(self, rows: Tensor, units: Tensor) -> Tensor:
        """The consumer's output: what was recorded plus what the unit's change adds."""
        consumer = self.consumer
        if consumer is None:
            raise RuntimeError("a run without a consumer has no update")
        out: Tensor = self.base.tape.outputs[consumer.index].index_select(0, rows)
        delta = self.delta[rows, units]
        if consumer.directions is not None:
            flat = out.view(len(out), -1)
            flat.addcmul_(delta[:, None], consumer.directions.flatten(1).index_select(0, units))
            return out
        # runs are sorted by unit
        bounds = (units[1:] != units[:-1]).nonzero()[:, 0].add(1).tolist()
        channel = None if consumer.flat else one_channel(consumer.module)
        for start, stop in zip([0, *bounds], [*bounds, len(units)], strict=True):
            unit, part = int(units[start]), delta[start:stop]
            out[start:stop] += _flat(consumer, part, unit) if channel is None else channel(part, unit)
        return out


def _flat(consumer: Consumer, delta: Tensor, unit: int) -> Tensor:
    """What a change in one unit's map adds to a linear layer that reads all maps flattened."""
    size = delta[0].numel()
    weight = consumer.module.get_parameter("weight").detach()
    return delta.flatten(1) @ weight[:, unit * size : (unit + 1) * size].t()


def _after_chain(base: Recorded, consumer: Consumer, source: Tensor) -> Tensor:
    """Source activations after the modules between site and consumer, units on axis 1."""
    tensor = source
    for index in consumer.chain:
        tensor = base.engine.calls.leaves[index].module(tensor.clone())
    return tensor


def _recorded_after_chain(base: Recorded, consumer: Consumer, route: Route) -> Tensor:
    recorded: Tensor = base.tape.outputs[consumer.chain[-1]] if consumer.chain else base.at(route.site)
    return recorded


class _StubbedRuns:
    """Forward runs in which what came before the cut is not computed."""

    def __init__(
        self,
        base: Recorded,
        route: Route,
        consumer: Consumer | None,
        tensor: Tensors,
        update: Tensors,
        stack: ExitStack,
    ) -> None:
        self._base, self._route, self._tensor, self._update = base, route, tensor, update
        self._rows = self._which = torch.empty(0)
        calls = base.engine.calls
        cut = route.at if consumer is None else consumer.index
        read = route.read if consumer is None else route.consumer_read
        stubs: dict[int, Stub] = {i: s for i, s in base.engine.kernels.items() if i > cut}
        for leaf in calls.leaves[:cut]:
            recorded = base.tape.outputs[leaf.index]
            if leaf.index not in read:
                stubs[leaf.index] = self._shape(recorded, leaf.axes)
            elif leaf.index == route.at:
                stubs[leaf.index] = self._site
            else:
                stubs[leaf.index] = self._recorded(recorded, leaf.axes)
        stubs[cut] = self._site if consumer is None else self._updated
        self._restart = stack.enter_context(stubbed(calls, stubs))

    def __call__(self, rows: Tensor, which: Tensor) -> Tensor:
        """Output of one run per (row, what is patched)."""
        self._rows, self._which = rows, which
        self._restart()
        return self._base.engine.half.run(self._base.tape.inputs.index_select(0, rows))

    def _site(self, _original: Any, _arguments: Any, _keywords: Any) -> Any:  # noqa: ANN401
        patched = self._tensor(self._rows, self._which)
        selector = self._route.site.selector
        if not selector:
            return patched
        leaf = self._base.engine.calls.leaves[self._route.at]
        rest = for_rows(self._base.tape.outputs[leaf.index], leaf.axes, self._rows)
        return with_tensors(rest, {selector: patched})

    def _updated(self, _original: Any, _arguments: Any, _keywords: Any) -> Any:  # noqa: ANN401
        return self._update(self._rows, self._which)

    def _recorded(self, recorded: Any, axes: tuple[int | None, ...]) -> Stub:  # noqa: ANN401
        return lambda _o, _a, _k: for_rows(recorded, axes, self._rows)

    def _shape(self, recorded: Any, axes: tuple[int | None, ...]) -> Stub:  # noqa: ANN401
        return lambda _o, _a, _k: shaped_for(recorded, axes, len(self._rows))
