"""Level 4 from runs to estimates and tests (METHOD.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.interventions.mediation import Treated, treatments
from circuitprobe.report.levels import MediationEntry, MediationLevel
from circuitprobe.stats.bootstrap import Resampler, ratio_estimates, root_estimates
from circuitprobe.stats.corrected import bootstrap_p, holm_sidak, test_resamples

if TYPE_CHECKING:
    from circuitprobe.interventions.subject import Subject
    from circuitprobe.levels.setting import LevelSetting, Tick
    from circuitprobe.types import Estimate, FloatArray


def mediation_level(setting: LevelSetting, subject: Subject, tick: Tick) -> MediationLevel:
    """Mediation from every feature group through every latent to every feature group.

    Args:
        setting: model, rows and draws.
        subject: the model on the rows that are treated.
        tick: called once per treatment.
    """
    resampler = setting.resampler_for(subject.n)
    groups, latents = len(subject.groups), len(subject.latents)
    resamples = test_resamples(groups * latents * groups, resampler.resamples)
    estimates: list[dict[str, list[list[Estimate]]]] = []
    waiting: list[FloatArray] = []
    p: list[FloatArray] = []
    for treated in treatments(subject):
        estimates.append(_estimates(resampler, treated))
        waiting.append(treated.agreement)
        # the resamples are drawn once for as many treatments as the memory holds
        if len(estimates) == groups or (len(waiting) + 1) * treated.agreement.nbytes * 2 > setting.memory // 8:
            p.append(bootstrap_p(np.stack(waiting, axis=1), setting.seed, resamples))
            waiting = []
        tick()
    found = _entries(setting, estimates, np.concatenate(p))
    return MediationLevel(rows=subject.n, resamples=resamples, entries=found)


def _estimates(resampler: Resampler, treated: Treated) -> dict[str, list[list[Estimate]]]:
    """Per figure the estimates of each latent (one row only for te) and outcome."""
    latents = treated.nie.shape[1]
    found = {
        name: [root_estimates(resampler, getattr(treated, name)[:, i]) for i in range(latents)]
        for name in ("nie", "nde", "interaction")
    }
    found["te"] = [root_estimates(resampler, treated.te)]
    found["proportion"] = [ratio_estimates(resampler, treated.agreement[:, i], treated.whole) for i in range(latents)]
    return found


def _entries(
    setting: LevelSetting, estimates: list[dict[str, list[list[Estimate]]]], p: FloatArray
) -> tuple[MediationEntry, ...]:
    corrected = holm_sidak(p)
    names = [group.name for group in setting.data.groups]
    return tuple(
        MediationEntry(
            treatment=treatment,
            mediator=mediator,
            outcome=outcome,
            te=estimates[g]["te"][0][h],
            nie=estimates[g]["nie"][i][h],
            nde=estimates[g]["nde"][i][h],
            interaction=estimates[g]["interaction"][i][h],
            proportion_mediated=estimates[g]["proportion"][i][h],
            p=float(p[g, i, h]),
            p_corrected=float(corrected[g, i, h]),
        )
        for g, treatment in enumerate(names)
        for i, mediator in enumerate(setting.latent_names)
        for h, outcome in enumerate(names)
    )
