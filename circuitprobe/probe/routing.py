"""Choosing the way that a patch takes: the fastest that has been seen to give what plain runs give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from circuitprobe.errors import ModelError
from circuitprobe.probe.backends import HooksBackend
from circuitprobe.probe.engine import Engine, Recorded
from circuitprobe.probe.measure import Block, Difference, Measure
from circuitprobe.probe.patching import by_unit, replayed, run_patched, run_sets
from circuitprobe.probe.planning import Trial, agree
from circuitprobe.probe.rounding import rounding_limit
from circuitprobe.probe.route import FAILURES, Route, Way
from circuitprobe.types import Site

SAME_ROW = 1e-3
SAME_ROW_UNITS = 4
"""Of numbers in 16 bits, whose rounding is larger than that."""


def patch(
    base: Recorded, site: Site, source: Tensor, measure: Measure, units: Tensor | None = None, way: Way | None = None
) -> Iterator[Block]:
    """Give each unit of a site its value from another run, one unit at a time, and measure the output.

    Args:
        base: the run without patches.
        site: where.
        source: activations at the site in the other run, shaped as the model made them.
        measure: what is read off.
        units: which units, ascending; default all.
        way: one of the plainer ways instead of the engine's choice.

    Yields:
        Blocks of units, in order, every unit once; a unit that does not change has zeros.
    """
    route = _route_for(base, site)
    chosen = torch.arange(site.units, device=source.device) if units is None else units
    yield from run_patched(base, route if way is None else replace(route, way=way), source, measure, chosen)


def patch_sets(base: Recorded, site: Site, source: Tensor, measure: Measure, sets: Tensor) -> Tensor:
    """Give sets of units of a site their values from another run, each set together, and measure the output.

    Args:
        base: the run without patches.
        site: where.
        source: activations at the site in the other run, shaped as the model made them.
        measure: what is read off.
        sets: which units move, booleans of shape (sets, units).

    Returns:
        Shape (sets, rows, columns of the measure).
    """
    return run_sets(base, _route_for(base, site), source, measure, sets)


def _route_for(base: Recorded, site: Site) -> Route:
    """The way found on a few rows, if it holds on all of these: what is read later may depend on the rows."""
    if site not in base.routes:
        route = find_route(base.engine, site)
        if route.at >= 0 and not _holds(base, route):
            route = replace(
                route,
                way=Way.STACKED,
                reason="runs with recorded outputs differ from plain ones on some rows",
                consumer=None,
                row_bytes=base.engine.widest,
            )
            base.engine.routes[site] = route
        base.routes[site] = route
    return base.routes[site]


def _holds(base: Recorded, route: Route) -> bool:
    try:
        return agree(replayed(base, route), base.output, lambda: base.rounding)
    except FAILURES:
        return False


def find_route(engine: Engine, site: Site) -> Route:
    """The fastest way of patching a site that gives what a plain run gives, found out once by trying."""
    if site not in engine.routes:
        engine.routes[site] = next(_ways(engine, site))
    return engine.routes[site]


def _ways(engine: Engine, site: Site) -> Iterator[Route]:
    """Ways that have been found to agree with plain runs, the fastest first."""
    whole = Route(site, Way.STACKED, "", -1, frozenset(), None, frozenset(), engine.widest)
    if not engine.independent:
        yield replace(whole, way=Way.PLAIN, reason="a row's output depends on the other rows of its batch")
        return
    if engine.trial is None:
        yield replace(whole, reason=engine.untried)
        return
    _check_order(engine, site)
    leaf = engine.calls.at(site.module, site.call)
    read = None if leaf is None else engine.trial.read_after(leaf.index)
    entangled = leaf is not None and any(each.entangled for each in engine.calls.leaves[: leaf.index + 1])
    if leaf is not None and read is not None and not entangled:
        stubs = replace(
            whole, way=Way.STUBS, at=leaf.index, read=read, row_bytes=_widest_from(engine, leaf.index, read)
        )
        for candidate in _with_consumer(engine, engine.trial, stubs):
            if _agrees(engine, candidate):
                yield candidate
        if _agrees(engine, stubs):
            yield replace(stubs, reason="no linear or convolution layer alone takes its units directly")
    reason = "the module is no leaf" if leaf is None else "runs with recorded outputs differ from plain ones"
    if entangled:
        reason = "a module before it takes rows and positions as one axis"
    if _agrees(engine, whole):
        yield replace(whole, reason=reason)
    yield replace(whole, way=Way.PLAIN, reason="stacked runs differ from plain ones")


def _widest_from(engine: Engine, index: int, read: frozenset[int]) -> int:
    """Bytes per row of the widest tensor that a run makes: what is computed, and what is returned as recorded."""
    return max(1, *(leaf.row_bytes for leaf in engine.calls.leaves if leaf.index >= index or leaf.index in read))


def _check_order(engine: Engine, site: Site) -> None:
    """Refuse a site whose rows are not in the order of the input's rows: what is patched there would be another row."""
    turned = torch.arange(len(engine.probe) - 1, -1, -1, device=engine.probe.device)
    there = engine.read(engine.probe, [site])[1][site]
    found = engine.read(engine.probe[turned], [site])[1][site]
    # against the whole tensor: rounding in a small column must not pass for another order
    limit = max(SAME_ROW, SAME_ROW_UNITS * torch.finfo(there.dtype).eps) * there.abs().max()
    if found.shape != there.shape or bool((found - there[turned]).abs().max() > limit):
        raise ModelError(
            f"site {site.name}: its rows are not in the order of the input's rows",
            expected="a module that works on the rows as they come",
            fix="choose other sites (--sites; circuitprobe inspect MODEL DATA lists them)",
        )


def _with_consumer(engine: Engine, trial: Trial, stubs: Route) -> Iterator[Route]:
    """Ways that go on from the layer that reads the site."""
    limit = engine.memory // 8 // engine.probe.element_size()
    for consumer in trial.consumers(stubs.site, stubs.at, limit):
        read = trial.read_after(consumer.index)
        on_the_way = {*consumer.chain, *consumer.folded}
        # what a later part of the network reads must be the patched value, which only the site itself can give
        if read is None or read & on_the_way or (stubs.at in read and consumer.chain) or (consumer.closes and read):
            continue
        layer = engine.calls.leaves[consumer.index].path
        yield replace(
            stubs,
            way=Way.CLOSED_FORM if consumer.closes and consumer.directions is not None else Way.SUBSTITUTION,
            reason=f"{layer} reads it" + (" and gives the output" if consumer.closes else ""),
            consumer=consumer,
            consumer_read=read,
            row_bytes=_widest_from(engine, consumer.index, read),
        )


def _agrees(engine: Engine, route: Route) -> bool:
    """Whether a few units patched this way, and all together, give what plain runs give."""
    site = route.site
    try:
        base = engine.tape(engine.probe, [site])
        plain = by_unit(base.at(site), site)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(plain.shape, generator=generator, dtype=torch.float64).to(plain) * (plain.abs().max() + 1.0)
        units = torch.tensor(sorted({0, site.units // 2, site.units - 1}), device=plain.device)
        source = (plain + noise).movedim(1, site.unit_axis)
        measure = Difference(base.output)
        blocks = list(run_patched(base, route, source, measure, units))
        sets = torch.ones(1, site.units, dtype=torch.bool, device=plain.device)
        found = [*torch.cat([block.values for block in blocks]), run_sets(base, route, source, measure, sets)[0]]
    except FAILURES:
        return False
    for unit, values in zip([*units.tolist(), slice(None)], found, strict=True):
        patched = plain.clone()
        patched[:, unit] += noise[:, unit]
        patches = {site: patched.movedim(1, site.unit_axis)}

        def run(patches: dict[Site, Tensor] = patches) -> Tensor:
            return HooksBackend().patched(engine.half, engine.probe, patches)[0]

        def limit(run: Callable[[], Tensor] = run) -> Tensor:
            return base.rounding + rounding_limit(run, engine.half.model)

        if not agree(values, run() - base.output, limit, base.output):
            return False
    return route.way in {Way.STACKED, Way.PLAIN} or _every_unit_agrees(engine, route)


def _every_unit_agrees(engine: Engine, route: Route) -> bool:
    """Whether each unit, patched this way on two rows, gives what stacked runs of the whole half give."""
    site = route.site
    try:
        base = engine.tape(engine.probe[:2], [site])
        plain = by_unit(base.at(site), site)
        source = (plain * 0.5 + plain.abs().max() + 1.0).movedim(1, site.unit_axis)
        stacked, measure = replace(route, way=Way.STACKED, row_bytes=engine.widest), Difference(base.output)

        def values(way: Route, units: Tensor) -> Tensor:
            blocks = run_patched(base, way, source, measure, units)
            return torch.cat([block.values.flatten(0, 1) for block in blocks])

        def same(units: Tensor) -> bool:
            def limit() -> Tensor:
                return base.rounding + rounding_limit(lambda: values(stacked, units), engine.half.model)

            return agree(values(route, units), values(stacked, units), limit, base.output)

        bytes_per_unit = base.output.numel() * base.output.element_size()
        some = max(1, engine.memory // 16 // max(1, bytes_per_unit))
        every = torch.arange(site.units, device=plain.device)
        return all(same(every[start : start + some]) for start in range(0, site.units, some))
    except FAILURES:
        return False
