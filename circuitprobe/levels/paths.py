"""Level 3, path-specific patching and circuits, from runs to estimates (METHOD.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitprobe.interventions.baseline import row_means, to_numpy
from circuitprobe.interventions.candidates import candidates
from circuitprobe.interventions.circuits import SHARE, Circuit, FoundCircuit, find_circuit, jaccard, set_values
from circuitprobe.interventions.paths import side_of, side_sites
from circuitprobe.interventions.senders import Sender, Side, SideName, recorder, sender_of
from circuitprobe.metrics.overlap import expected_jaccard
from circuitprobe.report.levels import CircuitReport, Overlap, PathLevel, PathUnit, SenderReport
from circuitprobe.stats.bootstrap import Resampler, mean_estimates, ratio_estimates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.interventions.subject import Subject
    from circuitprobe.levels.setting import LevelSetting, Tick
    from circuitprobe.types import FloatArray, Site


@dataclass(frozen=True)
class _Layer:
    """What one sender does through one layer."""

    report: CircuitReport
    circuit: Circuit
    moving: int


def path_level(
    setting: LevelSetting, subject: Subject, senders: Sequence[int], most_units: int, tick: Tick
) -> PathLevel:
    """Path-specific patching from active latents and from feature groups.

    Args:
        setting: model, rows and draws.
        subject: the model on the rows that units are patched on.
        senders: numbers of the latents.
        most_units: receivers per layer and sender that are patched.
        tick: called once per sender and layer.
    """
    decoder, found = _side(setting, subject, "decoder", senders, most_units, tick)
    encoder: tuple[SenderReport, ...] = ()
    if not subject.vae.prior_only:
        encoder, _ = _side(setting, subject, "encoder", range(len(subject.groups)), most_units, tick)
    overlaps = _overlaps(found)
    return PathLevel(
        rows=subject.n,
        share=SHARE,
        decoder=decoder,
        encoder=encoder,
        overlaps=overlaps,
        mean_size=_mean([layer.circuit.size / layer.moving for layer in found if layer.circuit.size]),
        mean_overlap=_mean([pair.jaccard for pair in overlaps]),
        mean_overlap_null=_mean([pair.null for pair in overlaps]),
    )


def path_steps(subject: Subject, sites: Sequence[tuple[str, Site]], senders: int) -> int:
    """How many ticks ``path_level`` takes: one per sender and layer."""
    decoder = sum(half == "decoder" for half, _ in sites)
    return senders * decoder + len(subject.groups) * (len(sites) - decoder)


def _mean(values: list[float]) -> float | None:
    """A mean over circuits; they are those of all rows, so that it has no interval."""
    return float(np.mean(values)) if values else None


def _side(
    setting: LevelSetting, subject: Subject, name: SideName, numbers: Sequence[int], most_units: int, tick: Tick
) -> tuple[tuple[SenderReport, ...], list[_Layer]]:
    side = side_of(subject, name)
    sites = side_sites(subject, name, setting.sites)
    base = recorder(side, sites)
    reports, layers = [], []
    for number in numbers:
        sender = sender_of(side, number, sites, base)
        report, mine = _sender(setting, sender, most_units, tick)
        reports.append(report)
        layers += mine
    return tuple(reports), layers


def _sender(setting: LevelSetting, sender: Sender, most_units: int, tick: Tick) -> tuple[SenderReport, list[_Layer]]:
    changes, squared = sender.totals()
    total = to_numpy(changes[:, -1])
    resampler = setting.resampler_for(len(total))
    layers = []
    for site in sender.sites:
        layers.append(_layer(setting, resampler, sender, site, total, squared, most_units))
        tick()
    (effect,) = mean_estimates(resampler, total[:, None], setting.memory)
    return SenderReport(sender=sender.name, total=effect, circuits=tuple(layer.report for layer in layers)), layers


def _layer(
    setting: LevelSetting,
    resampler: Resampler,
    sender: Sender,
    site: Site,
    total: FloatArray,
    squared: torch.Tensor,
    most_units: int,
) -> _Layer:
    ends, columns = len(sender.side.ends), sender.side.columns
    chosen = candidates(sender, site, most_units, setting.seed)
    strength = np.zeros(site.units)
    for units, values in sender.sweep().units(site, columns, chosen):
        strength[to_numpy(units).astype(np.int64)] = row_means(values[:, :, ends])
    found = find_circuit(sender, site, strength, squared)
    everyone = torch.ones(1, site.units, dtype=torch.bool, device=squared.device)
    joint = to_numpy(set_values(sender, site, everyone)[0, :, ends])
    (additivity,) = ratio_estimates(resampler, joint[:, None], total)
    kept, left = ratio_estimates(resampler, np.stack([found.kept, found.left], axis=1), found.whole)
    report = CircuitReport(
        site=site.name,
        units=_members(setting, resampler, sender, site, found),
        size=found.circuit.size,
        units_in_layer=site.units,
        units_measured=len(chosen),
        complete=found.circuit.complete,
        faithfulness=kept,
        completeness=left,
        additivity=additivity,
    )
    # units that were not patched may carry something
    carrying = int((strength > 0).sum()) + site.units - len(chosen)
    return _Layer(report, found.circuit, max(1, carrying))


def _members(
    setting: LevelSetting, resampler: Resampler, sender: Sender, site: Site, found: FoundCircuit
) -> tuple[PathUnit, ...]:
    """The circuit's units with the figures of their paths, in the order in which they were added."""
    if not found.circuit.units:
        return ()
    side, ends = sender.side, len(sender.side.ends)
    names, weights = _ends(setting, side)
    members = torch.tensor(sorted(found.circuit.units), device=side.inputs.device)
    reports: dict[int, PathUnit] = {}
    for units, values in sender.sweep().units(site, side.columns, members):
        rows = [to_numpy(figures) for figures in values]
        columns = [
            np.concatenate([figures[:, ends : ends + 1], figures[:, :ends] @ weights], axis=1) for figures in rows
        ]
        every = iter(mean_estimates(resampler, np.concatenate(columns, axis=1), setting.memory))
        shares = ratio_estimates(resampler, np.stack([figures[:, -1] for figures in rows], axis=1), found.whole)
        for unit, recovered in zip(units.tolist(), shares, strict=True):
            effect, *per_end = (next(every) for _ in range(1 + len(names)))
            reports[unit] = PathUnit(
                unit=unit, effect=effect, recovered=recovered, end_effects=dict(zip(names, per_end, strict=True))
            )
    return tuple(reports[unit] for unit in found.circuit.units)


def _ends(setting: LevelSetting, side: Side) -> tuple[list[str], FloatArray]:
    """Names of what paths end at in the report, and the matrix that turns the ends' changes into theirs."""
    if side.name == "decoder":
        return [group.name for group in setting.data.groups], setting.group_means
    # a latent that never varies has no scale to count in
    return list(side.ends), np.where(setting.unscaled, np.nan, np.eye(len(side.ends)))


def _overlaps(layers: list[_Layer]) -> tuple[Overlap, ...]:
    found = []
    for one, other in combinations([layer for layer in layers if layer.circuit.size], 2):
        if one.circuit.site == other.circuit.site:
            found.append(
                Overlap(
                    site=one.circuit.site,
                    first=one.circuit.sender,
                    second=other.circuit.sender,
                    jaccard=jaccard(one.circuit, other.circuit),
                    null=expected_jaccard(one.circuit.size, other.circuit.size, max(one.moving, other.moving)),
                )
            )
    return tuple(sorted(found, key=lambda pair: pair.site))
