"""Level 2 from runs to estimates (METHOD.md section 2)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.interventions import LatentRun, perturb
from circuitprobe.levels.aggregate import activity
from circuitprobe.levels.measured import Measured, function_of, over_rows
from circuitprobe.levels.profiles import Profiles
from circuitprobe.metrics.fgd import completeness, disentanglement, fgc, fgd, fgd_null, group_effects, permutation_p
from circuitprobe.metrics.modularity import modularity
from circuitprobe.metrics.specificity import inverse_entropy, model_specificity, specificity
from circuitprobe.report.model import LatentReport, Response, Scores
from circuitprobe.stats.bootstrap import estimate, mean_estimates
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.levels.setting import LevelSetting, Tick
    from circuitprobe.types import FloatArray, Latent


# figures of single latents that two audits are compared on
COMPARED = ("ces", "specificity", "disentanglement", "kl", "on_support_rate")


@dataclass(frozen=True)
class LatentLevel:
    """Level 2 of one model."""

    latents: tuple[LatentReport, ...]
    scores: Scores | None
    resamples: dict[str, tuple[float, FloatArray]] = field(default_factory=dict)
    """The main figures on all rows and on each resample by metric, ``ces:z3`` for one latent."""


@dataclass(frozen=True)
class _Rows:
    """What the runs of all latents gave, reduced over rows; arrays have the latents first, resamples second."""

    effects: Measured
    ces: Measured
    ces_prior: Measured
    support: Measured
    support_prior: Measured
    profiles: tuple[Profiles, ...]
    responses: tuple[dict[str, Response], ...]


def latent_level(setting: LevelSetting, tick: Tick) -> LatentLevel:
    """Intervene on every latent and estimate everything of METHOD.md section 2.

    Args:
        setting: model, rows and draws.
        tick: called once per latent.

    Returns:
        One entry per latent and the model's scores, each number with its bootstrap interval.
    """
    measured = _run(setting, tick)
    known = activity(setting)
    active = known.active_by(measured.ces.value)
    r = function_of(measured.effects, lambda e: group_effects(e, setting.membership, len(setting.data.groups)))
    per_latent = _per_latent(measured, known.kl, known.scale, r)
    scores, of_model = _scores(setting, measured, active, r)
    of_latents = {
        f"{name}:{latent}": source.at(i)
        for name, source in per_latent.items()
        if name in COMPARED
        for i, latent in enumerate(setting.latent_names)
    }
    reports = _latent_reports(setting, measured, per_latent, active, r)
    return LatentLevel(reports, scores, {**of_model, **of_latents})


def latent_summary(setting: LevelSetting) -> LatentLevel:
    """What is known of the latents without intervening on them: KL, scale, which are active."""
    known = activity(setting)
    active = known.active_by(None)
    unknown = Estimate(None, None, None, setting.n)
    return LatentLevel(
        tuple(
            LatentReport(
                name=name,
                active=bool(active[i]),
                columns=setting.subject.blocks.latents[i].dims,
                kl=estimate(*known.kl.at(i), setting.n),
                scale=estimate(*known.scale.at(i), setting.n),
                posterior_values=_shown(setting, setting.points, i),
                prior_values=_shown(setting, setting.prior_points, i),
                ces=unknown,
                ces_prior=unknown,
                on_support_rate=unknown,
                on_support_rate_prior=unknown,
                specificity=unknown,
                inverse_entropy=unknown,
                disentanglement=unknown,
                effects={},
                group_effects={},
            )
            for i, name in enumerate(setting.latent_names)
        ),
        None,
    )


def _shown(setting: LevelSetting, points: FloatArray, latent: int) -> tuple[float, ...]:
    """One number per k: the mean over the code columns that the latent is made of."""
    dims = list(setting.subject.blocks.latents[latent].dims)
    return tuple(points[dims[0]].tolist() if len(dims) == 1 else points[dims].mean(axis=0).tolist())


def _run(setting: LevelSetting, tick: Tick) -> _Rows:
    per_latent: list[list[Measured]] = []
    responses: list[dict[str, Response]] = []
    profiles: list[Profiles] = []
    for i, latent in enumerate(setting.subject.blocks.latents):
        points, prior_points = setting.points[list(latent.dims)], setting.prior_points[list(latent.dims)]
        run = perturb(setting.subject, i, points)
        prior = perturb(setting.subject, i, prior_points, profiles=False)
        scalars = [
            run.strength,
            prior.strength,
            _inside(setting, latent, points),
            _inside(setting, latent, prior_points),
        ]
        columns = [run.change, *(column[:, None] for column in scalars)]
        effects, ces, ces_prior, support, support_prior = over_rows(setting, columns)
        per_latent.append([effects, ces, ces_prior, support, support_prior])
        responses.append(_response(setting, run.response))
        layers = _alive(run)
        profiles = profiles or [_room(setting, layer.shape[1]) for layer in layers]
        for room, layer in zip(profiles, layers, strict=True):
            room.put(i, layer.mean(axis=0, dtype=np.float64), _resampled_profile(setting, layer))
        tick()
    effects, *rest = (_stack(list(parts)) for parts in zip(*per_latent, strict=True))
    ces, ces_prior, support, support_prior = (Measured(m.value[:, 0], m.resampled[..., 0]) for m in rest)
    return _Rows(effects, ces, ces_prior, support, support_prior, tuple(profiles), tuple(responses))


def _response(setting: LevelSetting, rows: FloatArray) -> dict[str, Response]:
    """The mean over rows of each output column's answer, by feature."""
    readout = setting.readout
    owner = np.arange(readout.width) if readout.of_pixels else readout.owner.cpu().numpy()
    found = mean_estimates(setting.resampler, rows, setting.memory)
    # an output that is not finite has ended the run: every mean has its interval
    value, low, high = (
        np.array([getattr(e, part) for e in found], dtype=np.float64) for part in ("value", "low", "high")
    )
    of_feature = [np.flatnonzero(owner == number) for number in range(len(readout.features))]
    return {
        feature.name: Response(
            value=tuple(float(value[c]) for c in columns),
            low=tuple(float(low[c]) for c in columns),
            high=tuple(float(high[c]) for c in columns),
        )
        for feature, columns in zip(setting.data.features, of_feature, strict=True)
    }


def _resampled_profile(setting: LevelSetting, layer: FloatArray) -> npt.NDArray[np.float32]:
    """Means of unit changes over each resample, shape (resamples, units); a few units at a time, as layers may be wide."""
    resampled = np.empty((setting.resampler.resamples, layer.shape[1]), dtype=np.float32)
    block = max(1, setting.memory // 32 // (8 * max(setting.n, setting.resampler.resamples)))
    for start in range(0, layer.shape[1], block):
        resampled[:, start : start + block] = setting.resampler.means(layer[:, start : start + block])
    return resampled


def _room(setting: LevelSetting, units: int) -> Profiles:
    return Profiles(len(setting.latent_names), setting.resampler.resamples, units, setting.memory)


def _stack(parts: list[Measured]) -> Measured:
    """Latents become the last axis but those that the parts have; resamples stay first."""
    return Measured(np.stack([part.value for part in parts]), np.stack([part.resampled for part in parts], axis=1))


def _alive(run: LatentRun) -> list[FloatArray]:
    return [part if np.isfinite(part[0]).all() else part[:, np.isfinite(part[0])] for part in run.profile]


def _inside(setting: LevelSetting, latent: Latent, points: FloatArray) -> FloatArray:
    """Share of a row's intervened codes that are on the support, shape (rows,), from values (members, K)."""
    share = np.zeros(setting.n)
    for values in points.T:
        share += setting.support.inside(list(latent.dims), values)
    return share / points.shape[1]


def _per_latent(measured: _Rows, kl: Measured, scale: Measured, r: Measured) -> dict[str, Measured]:
    """Figures with one number per latent."""
    return {
        "kl": kl,
        "scale": scale,
        "ces": measured.ces,
        "ces_prior": measured.ces_prior,
        "on_support_rate": measured.support,
        "on_support_rate_prior": measured.support_prior,
        "specificity": function_of(measured.effects, specificity),
        "inverse_entropy": function_of(measured.effects, inverse_entropy),
        "disentanglement": function_of(r, disentanglement),
    }


def _latent_reports(
    setting: LevelSetting,
    measured: _Rows,
    per_latent: dict[str, Measured],
    active: npt.NDArray[np.bool_],
    r: Measured,
) -> tuple[LatentReport, ...]:
    def matrix_row(source: Measured, i: int, names: list[str]) -> dict[str, Estimate]:
        return {name: estimate(*source.at(i, j), setting.n) for j, name in enumerate(names)}

    features = [feature.name for feature in setting.data.features]
    groups = [group.name for group in setting.data.groups]
    return tuple(
        LatentReport(
            name=name,
            active=bool(active[i]),
            columns=setting.subject.blocks.latents[i].dims,
            posterior_values=_shown(setting, setting.points, i),
            prior_values=_shown(setting, setting.prior_points, i),
            effects=matrix_row(measured.effects, i, features),
            group_effects=matrix_row(r, i, groups),
            response=measured.responses[i],
            **{key: estimate(*source.at(i), setting.n) for key, source in per_latent.items()},
        )
        for i, name in enumerate(setting.latent_names)
    )


def _scores(
    setting: LevelSetting, measured: _Rows, active: npt.NDArray[np.bool_], r: Measured
) -> tuple[Scores, dict[str, tuple[float, FloatArray]]]:
    """The model's scores, and each on all rows and on the resamples."""
    n = setting.n

    def overall(source: Measured, where: npt.NDArray[np.bool_] | None = None) -> Measured:
        chosen = np.flatnonzero(np.ones(len(active), bool) if where is None else where)
        if chosen.size == 0:
            return Measured(np.asarray(np.nan), np.full(len(source.resampled), np.nan))
        return Measured(np.asarray(source.value[chosen].mean()), source.resampled[:, chosen].mean(axis=1))

    def ratio(top: Measured, bottom: Measured) -> Measured:
        with np.errstate(invalid="ignore", divide="ignore"):
            return Measured(np.asarray(top.value / bottom.value), top.resampled / bottom.resampled)

    ces, ces_prior = overall(measured.ces), overall(measured.ces_prior)
    weighted = {
        name: function_of(
            function_of(measured.effects, function), lambda s, c: model_specificity(s, c, active), measured.ces
        )
        for name, function in (("specificity", specificity), ("inverse_entropy", inverse_entropy))
    }
    single = {
        "ces": ces,
        "ces_active": overall(measured.ces, active),
        "ces_prior": ces_prior,
        "calibration_ratio": ratio(ces_prior, ces),
        "on_support_rate": overall(measured.support),
        "on_support_rate_prior": overall(measured.support_prior),
        **weighted,
    }
    by_group, whole = function_of(r, completeness), _modularity(list(measured.profiles), active)
    by_layer = {
        site.name: estimate(*_modularity([part], active).at(), n)
        for site, part in zip(setting.base.sites, measured.profiles, strict=True)
    }
    chance, p = _feature_group_null(setting, measured, r)
    single |= {
        "fgd": function_of(r, fgd),
        "fgd_adjusted": function_of(function_of(r, fgd), lambda v: _above_chance(v, chance)),
        "fgc": function_of(r, fgc),
        "modularity": whole,
    }
    estimates = {name: estimate(*source.at(), n) for name, source in single.items()}
    scores = Scores(
        ces=estimates["ces"],
        ces_active=estimates["ces_active"],
        ces_prior=estimates["ces_prior"],
        calibration_ratio=estimates["calibration_ratio"],
        on_support_rate=estimates["on_support_rate"],
        on_support_rate_prior=estimates["on_support_rate_prior"],
        specificity=estimates["specificity"],
        inverse_entropy=estimates["inverse_entropy"],
        fgd=replace(estimates["fgd"], null=chance) if estimates["fgd"].value is not None else estimates["fgd"],
        fgd_adjusted=estimates["fgd_adjusted"],
        fgd_p=p,
        fgc=estimates["fgc"],
        completeness={group.name: estimate(*by_group.at(g), n) for g, group in enumerate(setting.data.groups)},
        modularity=estimates["modularity"],
        modularity_by_layer=by_layer,
        active_latents=int(active.sum()),
    )
    of_groups = {f"completeness:{group.name}": by_group.at(g) for g, group in enumerate(setting.data.groups)}
    return scores, {**{name: source.at() for name, source in single.items()}, **of_groups}


def _modularity(layers: list[Profiles], active: npt.NDArray[np.bool_]) -> Measured:
    """Modularity over the units of some layers; resamples are taken a few at a time, as profiles may be wide."""
    if not layers:
        return Measured(np.asarray(np.nan), np.empty(0))
    value = float(modularity(np.concatenate([part.value for part in layers], axis=-1), active))
    resamples = layers[0].resamples
    block = max(1, min(part.block for part in layers) // len(layers))
    parts = []
    for start in range(0, resamples, block):
        wide = [part.read(start, min(start + block, resamples)) for part in layers]
        parts.append(modularity(np.concatenate(wide, axis=-1), active))
    return Measured(np.asarray(value), np.concatenate(parts))


def _feature_group_null(setting: LevelSetting, measured: _Rows, r: Measured) -> tuple[float | None, float | None]:
    """Mean of FGD under permutations and its p-value; (None, None) with singleton groups only or without effects."""
    value = float(fgd(r.value))
    if all(len(group.features) == 1 for group in setting.data.groups) or not np.isfinite(value):
        return None, None
    rng = generator(setting.seed, Stream.FEATURE_GROUPS)
    null = fgd_null(measured.effects.value, setting.membership, setting.permutations, rng)
    return float(null.mean()), permutation_p(value, null)


def _above_chance(value: FloatArray, chance: float | None) -> FloatArray:
    """(FGD - chance) / (1 - chance); nan where chance is unknown or already 1."""
    if chance is None or chance >= 1.0:
        return np.full_like(value, np.nan)
    return np.asarray((value - chance) / (1.0 - chance))
