"""Which units are worth patching where patching all of them is too dear.

First-order attribution does not rank the units of a trained VAE, its magnitude does: how far the output moves, to first
order, when a unit takes its other value, |J_u delta_u|, estimated from random projections of the output. It picks
candidates; it is never an effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitprobe.interventions.senders import Sender
from circuitprobe.probe.backends import HooksBackend
from circuitprobe.probe.patching import by_unit
from circuitprobe.probe.routing import FAILURES
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Site

PROJECTIONS = 16


def candidates(sender: Sender, site: Site, count: int, seed: int) -> Tensor:
    """The units of a site that seem to carry most of a sender's effect, ascending.

    Args:
        sender: with its runs.
        site: the layer.
        count: how many.
        seed: of the projections.

    Returns:
        Shape (count,), or all units where the site has no more.
    """
    everyone = torch.arange(site.units, device=sender.side.inputs.device)
    if site.units <= count:
        return everyone
    sweep = sender.sweep()
    score = torch.zeros(site.units, dtype=torch.float64, device=everyone.device)
    for rows in sweep.chunks():
        for source in range(sweep.sources):
            pairing = sweep.pairing(source, rows)
            delta = by_unit(pairing.source[site], site) - by_unit(pairing.base.at(site), site)
            for start, part in _parts(delta, sender):
                inputs = pairing.base.tape.inputs[start : start + len(part)]
                score += _magnitude(sender, site, inputs, part, seed).to(torch.float64)
    return torch.argsort(score, descending=True, stable=True)[:count].sort().values


def _parts(delta: Tensor, sender: Sender) -> Sequence[tuple[int, Tensor]]:
    size = sender.side.engine.piece(sender.side.engine.row_bytes)
    return [(start, delta[start : start + size]) for start in range(0, len(delta), size)]


def _magnitude(sender: Sender, site: Site, inputs: Tensor, delta: Tensor, seed: int) -> Tensor:
    """Sum over rows of the root mean square over projections v of v . J_u delta_u, shape (units,)."""
    engine = sender.side.engine
    try:
        with torch.enable_grad():
            _, found = HooksBackend().capture(engine.half, inputs, [site])
            point = found[site].detach().requires_grad_(True)
            output, _ = HooksBackend().patched(engine.half, inputs, {site: point})
            vectors = sender.side.vectors(output, output.detach())
            rng = generator(seed, Stream.DIRECTIONS)
            total = torch.zeros(delta.shape[:2], dtype=torch.float64, device=delta.device)
            for _ in range(PROJECTIONS):
                projection = torch.as_tensor(rng.standard_normal(vectors.shape[1])).to(vectors)
                (gradient,) = torch.autograd.grad((vectors * projection).sum(), point, retain_graph=True)
                step = by_unit(gradient, site) * delta
                total += (step.flatten(2).sum(2) if step.ndim > 2 else step).to(torch.float64).square()
    except FAILURES:
        # a network that gradients do not go through: units that move most come first
        return (delta.flatten(2).norm(dim=2) if delta.ndim > 2 else delta.abs()).sum(0)
    return (total / PROJECTIONS).sqrt().sum(0)
