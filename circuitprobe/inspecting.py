"""``cp.inspect``: what is recognised in a model and its rows, without measuring anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.adapters.data import TableSchema, encoding_features
from circuitprobe.adapters.models import ProbedVAE, check_weights, class_name, input_width
from circuitprobe.adapters.models.names import half_from_path
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.fitting import DataOptions, Fitted, fit, names_of
from circuitprobe.fitting.describe import data_report
from circuitprobe.interventions.subject import Run, tried_out
from circuitprobe.loading import as_vae
from circuitprobe.probe import threads_for, untouched
from circuitprobe.probe.backends import backend_named
from circuitprobe.probe.routing import find_route
from circuitprobe.probe.sites import all_sites, choose_sites
from circuitprobe.report.inspection import InspectedFeature, InspectedSite, Inspection

if TYPE_CHECKING:
    import pandas as pd

    from circuitprobe.levels.chosen import Progress
    from circuitprobe.types import Feature, FloatArray

MADE_UP_ROWS = 8


def inspect(
    vae: ProbedVAE | nn.Module | str | Path,
    data: str | Path | pd.DataFrame | FloatArray | Tensor | None = None,
    *,
    sites: str | Sequence[str] | None = None,
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
    progress: Progress | None = None,
) -> Inspection:
    """Say what an audit would take for encoder, decoder, latents, features and sites, and how to override it.

    Args:
        vae: a wrapped model, a module whose halves are known by name, or a model file. It is left as it was.
        data: rows as ``cp.audit`` takes them; without them the model is run on eight rows of standard normal numbers.
        sites: globs over the names of sites, to see what they choose; default the activations of both halves.
        target: label column.
        groups: feature groups by name, or a TOML file.
        schema: what the columns are, or a TOML file.
        features: how the dimensions of an array read.
        condition: column or columns that condition encoder and decoder: put behind the data of every row, no features.
        ignore: column or columns that are left out of the table.
        array: which array of an .npz or .pt file holds the rows.
        grid: patches per side of an image; default 8.
        pixels: the range of intensities that the model takes: ``unit``, ``signed`` or ``bytes``; default found by trying.
        rows: how many rows are read at most; with the rows of the audit the same encoding is chosen.
        seed: of the choice of rows, or of those made up.
        progress: told what is going on.

    Returns:
        What was found; printed by rich, and ``to_frame()`` gives its sites.

    Raises:
        DataError: the rows cannot be read or do not fit the model.
        ModelError: the model cannot be loaded, recognised or run.
        UsageError: an argument makes no sense, or the model's width is unknown and no rows were given.
    """
    wrapped = as_vae(vae)
    said = schema if schema is None or isinstance(schema, TableSchema) else TableSchema.load(schema)
    globs = (sites,) if isinstance(sites, str) else None if sites is None else tuple(sites)
    with untouched(wrapped.model), threads_for(wrapped.model):
        check_weights(wrapped.model)
        fitted = None
        if data is None:
            _refuse_without_data(target=target, groups=groups, schema=schema, features=features, condition=condition)
            x = _made_up(wrapped, seed)
            settled = wrapped.resolved(wrapped.to_input(x), real=False)
        else:
            options = DataOptions(
                rows, seed, said, groups, target, features, names_of(condition), names_of(ignore), array, grid, pixels
            )
            with progress.phase("reading rows", None) if progress else nullcontext() as tick:
                fitted = fit(wrapped, data, options, tick)
            settled, x = fitted.vae, fitted.data.x
        return _described(settled, x, fitted, _sites(settled, x, globs, progress), globs, seed)


def _untold(done: int | None = None) -> None:
    """A tick that nobody sees."""
    del done


def _refuse_without_data(**given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"{name} was given without rows",
                expected=f"rows that the {name} can be read with",
                fix="circuitprobe inspect MODEL DATA, or cp.inspect(model, data, ...)",
            )


def _made_up(vae: ProbedVAE, seed: int) -> FloatArray:
    """Standard normal rows of the model's width, shape (8, dims).

    Raises:
        UsageError: the width is not known.
    """
    width = math.prod(vae.row_shape) if vae.row_shape else input_width(vae)
    if width is None:
        raise UsageError(
            f"how many dimensions {vae.source} takes cannot be told from its weights",
            expected="rows to run it on, or input_width in a spec file",
            fix="circuitprobe inspect MODEL DATA, or cp.inspect(model, data)",
        )
    return np.random.default_rng(seed).standard_normal((MADE_UP_ROWS, width))


def _sites(
    vae: ProbedVAE, x: FloatArray, globs: tuple[str, ...] | None, progress: Progress | None
) -> tuple[InspectedSite, ...]:
    """Every site of both halves with the way that patches of it take."""
    with backend_named("hooks") as backend:
        halves = tried_out(vae, x, Run(), backend)
    engines = halves.engines
    found = tuple(site for engine in engines.values() for site in all_sites(engine.half, engine.probe))
    chosen = {site.name for site in choose_sites(found, globs)}
    listed: list[InspectedSite] = []
    with progress.phase("trying ways to patch", len(found)) if progress else nullcontext(_untold) as tick:
        for site in found:
            route = find_route(engines[site.half], site.site) if site.auditable else None
            tick()
            listed.append(
                InspectedSite(
                    name=site.site.name,
                    half=site.half,
                    module_class=site.module_class,
                    unit_axis=site.site.unit_axis,
                    shape=site.shape,
                    units=site.site.units,
                    default=site.is_default,
                    chosen=site.name in chosen,
                    reason=site.reason,
                    way=None if route is None else route.way.value,
                    way_reason=None if route is None else route.reason,
                )
            )
    return tuple(listed)


def _described(
    vae: ProbedVAE,
    x: FloatArray,
    fitted: Fitted | None,
    sites: tuple[InspectedSite, ...],
    globs: tuple[str, ...] | None,
    seed: int,
) -> Inspection:
    if fitted is None:
        rows_from = f"{len(x)} rows of standard normal numbers (seed {seed}), as no DATA was given"
    else:
        rows_from = f"{len(x):,} of {fitted.data.total:,} rows of {fitted.data.source} (seed {seed})"
    return Inspection(
        source=vae.source,
        class_name=class_name(vae.model),
        latents=len(vae.latents),
        input_width=x.shape[1],
        parameters=sum(parameter.numel() for parameter in vae.model.parameters()),
        dtype=str(vae.dtype).removeprefix("torch."),
        encode=vae.recognition.encode,
        decode=vae.recognition.decode,
        posterior=vae.recognition.posterior,
        evidence=vae.recognition.evidence,
        spec=_spec_lines(vae, x.shape[1]),
        own_schema=vae.encoding is not None,
        rows=len(x),
        rows_from=rows_from,
        layout=fitted.data.encoding.layout if fitted and fitted.data.encoding else None,
        data=data_report(fitted) if fitted else None,
        features=_features(vae, fitted),
        globs=globs,
        sites=sites,
        scripted=isinstance(vae.model, torch.jit.ScriptModule),
        prior_only=vae.prior_only,
        code_columns=vae.code_columns,
        code_shape=vae.code_shape,
        codes=vae.codes,
        condition_width=vae.condition_width,
    )


def _features(vae: ProbedVAE, fitted: Fitted | None) -> tuple[InspectedFeature, ...]:
    """The features of the rows; without them those of the model's own schema, where it has one."""
    if fitted is None:
        own = () if vae.encoding is None else encoding_features(vae.encoding)
        return tuple(InspectedFeature(f.name, f.kind, f.dims, None, None) for f in own)
    group_of = {name: group.name for group in fitted.data.groups for name in group.features}
    return tuple(
        InspectedFeature(f.name, f.kind, f.dims, group_of[f.name], f.decode.link) for f in fitted.data.features
    )


def _spec_lines(vae: ProbedVAE, width: int) -> tuple[str, ...]:
    """The spec file that says what was recognised."""
    if vae.found_by_noise:
        # the whole of it, activations and the order of outputs included
        return (
            'encode = "forward"',
            'decode = "forward"',
            f"output = {json.dumps(vae.output)}",
            f"input_width = {width}",
        )
    none = f"# encode: none ({vae.prior_only})"
    lines = [
        none if vae.prior_only else _half_line(vae, "encode", vae.recognition.encode, "q_network"),
        _half_line(vae, "decode", vae.recognition.decode, "p_network"),
    ]
    if vae.order is not None:
        lines.append(f"posterior = {json.dumps(list(vae.order))}")
    return (*lines, f"output = {json.dumps(vae.output)}", f"input_width = {width}")


def _half_line(vae: ProbedVAE, role: str, name: str, example: str) -> str:
    """A half by its dotted path; a comment where it has none, such as a trunk with two heads or a caller's function."""
    try:
        half_from_path(vae.model, name, role)
    except ModelError:
        return f'# {role} = "{example}"  (now: {name})'
    return f"{role} = {json.dumps(name)}"
