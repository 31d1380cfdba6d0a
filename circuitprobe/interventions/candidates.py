"""Which units are worth patching where patching all of them is too dear.

First-order attribution does not rank the units of a trained VAE, its magnitude does: how far the output moves, to first
order, when a unit takes its other value, |J_u delta_u|, estimated from random projections of the output. It picks
candidates; it is never an effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuitprobe.interventions.senders import Sender
from circuitprobe.probe.backends import HooksBackend
from circuitprobe.probe.engine import Recorded
from circuitprobe.probe.patching import by_unit
from circuitprobe.probe.route import FAILURES
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Site

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

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
            score += _magnitude(_gradients(sender, pairing.base, site, seed), delta).to(torch.float64)
    return torch.argsort(score, descending=True, stable=True)[:count].sort().values


def _magnitude(gradients: Tensor | None, delta: Tensor) -> Tensor:
    """Sum over rows of the root mean square over directions v of v . J_u delta_u, shape (units,)."""
    if gradients is None:
        # a network that gradients do not go through: units that move most come first
        return (delta.flatten(2).norm(dim=2) if delta.ndim > 2 else delta.abs()).sum(0)
    total = torch.zeros(delta.shape[:2], dtype=delta.dtype, device=delta.device)
    for gradient in gradients:
        step = gradient * delta
        total += (step.flatten(2).sum(2) if step.ndim > 2 else step).square()
    return (total / len(gradients)).sqrt().sum(0)


def _gradients(sender: Sender, base: Recorded, site: Site, seed: int) -> Tensor | None:
    """Derivatives of v . output with respect to the site's units for 16 directions v, shape (16, rows, units, ...).

    They belong to the run without an intervention and so to no sender: they are kept with it where they take little memory.
    """
    if site in base.gradients:
        return base.gradients[site]
    engine = sender.side.engine
    rng = generator(seed, Stream.DIRECTIONS)
    directions = rng.standard_normal((PROJECTIONS, sender.side.vectors(base.output[:1], base.output[:1]).shape[1]))
    try:
        parts = [_of_rows(sender, site, base.tape.inputs[rows], directions) for rows in engine.pieces(base.rows)]
    except FAILURES:
        found = None
    else:
        found = torch.cat(parts, dim=1)
    kept = sum(g.numel() * g.element_size() for g in base.gradients.values() if g is not None)
    if found is None or kept + found.numel() * found.element_size() <= engine.memory // 8:
        base.gradients[site] = found
    return found


def _of_rows(sender: Sender, site: Site, inputs: Tensor, directions: FloatArray) -> Tensor:
    half = sender.side.engine.half
    with torch.enable_grad():
        _, found = HooksBackend().capture(half, inputs, [site])
        point = found[site].detach().requires_grad_(True)
        output, _ = HooksBackend().patched(half, inputs, {site: point})
        vectors = sender.side.vectors(output, output.detach())
        gradients = [
            torch.autograd.grad((vectors * torch.as_tensor(v).to(vectors)).sum(), point, retain_graph=True)[0]
            for v in directions
        ]
    return torch.stack([by_unit(gradient, site) for gradient in gradients])
