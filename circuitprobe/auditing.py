"""The run from a model and rows to a report, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import Tensor, nn

from circuitprobe import __version__
from circuitprobe.adapters.data import TableSchema
from circuitprobe.adapters.models import ProbedVAE, check_weights, fresh_twin, runs_the_models_weights, wrap
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.fitting import DataOptions, Fitted, fit
from circuitprobe.fitting.describe import data_report, level_statuses, model_report
from circuitprobe.interventions import run_baseline
from circuitprobe.levels.downstream import downstream_level, usable_classes
from circuitprobe.levels.latent import LatentLevel, latent_level
from circuitprobe.levels.reconstruction import reconstruction_level
from circuitprobe.levels.setting import Draws, LevelSetting, Tick
from circuitprobe.loading import load
from circuitprobe.probe import Readout, threads_for, untouched
from circuitprobe.probe.readout import feature_std
from circuitprobe.report.audit_report import AuditReport
from circuitprobe.report.model import Downstream, Reconstruction, Settings, Twin
from circuitprobe.report.words import audit_warnings, verdict
from circuitprobe.stats.bootstrap import Resampler

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from circuitprobe.types import Feature, FloatArray


class Progress(Protocol):
    """Told what the audit is doing."""

    def phase(self, name: str, total: int | None) -> AbstractContextManager[Tick]:
        """A phase of ``total`` steps begins (None: nobody knows how many); the tick tells of each."""
        ...


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
    rows: int = 2048,
    seed: int = 0,
    n_values: int = 8,
    values: npt.ArrayLike | None = None,
    resamples: int = 1000,
    permutations: int = 500,
    chunk: int | None = None,
    twin: bool = True,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a VAE: what each latent drives, how strongly, and how sure that is (METHOD.md sections 2 and 5).

    Args:
        vae: a wrapped model, a module whose halves are known by name, or a model file. It is left as it was.
        data: a CSV or Parquet file, a benchmark's name, a DataFrame; or an array or tensor (rows, dims) in the model's
            space.
        target: label column: never a feature; the report says how well it is told from mu(x).
        groups: feature groups by name, or a TOML file; default the benchmark's, else clustered by association.
        schema: what the columns are, or a TOML file, where inference would be wrong.
        features: how the dimensions of an array read; default one numeric or binary feature per dimension.
        rows: how many rows are audited at most; memory grows with it, never with the table.
        seed: of every draw. Same seed, rows and version: the same report.
        n_values: K, intervention values per latent.
        values: intervention values (latents, K) instead of the posterior-calibrated ones.
        resamples: of the bootstrap.
        permutations: of the feature-group null.
        chunk: rows per run of the model; changes no figure beyond rounding.
        twin: whether an untrained twin is audited beside the model.
        progress: told what is going on.

    Returns:
        The report; ``report.to_json(path)`` writes it.

    Raises:
        DataError: the rows cannot be read or do not fit the model.
        ModelError: the model cannot be loaded, recognised or run.
        UsageError: an argument makes no sense.
    """
    _check(rows=rows, n_values=n_values, resamples=resamples, permutations=permutations, chunk=chunk, seed=seed)
    show = progress or Silent()
    wrapped = as_vae(vae)
    said = schema if schema is None or isinstance(schema, TableSchema) else TableSchema.load(schema)
    options = DataOptions(rows, seed, said, groups, target, features)
    with untouched(wrapped.model), threads_for(wrapped.model):
        check_weights(wrapped.model)
        with show.phase("reading rows", None) as tick:
            fitted = fit(wrapped, data, options, tick)
        given = None if values is None else np.asarray(values, dtype=np.float64)
        resampler = Resampler(len(fitted.data.x), resamples, seed)
        return _audited(fitted, Draws(resampler, seed, permutations, n_values, given, chunk), show, twin=twin)


def _audited(fitted: Fitted, draws: Draws, show: Progress, *, twin: bool) -> AuditReport:
    """Run every part of the audit on a model that is settled on its rows."""
    target, labels = fitted.data.target_name, fitted.data.target
    if target is not None and labels is not None:
        usable_classes(target, labels)
    setting = _setting(fitted.vae, fitted, draws)
    reconstruction = reconstruction_level(setting)
    with show.phase("intervening on latents", len(setting.points)) as tick:
        level = latent_level(setting, tick)
    other = _twin(fitted, draws, show) if twin else Twin(how="not asked for", scores=None, mse=None)
    downstream = None
    if target is not None and labels is not None:
        with show.phase("predicting the target", 1) as tick:
            downstream = downstream_level(setting.base.mean, target, labels, draws.resampler)
            tick()
    settings = Settings(
        seed=draws.seed,
        intervention_values=setting.points.shape[1],
        resamples=draws.resampler.resamples,
        permutations=draws.permutations,
        values_from="posterior" if draws.values is None else "caller",
    )
    return _report(fitted, setting, settings, reconstruction, level, other, downstream)


def as_vae(vae: ProbedVAE | nn.Module | str | Path) -> ProbedVAE:
    """Whatever stands for a model, wrapped."""
    if isinstance(vae, ProbedVAE):
        return vae
    return load(vae) if isinstance(vae, (str, Path)) else wrap(vae)


def _check(*, seed: int, **counts: int | None) -> None:
    least = {"rows": 2, "n_values": 1, "resamples": 10, "permutations": 10, "chunk": 1}
    for name, count in counts.items():
        if count is not None and count < least[name]:
            raise UsageError(
                f"{name} = {count}", expected=f"{name} of at least {least[name]}", fix=f"{name} = {least[name]} or more"
            )
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed = {seed}", expected="a seed from 0 to 4294967295", fix="seed = 0")


def _setting(vae: ProbedVAE, fitted: Fitted, draws: Draws) -> LevelSetting:
    features = fitted.data.features
    readout = Readout.build(features, feature_std(fitted.data.x, features), vae.device, vae.dtype)
    base = run_baseline(vae, fitted.data.x, readout, draws.chunk)
    return LevelSetting.of(vae, fitted.data, readout, base, draws)


def _twin(fitted: Fitted, draws: Draws, show: Progress) -> Twin:
    twin, how = fresh_twin(fitted.vae, draws.seed)
    if twin is None:
        return Twin(how=how, scores=None, mse=None)
    try:
        if runs_the_models_weights(fitted.vae, twin, fitted.vae.to_input(fitted.data.x[:64])):
            reason = "no twin: with fresh weights the output is the same; encode and decode must use the module they are given"
            return Twin(how=reason, scores=None, mse=None)
        setting = _setting(twin, fitted, draws)
        with show.phase("auditing an untrained twin", len(setting.points)) as tick:
            scores = latent_level(setting, tick).scores
    except ModelError as error:
        return Twin(how=f"no twin: with fresh weights the model fails ({error.seen})", scores=None, mse=None)
    return Twin(how=how, scores=scores, mse=reconstruction_level(setting).mse)


def _report(
    fitted: Fitted,
    setting: LevelSetting,
    settings: Settings,
    reconstruction: Reconstruction,
    level: LatentLevel,
    twin: Twin,
    downstream: Downstream | None,
) -> AuditReport:
    model = model_report(fitted.vae, setting)
    rows = data_report(fitted)
    return AuditReport(
        circuitprobe_version=__version__,
        model=model,
        data=rows,
        settings=settings,
        verdict=verdict(reconstruction, level.latents, level.scores),
        warnings=audit_warnings(model, rows, reconstruction, level.latents, level.scores, twin),
        levels=level_statuses(),
        reconstruction=reconstruction,
        latents=level.latents,
        scores=level.scores,
        twin=twin,
        downstream=downstream,
    )
