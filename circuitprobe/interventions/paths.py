"""Level 3, path-specific patching: sender -> receiver unit -> output (METHOD.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.errors import UsageError
from circuitprobe.interventions.activations import Unit, chosen_sites
from circuitprobe.interventions.baseline import row_means, to_numpy
from circuitprobe.interventions.circuits import SHARE, Circuit, find_circuit, jaccard, set_values
from circuitprobe.interventions.senders import Sender, Side, SideName, decoder_side, encoder_side, recorder, sender_of
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.probe.engine import MEMORY
from circuitprobe.types import Feature, FeatureGroup, Site

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray


@dataclass(frozen=True)
class PathEffects:
    """Result of path-specific patching.

    Attributes:
        senders: latents (decoder side) or feature groups (encoder side).
        units: receivers, in execution order.
        ends: features or latents.
        strength: PSE as E: mean over rows and sources, shape (senders, units).
        changes: PSE_{i,u,f}, mean delta_f (or shift of a latent), shape (senders, units, ends).
        recovered: share of the sender's total effect that comes back through the unit alone, shape (senders, units).
        total: mean E of the sender's total effect, shape (senders,).
        layers: names of the receivers' sites.
        additivity: E with all receivers of a layer together over the total, shape (senders, layers); 1 where the layer
            cuts every path.
        circuits: one per sender and layer, empty where they were not asked for.
    """

    senders: tuple[str, ...]
    units: tuple[Unit, ...]
    ends: tuple[str, ...]
    strength: FloatArray
    changes: FloatArray
    recovered: FloatArray
    total: FloatArray
    layers: tuple[str, ...]
    additivity: FloatArray
    circuits: tuple[Circuit, ...]

    def overlap(self, site: str) -> FloatArray:
        """Jaccard overlap of the senders' circuits in one layer, shape (senders, senders).

        Raises:
            UsageError: no circuits were looked for in that layer.
        """
        mine = [circuit for circuit in self.circuits if circuit.site == site]
        if len(mine) != len(self.senders):
            raise UsageError(
                f"no circuits at {site!r}",
                expected=f"one of {', '.join(self.layers)}, and circuits=True",
                fix="circuits=True",
            )
        return np.array([[jaccard(one, other) for other in mine] for one in mine])

    def to_frame(self) -> pd.DataFrame:
        """One row per sender and unit: strength, recovered share, changes of the ends."""
        import pandas as pd

        head = [
            (sender, unit.half, unit.site, unit.unit, self.strength[s, u], self.recovered[s, u])
            for s, sender in enumerate(self.senders)
            for u, unit in enumerate(self.units)
        ]
        frame = pd.DataFrame(head, columns=["sender", "half", "site", "unit", "strength", "recovered"])
        changes = pd.DataFrame(self.changes.reshape(len(frame), len(self.ends)), columns=list(self.ends))
        return pd.concat([frame, changes], axis=1)


@dataclass(frozen=True)
class PathEffect:
    """Result of one path.

    Attributes:
        steps: sender and units.
        ends: features or latents.
        changes: mean change of each end, shape (ends,).
        strength_rows: E per row, mean over the sources, shape (rows,).
    """

    steps: tuple[str, ...]
    ends: tuple[str, ...]
    changes: FloatArray
    strength_rows: FloatArray

    @property
    def strength(self) -> float:
        """Mean E."""
        return float(self.strength_rows.mean())

    def to_frame(self) -> pd.DataFrame:
        """One row per end."""
        import pandas as pd

        return pd.DataFrame({"change": self.changes}, index=pd.Index(self.ends, name="end"))


def paths(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    senders: str | int | Sequence[str | int] | None = None,
    sites: str | Sequence[str] | None = None,
    *,
    side: SideName = "decoder",
    share: float = SHARE,
    circuits: bool = True,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> PathEffects:
    """Path-specific patching on its own: the sender takes its source value, one unit alone sees it.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        senders: latents (``"z3"`` or 3) or, on the encoder side, feature groups; default all.
        sites: globs over the names of sites; default the hidden layers of that side.
        side: ``decoder``: latent -> unit -> features; ``encoder``: feature group -> unit -> latents.
        share: of the total effect that a circuit must recover.
        circuits: whether to look for circuits.
        features: how the dimensions read; default as for ``inputs``.
        groups: feature groups by name; default every feature its own.
        sources: R, or source rows of shape (R, rows).
        seed: of the draw of source rows.
        chunk: rows per run of the model without interventions; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Returns:
        Path-specific effects in standard deviations (numeric) or probability (categorical); on the encoder side in
        standard deviations of the latents.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        half = side_of(subject, side)
        receivers = side_sites(subject, side, sites)
        numbers = range(len(half.senders)) if senders is None else half.numbers(senders)
        base = recorder(half, receivers)
        found = [_from_sender(sender_of(half, n, receivers, base), share if circuits else None) for n in numbers]
        units = tuple(Unit(side, site.name, unit) for site in receivers for unit in range(site.units))
        return PathEffects(
            senders=tuple(half.senders[number] for number in numbers),
            units=units,
            ends=half.ends,
            strength=np.stack([one.strength for one in found]),
            changes=np.stack([one.changes for one in found]),
            recovered=np.stack([one.recovered for one in found]),
            total=np.array([one.total for one in found]),
            layers=tuple(site.name for site in receivers),
            additivity=np.stack([one.additivity for one in found]),
            circuits=tuple(circuit for one in found for circuit in one.circuits),
        )


def side_of(subject: Subject, side: SideName) -> Side:
    """One side of a model.

    Raises:
        UsageError: no such side.
    """
    if side not in {"encoder", "decoder"}:
        raise UsageError(f"side={side!r}", expected="encoder or decoder", fix='side="decoder"')
    return decoder_side(subject) if side == "decoder" else encoder_side(subject)


def side_sites(subject: Subject, side: SideName, globs: str | Sequence[str] | None) -> list[Site]:
    """The receivers' sites on one side, in execution order."""
    return [site for half, site in chosen_sites(subject, globs) if half == side]


@dataclass(frozen=True)
class _FromSender:
    strength: FloatArray
    changes: FloatArray
    recovered: FloatArray
    total: float
    additivity: FloatArray
    circuits: list[Circuit]


def _from_sender(sender: Sender, share: float | None) -> _FromSender:
    ends = len(sender.side.ends)
    changes_total, squared = sender.totals()
    whole = float(squared.sum(dtype=torch.float64))
    total = float(changes_total[:, -1].mean(dtype=torch.float64))
    strength, changes, recovered, additivity, circuits = [], [], [], [], []
    for site in sender.sites:
        blocks = [row_means(values) for _, values in sender.sweep().units(site, sender.side.columns)]
        means = np.concatenate(blocks)
        strength.append(means[:, ends])
        changes.append(means[:, :ends])
        recovered.append(means[:, -1] * len(squared) / whole if whole > 0 else np.full(len(means), np.nan))
        everyone = torch.ones(1, site.units, dtype=torch.bool, device=squared.device)
        joint = set_values(sender, site, everyone)[0, :, ends].mean(dtype=torch.float64)
        additivity.append(float(joint) / total if total > 0 else np.nan)
        if share is not None:
            circuits.append(find_circuit(sender, site, means[:, ends], squared, share).circuit)
    nothing = np.empty(0)
    return _FromSender(
        np.concatenate([nothing, *strength]),
        np.concatenate([np.empty((0, ends)), *changes]),
        np.concatenate([nothing, *recovered]),
        total,
        np.array(additivity),
        circuits,
    )


def path(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None,
    steps: Sequence[str],
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> PathEffect:
    """One path of any length: at each layer only the named unit moves.

    Args:
        vae: a wrapped model, or a module whose halves are known by name. It is left as it was.
        x: rows in the model's space, shape (rows, dims); None for what ``prepared`` gives.
        steps: a sender, then units as ``site:unit`` in execution order: ``("z3", "decoder.1:17", "decoder.3:5")``; from a
            feature group or feature through the encoder: ``("age", "encoder.1:2")``. Each unit takes the value that it has
            in the run in which only the one before it has moved.
        features: see ``paths``.
        groups: see ``paths``.
        sources: see ``paths``.
        seed: see ``paths``.
        chunk: see ``paths``.
        memory: see ``paths``.
        backend: see ``paths``.

    Raises:
        UsageError: a step that is no sender or unit.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        half, number = _start(subject, steps)
        hops = _hops(subject, half, steps)
        sites = list(dict.fromkeys(site for site, _ in hops))
        sender = sender_of(half, number, sites, recorder(half, sites))
        sweep = sender.sweep()
        values = half.inputs.new_zeros(sweep.rows, len(half.ends) + 1)
        for rows in sweep.chunks():
            for source in range(sweep.sources):
                values[rows] += _walk(sender, source, rows, hops)
        found = to_numpy(values / sweep.sources)
        return PathEffect(tuple(steps), half.ends, found[:, :-1].mean(axis=0), found[:, -1])


def _walk(sender: Sender, source: int, rows: slice, hops: Sequence[tuple[Site, int]]) -> Tensor:
    """Changes of the ends and E of one path on some rows."""
    base, run, half = sender.base(rows), sender.run(source, rows), sender.side
    if not hops:
        return run.changes
    engine = half.engine
    values = run.source
    output = base.output
    for position, (site, unit) in enumerate(hops):
        patched = base.at(site).clone().movedim(site.unit_axis, 1)
        patched[:, unit] = values[site].movedim(site.unit_axis, 1)[:, unit]
        ahead = [later for later, _ in hops[position + 1 :]]
        output, values = engine.backend.patched(
            engine.half, half.inputs[rows], {site: patched.movedim(1, site.unit_axis)}, ahead
        )
    everyone = torch.arange(len(output), device=output.device)
    return half.measure(base.output, None).of(output, everyone)


def _start(subject: Subject, steps: Sequence[str]) -> tuple[Side, int]:
    """The side that a path begins on, and its sender."""
    if len(steps) < 2:
        raise UsageError(
            f"steps={tuple(steps)!r}", expected="a sender and at least one unit", fix='steps=("z0", "decoder.1:17")'
        )
    if steps[0] in subject.latents:
        half = decoder_side(subject)
    elif steps[0] in {group.name for group in subject.groups}:
        half = encoder_side(subject)
    else:
        singles = tuple(FeatureGroup(feature.name, (feature.name,)) for feature in subject.features)
        half = encoder_side(replace(subject, groups=singles))
    return half, half.number(steps[0])


def _hops(subject: Subject, side: Side, steps: Sequence[str]) -> list[tuple[Site, int]]:
    """The units of a path.

    Raises:
        UsageError: no unit of that side, or units that do not follow each other.
    """
    order = [site.name for site in side_sites(subject, side.name, "*")]
    hops = [_hop(subject, side, step) for step in steps[1:]]
    places = [order.index(site.name) for site, _ in hops]
    if places != sorted(set(places)):
        raise UsageError(
            f"steps {' -> '.join(steps[1:])}",
            expected=f"units of different sites in execution order: {', '.join(order[:12])}",
            fix=f"steps={(steps[0], *sorted(steps[1:], key=lambda step: order.index(step.rpartition(':')[0])))!r}",
        )
    return hops


def _hop(subject: Subject, side: Side, step: str) -> tuple[Site, int]:
    name, _, unit = step.rpartition(":")
    if not name or not unit.isdigit():
        raise UsageError(f"step {step!r}", expected="a site and the number of a unit", fix='"decoder.1:17"')
    site = [found for found in side_sites(subject, side.name, name) if found.name == name.removeprefix(f"{side.name}:")]
    if len(site) != 1 or int(unit) >= site[0].units:
        found = f"{len(site)} sites" if len(site) != 1 else f"{site[0].units} units"
        raise UsageError(
            f"step {step!r}: {found} on the {side.name} side",
            expected="one site and a unit that it has",
            fix='"decoder.1:17"',
        )
    return site[0], int(unit)
