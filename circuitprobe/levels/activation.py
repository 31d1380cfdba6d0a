"""Level 3, interchange interventions, from runs to estimates (METHOD.md section 3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitprobe.interventions.activations import HalfName, chosen_sites, interchange
from circuitprobe.interventions.baseline import to_numpy
from circuitprobe.probe.routing import find_route
from circuitprobe.report.levels import ActivationLevel, SiteReport, UnitReport
from circuitprobe.stats.bootstrap import Resampler, mean_estimates

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from circuitprobe.interventions.subject import Subject
    from circuitprobe.levels.setting import LevelSetting, Tick
    from circuitprobe.types import Estimate, Site

UNITS_AT_ONCE = 128
"""So that progress shows."""


def activation_level(setting: LevelSetting, subject: Subject, tick: Tick) -> ActivationLevel:
    """Give every unit of every chosen site its value from the source rows.

    Args:
        setting: model, rows and draws.
        subject: the model on the rows that units are patched on.
        tick: called with the number of units that are done.
    """
    resampler = setting.resampler_for(subject.n)
    sites: list[SiteReport] = []
    for half, site in chosen_sites(subject, setting.sites):
        before = sum(done.units for done in sites)
        sites.append(_site(setting, subject, resampler, (half, site), partial(_advance, tick, before)))
    return ActivationLevel(rows=subject.n, sites=tuple(sites))


def _site(
    setting: LevelSetting,
    subject: Subject,
    resampler: Resampler,
    where: tuple[HalfName, Site],
    tick: Callable[[int], None],
) -> SiteReport:
    half, site = where
    effects: list[UnitReport] = []
    for block in range(0, site.units, UNITS_AT_ONCE):
        chosen = torch.arange(block, min(block + UNITS_AT_ONCE, site.units), device=subject.inputs.device)
        for units, values in interchange(subject, half, site, chosen):
            effects += _units(setting, resampler, half, units, values)
            tick(int(units[-1]) + 1)
    engine = subject.encoder if half == "encoder" else subject.halves.decoder
    route = find_route(engine, site)
    return SiteReport(
        name=site.name,
        half=half,
        unit_axis=site.unit_axis,
        units=site.units,
        unchanged=site.units - len(effects),
        way=route.way.value,
        way_reason=route.reason,
        effects=tuple(effects),
    )


def _units(
    setting: LevelSetting, resampler: Resampler, half: HalfName, units: Tensor, values: Tensor
) -> list[UnitReport]:
    """Estimates of one block of units; those that never change are left out."""
    latents = len(setting.latent_names) if half == "encoder" else 0
    moving = [number for number in range(len(units)) if bool((values[number] != 0).any())]
    found = []
    for number in moving:
        rows = to_numpy(values[number])
        changes = rows[:, latents:-1] @ setting.group_means
        shifts = np.where(setting.unscaled, np.nan, rows[:, :latents]) if latents else rows[:, :0]
        columns = np.concatenate([rows[:, -1:], changes, shifts], axis=1)
        found.append(columns)
    if not found:
        return []
    width = found[0].shape[1]
    every = mean_estimates(resampler, np.concatenate(found, axis=1), setting.memory)
    groups = [group.name for group in setting.data.groups]
    reports = []
    for position, number in enumerate(moving):
        mine: list[Estimate] = every[position * width : (position + 1) * width]
        shift = dict(zip(setting.latent_names, mine[1 + len(groups) :], strict=True)) if latents else None
        reports.append(
            UnitReport(
                unit=int(units[number]),
                effect=mine[0],
                group_effects=dict(zip(groups, mine[1 : 1 + len(groups)], strict=True)),
                shift=shift,
            )
        )
    return reports


def _advance(tick: Tick, before: int, done: int) -> None:
    tick(before + done)
