"""The run from a model and rows to a report, on one screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from circuitprobe import __version__
from circuitprobe.adapters.data import TableSchema
from circuitprobe.adapters.models import ProbedVAE, check_weights, fresh_twin, runs_the_models_weights
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.fitting import DataOptions, Fitted, fit, names_of
from circuitprobe.fitting.describe import data_report, model_report
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import BackendName, Run
from circuitprobe.levels.chosen import LEVELS, Chosen, Level, Progress, Results, run_chosen
from circuitprobe.levels.downstream import downstream_level, predictors, usable_classes
from circuitprobe.levels.known_factors import known_factors_level
from circuitprobe.levels.latent import LatentLevel, latent_level, latent_summary
from circuitprobe.levels.left_out import not_run
from circuitprobe.levels.reconstruction import reconstruction_level
from circuitprobe.levels.setting import Draws, LevelSetting, Tick
from circuitprobe.levels.truth_sample import MOST_ROWS
from circuitprobe.loading import as_vae
from circuitprobe.probe import threads_for, untouched
from circuitprobe.probe.backends import Backend, backend_named
from circuitprobe.probe.engine import MEMORY
from circuitprobe.report.audit_report import AuditReport
from circuitprobe.report.ground_truth import GroundTruth
from circuitprobe.report.level_words import batch_warnings, level_sentences, not_run_warnings
from circuitprobe.report.model import METHOD_VERSION, Downstream, NotRun, Reconstruction, Settings, Twin
from circuitprobe.report.resamples import Resamples, pack
from circuitprobe.report.words import audit_warnings, verdict
from circuitprobe.stats.bootstrap import Resampler

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from circuitprobe.types import Estimate, Feature, FloatArray


class Silent:
    """No progress display."""

    def phase(self, name: str, total: int | None) -> AbstractContextManager[Tick]:  # noqa: ARG002
        """A phase that shows nothing."""
        return nullcontext(_untold)


def _untold(done: int | None = None) -> None:
    """A tick that nobody sees."""
    del done


def audit(
    vae: ProbedVAE | nn.Module | str | Path,
    data: str | Path | pd.DataFrame | FloatArray | Tensor,
    *,
    target: str | None = None,
    groups: Mapping[str, Sequence[str]] | str | Path | None = None,
    schema: TableSchema | str | Path | None = None,
    features: Sequence[Feature] | None = None,
    condition: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] | None = None,
    array: str | None = None,
    grid: int | None = None,
    pixels: str | None = None,
    rows: int = 2048,
    seed: int = 0,
    n_values: int = 8,
    values: npt.ArrayLike | None = None,
    resamples: int = 1000,
    permutations: int = 500,
    levels: Sequence[int] = (1, 2, 3, 4),
    sites: str | Sequence[str] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    patch_rows: int | None = None,
    patch_units: int | None = None,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
    twin: bool = True,
    truth_rows: int = MOST_ROWS,
    dci: bool = False,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a VAE: what each latent drives, through which units, and how sure that is (METHOD.md sections 1 to 5).

    Args:
        vae: a wrapped model, a module whose halves are known by name, or a model file. It is left as it was.
        data: a CSV or Parquet file, a benchmark's name, a DataFrame; an .npy, .npz or .pt file of images or rows, a folder of PNG
            or JPEG files; or an array or tensor (rows, dims) in the model's space, images as (rows, height, width) with channels
            before or behind and intensities from 0 to 1, -1 to 1 or 0 to 255.
        target: label column: never a feature; the report says how well it is told from mu(x).
        groups: feature groups by name, or a TOML file; default the benchmark's, else clustered by association.
        schema: what the columns are, or a TOML file, where inference would be wrong.
        features: how the dimensions of an array read; default one numeric or binary feature per dimension.
        condition: column or columns that condition encoder and decoder: put behind the data of every row, no features.
        ignore: column or columns that are left out of the table.
        array: which array of an .npz or .pt file holds the rows.
        grid: patches per side of an image; default 8.
        pixels: the range of intensities that the model takes: ``unit``, ``signed`` or ``bytes``; default found by trying.
        rows: how many rows are audited at most; memory grows with it, never with the table.
        seed: of every draw. Same seed, rows and version: the same report.
        n_values: K, intervention values per latent.
        values: intervention values (latents, K), or (code columns, K) where latents are made of several, instead of the
            posterior-calibrated ones.
        resamples: of the bootstrap.
        permutations: of the feature-group null.
        levels: which of the four levels run.
        sites: globs over the names of the sites that level 3 patches; default the activations of both halves.
        sources: R, source rows per row; or the source rows themselves, integers (R, rows).
        patch_rows: rows of levels 3 and 4; default as many as keep a level near a fixed amount of arithmetic.
        patch_units: receivers per layer and sender; default as many likewise, all of them in an MLP.
        chunk: rows per run of the model; changes no figure beyond rounding.
        memory: bytes that activations and results may take.
        backend: ``hooks``, or ``nnsight`` to run everything through nnsight traces.
        twin: whether an untrained twin is audited beside the model.
        truth_rows: on how many images MIG, SAP and FactorVAE score are computed at most, where their factors are known
            (dSprites); 0 for none.
        dci: whether DCI is computed too where the factors of the images are known (dSprites); it takes minutes.
        progress: told what is going on.

    Returns:
        The report; ``report.to_json(path)`` writes it.

    Raises:
        DataError: the rows cannot be read or do not fit the model.
        ModelError: the model cannot be loaded, recognised or run.
        UsageError: an argument makes no sense.
    """
    _check(
        rows=rows, n_values=n_values, resamples=resamples, permutations=permutations, chunk=chunk, seed=seed,
        patch_rows=patch_rows, patch_units=patch_units, truth_rows=truth_rows,
    )  # fmt: skip
    chosen = Chosen(_levels(levels), patch_rows, patch_units, truth_rows, dci)
    if sites is not None and 3 not in chosen.levels:
        raise UsageError("sites without level 3", expected="level 3 among the levels", fix="--levels 3, or no --sites")
    show = progress or Silent()
    wrapped = as_vae(vae)
    said = schema if schema is None or isinstance(schema, TableSchema) else TableSchema.load(schema)
    options = DataOptions(
        rows, seed, said, groups, target, features, names_of(condition), names_of(ignore), array, grid, pixels
    )
    with untouched(wrapped.model), threads_for(wrapped.model), backend_named(backend) as runs:
        check_weights(wrapped.model)
        with show.phase("reading rows", None) as tick:
            fitted = fit(wrapped, data, options, tick)
        draws = Draws(
            resampler=Resampler(len(fitted.data.x), resamples, seed),
            seed=seed,
            permutations=permutations,
            n_values=n_values,
            values=None if values is None else np.asarray(values, dtype=np.float64),
            sources=sources if isinstance(sources, int) else np.asarray(sources),
            run=Run(chunk, memory, backend),
            sites=(sites,) if isinstance(sites, str) else None if sites is None else tuple(sites),
        )
        return _audited(fitted, draws, chosen, runs, show, twin=twin)


def _levels(levels: Sequence[int]) -> tuple[Level, ...]:
    wanted = sorted(set(levels))
    if not wanted or not set(wanted) <= set(LEVELS):
        raise UsageError(
            f"levels {', '.join(map(str, levels)) or 'none'}", expected="some of 1, 2, 3, 4", fix="levels=(1, 2, 3, 4)"
        )
    return tuple(level for level in LEVELS if level in wanted)


def _audited(
    fitted: Fitted, draws: Draws, chosen: Chosen, backend: Backend, show: Progress, *, twin: bool
) -> AuditReport:
    """Run every part of the audit on a model that is settled on its rows."""
    target, labels = fitted.data.target_name, fitted.data.target
    if target is not None and labels is not None:
        usable_classes(target, labels)
    setting = LevelSetting.of(fitted.vae, fitted.data, draws, backend)
    reconstruction, kept = None, {}
    if not setting.subject.vae.prior_only:
        reconstruction, drawn = reconstruction_level(setting)
        kept["mse"] = (_number(reconstruction.mse), drawn)
    level, other = latent_summary(setting), Twin(how="not asked for", scores=None, mse=None)
    if 2 in chosen.levels:
        with show.phase("intervening on latents", len(setting.latent_names)) as tick:
            level = latent_level(setting, tick)
        other = _twin(fitted, draws, backend, show) if twin else other
    results = run_chosen(setting, level.latents, chosen, show)
    downstream, told_from, why_not = None, None, ""
    if target is not None and labels is not None:
        told_from, why_not = predictors(setting.subject)
        if told_from is not None:
            with show.phase("predicting the target", 1) as tick:
                downstream, drawn = downstream_level(told_from, target, labels, draws.resampler)
                kept["auc"] = (_number(downstream.auc), drawn)
                tick()
    truth, no_truth = known_factors_level(setting, fitted.factors, show, most=chosen.truth_rows, with_dci=chosen.dci)
    others = {"prediction of the target": why_not, "scores against the known factors": no_truth}
    left = not_run(setting, chosen, others)
    parts = _Parts(reconstruction, level, results, other, downstream, truth, left, pack({**kept, **level.resamples}))
    return _report(fitted, setting, _settings(draws, setting, chosen), parts)


@dataclass(frozen=True)
class _Parts:
    """What an audit found."""

    reconstruction: Reconstruction | None
    level: LatentLevel
    results: Results
    twin: Twin
    downstream: Downstream | None
    truth: GroundTruth | None
    not_run: tuple[NotRun, ...]
    resamples: Resamples | None


def _number(figure: Estimate) -> float:
    return math.nan if figure.value is None else figure.value


def _settings(draws: Draws, setting: LevelSetting, chosen: Chosen) -> Settings:
    return Settings(
        seed=draws.seed,
        intervention_values=setting.points.shape[1],
        resamples=draws.resampler.resamples,
        permutations=draws.permutations,
        values_from="posterior" if draws.values is None else "caller",
        levels=chosen.levels,
        sources=len(setting.subject.sources),
        sources_from="drawn" if isinstance(draws.sources, int) else "caller",
        sites=draws.sites,
        backend=draws.run.backend,
    )


def _check(*, seed: int, **counts: int | None) -> None:
    least = {
        "rows": 2,
        "n_values": 1,
        "resamples": 10,
        "permutations": 10,
        "chunk": 1,
        "patch_rows": 2,
        "patch_units": 1,
        "truth_rows": 0,
    }
    for name, count in counts.items():
        if count is not None and count < least[name]:
            raise UsageError(
                f"{name} = {count}", expected=f"{name} of at least {least[name]}", fix=f"{name} = {least[name]} or more"
            )
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed = {seed}", expected="a seed from 0 to 4294967295", fix="seed = 0")


def _twin(fitted: Fitted, draws: Draws, backend: Backend, show: Progress) -> Twin:
    twin, how = fresh_twin(fitted.vae, draws.seed)
    if twin is None:
        return Twin(how=how, scores=None, mse=None)
    try:
        if runs_the_models_weights(fitted.vae, twin, fitted.vae.to_input(fitted.data.x[:64])):
            reason = "no twin: with fresh weights the output is the same; encode and decode must use the module they are given"
            return Twin(how=reason, scores=None, mse=None)
        setting = LevelSetting.of(twin, fitted.data, draws, backend)
        with show.phase("auditing an untrained twin", len(setting.latent_names)) as tick:
            scores = latent_level(setting, tick).scores
    except ModelError as error:
        return Twin(how=f"no twin: with fresh weights the model fails ({error.seen})", scores=None, mse=None)
    return Twin(how=how, scores=scores, mse=None if twin.prior_only else reconstruction_level(setting)[0].mse)


def _report(fitted: Fitted, setting: LevelSetting, settings: Settings, parts: _Parts) -> AuditReport:
    model, level, results = model_report(fitted.vae, setting), parts.level, parts.results
    rows = data_report(fitted, setting.resampler)
    return AuditReport(
        circuitprobe_version=__version__,
        method_version=METHOD_VERSION,
        model=model,
        data=rows,
        settings=settings,
        verdict=(
            *verdict(parts.reconstruction, level.latents, level.scores, model),
            *level_sentences(level.latents, results.paths, results.mediation),
        ),
        warnings=(
            *audit_warnings(model, rows, parts.reconstruction, level.latents, level.scores, parts.twin),
            *not_run_warnings(parts.not_run, results.statuses, model),
            *batch_warnings(setting.subject.halves.decoder.independent),
        ),
        levels=results.statuses,
        not_run=parts.not_run,
        reconstruction=parts.reconstruction,
        latents=level.latents,
        scores=level.scores,
        inputs=results.inputs,
        activations=results.activations,
        paths=results.paths,
        mediation=results.mediation,
        circuit_map=results.circuit_map,
        twin=parts.twin,
        downstream=parts.downstream,
        ground_truth=parts.truth,
        resamples=parts.resamples,
    )
