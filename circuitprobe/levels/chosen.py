"""Levels 1, 3 and 4 of one audit, as they were asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from circuitprobe.interventions.activations import chosen_sites
from circuitprobe.levels.activation import activation_level
from circuitprobe.levels.budget import plan
from circuitprobe.levels.circuit_map import circuit_map
from circuitprobe.levels.inputs import input_level
from circuitprobe.levels.mediation import mediation_level
from circuitprobe.levels.paths import path_level, path_steps
from circuitprobe.levels.setting import Tick
from circuitprobe.levels.truth_sample import MOST_ROWS
from circuitprobe.report.levels import ActivationLevel, CircuitMap, InputLevel, MediationLevel, PathLevel
from circuitprobe.report.model import LevelStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.levels.setting import LevelSetting
    from circuitprobe.report.model import LatentReport

Level = Literal[1, 2, 3, 4]

LEVELS: dict[Level, str] = {
    1: "input manipulation",
    2: "latent perturbation",
    3: "activation patching",
    4: "causal mediation",
}


class Progress(Protocol):
    """Told what the audit is doing."""

    def phase(self, name: str, total: int | None) -> AbstractContextManager[Tick]:
        """A phase of ``total`` steps begins (None: nobody knows how many); the tick tells of each."""
        ...


@dataclass(frozen=True)
class Chosen:
    """What a caller asked for.

    Attributes:
        levels: numbers of the levels, ascending.
        patch_rows: rows of levels 3 and 4; None: by what the model costs.
        patch_units: receivers per layer and sender; None: by what the model costs.
        truth_rows: images that the scores against known factors are computed on at most; 0: no such scores.
        dci: DCI beside the other scores, where factors are known.
    """

    levels: tuple[Level, ...] = (1, 2, 3, 4)
    patch_rows: int | None = None
    patch_units: int | None = None
    truth_rows: int = MOST_ROWS
    dci: bool = False


@dataclass(frozen=True)
class Results:
    """Levels 1, 3 and 4, None where they did not run."""

    inputs: InputLevel | None
    activations: ActivationLevel | None
    paths: PathLevel | None
    mediation: MediationLevel | None
    circuit_map: CircuitMap | None
    statuses: tuple[LevelStatus, ...]


def run_chosen(setting: LevelSetting, latents: Sequence[LatentReport], chosen: Chosen, show: Progress) -> Results:
    """Run levels 1, 3 and 4 as far as they were asked for and can be run.

    Args:
        setting: model, rows and draws.
        latents: paths start from the active ones.
        chosen: what was asked for.
        show: told what is going on.

    Raises:
        UsageError: globs that choose no site.
    """
    subject, no_encoder = setting.subject, setting.subject.vae.prior_only
    sites = chosen_sites(subject, setting.sites) if 3 in chosen.levels else []
    senders = [i for i, latent in enumerate(latents) if latent.active]
    budget = plan(subject, sites, len(senders), chosen.patch_rows, chosen.patch_units, setting.seed)
    inputs = activations = paths = mediation = None
    if 1 in chosen.levels and not no_encoder:
        with show.phase("moving inputs", _input_steps(setting)) as tick:
            inputs = input_level(setting, tick)
    if sites:
        patched = subject.part(budget.patched)
        with show.phase("patching units", sum(site.units for _, site in sites)) as tick:
            activations = activation_level(setting, patched, tick)
        with show.phase("tracing paths and circuits", path_steps(patched, sites, len(senders))) as tick:
            paths = path_level(setting, patched, senders, budget.units, tick)
    if 4 in chosen.levels and not no_encoder:
        with show.phase("mediation", len(subject.groups)) as tick:
            mediation = mediation_level(setting, subject.part(budget.treated), tick)
    names = [group.name for group in setting.data.groups]
    return Results(
        inputs=inputs,
        activations=activations,
        paths=paths,
        mediation=mediation,
        circuit_map=None
        if inputs is None or activations is None or paths is None
        else circuit_map(inputs, activations, paths, names),
        statuses=_statuses(chosen.levels, no_encoder, patched=bool(sites)),
    )


def _input_steps(setting: LevelSetting) -> int:
    features = {tuple(feature.dims) for feature in setting.subject.features}
    groups = {tuple(setting.subject.group_dims(group)) for group in setting.subject.groups}
    return len(features) + len(groups - features)


def _statuses(levels: Sequence[Level], no_encoder: str, *, patched: bool) -> tuple[LevelStatus, ...]:
    def status(level: Level, name: str) -> LevelStatus:
        if level not in levels:
            return LevelStatus(level=level, name=name, run=False, reason="not asked for (--levels)")
        if level == 3 and not patched:
            reason = "no hidden layer that hooks reach: TorchScript, or layers that are no modules"
            return LevelStatus(level=level, name=name, run=False, reason=reason)
        if level in {1, 4} and no_encoder:
            return LevelStatus(level=level, name=name, run=False, reason=no_encoder)
        return LevelStatus(level=level, name=name, run=True, reason=None)

    return tuple(status(level, name) for level, name in LEVELS.items())
