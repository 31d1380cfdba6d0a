"""What the levels work on: a model settled on rows, its halves tried out, and the run without an intervention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.adapters.data import array_data, check_groups, patch_features
from circuitprobe.adapters.data.plain_arrays import plain_array, readable
from circuitprobe.adapters.models import ProbedVAE, check_weights, require_width, wrap
from circuitprobe.errors import DataError, UsageError
from circuitprobe.interventions.baseline import Baseline, Halves, posterior_output, run_baseline
from circuitprobe.interventions.blocks import Blocks
from circuitprobe.interventions.conditions import without_condition
from circuitprobe.interventions.shifts import Shifts
from circuitprobe.interventions.sources import SOURCES, source_rows
from circuitprobe.metrics.posterior import latent_scales
from circuitprobe.probe import Readout, threads_for, untouched
from circuitprobe.probe.backends import Backend, backend_named
from circuitprobe.probe.engine import MEMORY, Engine
from circuitprobe.probe.half import Half
from circuitprobe.probe.planning import PROBE_ROWS
from circuitprobe.probe.readout import feature_std
from circuitprobe.probe.sites import all_sites
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Feature, FeatureGroup

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray

BackendName = Literal["hooks", "nnsight"]
LEAST_MEMORY = 4096


@dataclass(frozen=True)
class Run:
    """How interventions are run; none of it changes a figure beyond rounding.

    Attributes:
        chunk: rows per run of the model without interventions; None: as many as keep the widest activation near 2 MB.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.
    """

    chunk: int | None = None
    memory: int = MEMORY
    backend: BackendName = "hooks"


@dataclass(frozen=True)
class Subject:
    """A model on rows, inside ``untouched``.

    Attributes:
        vae: the model, settled on the rows.
        x: rows in the model's space, shape (rows, dims).
        inputs: the same as the model takes them.
        readout: how the decoder's output reads.
        groups: a partition of the features.
        halves: encoder and decoder, tried out.
        base: the run without an intervention.
        sources: pi, shape (R, rows); numbers of rows of ``pool``.
        pool: the rows that values are taken from, as the model takes them; all audited rows.
        codes: mu of the pool, shape (pool rows, code width); drawn from N(0, I) where there is no encoder.
        blocks: which code columns each latent is made of.
        shifts: what a change of a code counts, in units of s_i over the pool in the codes' dtype.
        run: how interventions are run.
        stacked: runs without an intervention in batches of several copies of the rows, by (first row, copies).
    """

    vae: ProbedVAE
    x: FloatArray
    inputs: Tensor
    readout: Readout
    groups: tuple[FeatureGroup, ...]
    halves: Halves
    base: Baseline
    sources: Tensor
    pool: Tensor
    codes: Tensor
    blocks: Blocks
    shifts: Shifts
    run: Run
    stacked: dict[tuple[int, int], tuple[Tensor, list[Tensor]]] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        """Audited rows."""
        return len(self.x)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The features that changes are measured on."""
        return self.readout.features

    @property
    def encoder(self) -> Engine:
        """The encoder, tried out.

        Raises:
            UsageError: the model has none.
        """
        if self.halves.encoder is None:
            raise UsageError(
                f"{self.vae.source} has no encoder: {self.vae.prior_only}",
                expected="a model with both halves, or interventions on latents and decoder units alone",
                fix='cp.interventions.latents(vae, x), or paths(vae, x, side="decoder")',
            )
        return self.halves.encoder

    @cached_property
    def latents(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(latent.name for latent in self.blocks.latents)

    def group_dims(self, group: FeatureGroup) -> list[int]:
        """The model dimensions that a feature group spans."""
        members = set(group.features)
        return [dim for feature in self.features if feature.name in members for dim in feature.dims]

    def part(self, rows: IntArray) -> Subject:
        """The same on some of the rows; values still come from all of them.

        Args:
            rows: which, ascending.
        """
        if len(rows) == self.n:
            return self
        index = torch.as_tensor(rows, device=self.inputs.device)
        # run again, in the slices that interventions on these rows will have
        codes = self.codes[index] if self.vae.prior_only else None
        base = run_baseline(self.vae, self.halves, self.x[rows], self.readout, self.run.chunk, codes)
        return replace(
            self, x=self.x[rows], inputs=self.inputs[index], base=base, sources=self.sources[:, index], stacked={}
        )


@dataclass(frozen=True)
class Asked:
    """What a caller of one level says beside model and rows.

    Attributes:
        features: how dimensions read; None for the default.
        groups: feature groups by name; None: every feature its own.
        sources: R, or the source rows (R, rows).
        seed: of the draw of source rows.
        run: how interventions are run.
    """

    features: Sequence[Feature] | None = None
    groups: Mapping[str, Sequence[str]] | None = None
    sources: int | npt.ArrayLike = SOURCES
    seed: int = 0
    run: Run = Run()


@contextmanager
def prepared(
    vae: ProbedVAE | nn.Module,
    x: FloatArray | Tensor,
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> Iterator[Subject]:
    """A model on rows, tried out once for several levels: they take what this gives in place of ``vae`` and ``x``.

    Example::

        with cp.interventions.prepared(vae, x, groups=groups) as ready:
            units = cp.interventions.activations(ready)
            circuits = cp.interventions.paths(ready).circuits

    Args:
        vae: a wrapped model, or a module whose halves are known by name. It is left as it was when the block ends.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        features: see ``inputs``.
        groups: see ``inputs``.
        sources: see ``inputs``.
        seed: see ``inputs``.
        chunk: see ``inputs``.
        memory: see ``inputs``.
        backend: see ``inputs``.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense.
    """
    with opened(vae, x, Asked(features, groups, sources, seed, Run(chunk, memory, backend))) as subject:
        yield subject


@contextmanager
def opened(vae: ProbedVAE | nn.Module | Subject, x: FloatArray | Tensor | None, asked: Asked) -> Iterator[Subject]:
    """A model ready for interventions while the block runs; it is left as it was.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: sources, groups or settings that make no sense.
    """
    if isinstance(vae, Subject):
        if x is not None:
            raise UsageError(
                "rows beside a prepared model", expected="the rows that it was prepared on", fix="leave out x"
            )
        yield vae
        return
    if x is None:
        raise UsageError("no rows", expected="x, rows in the model's space", fix="cp.interventions.latents(vae, x)")
    wrapped = vae if isinstance(vae, ProbedVAE) else wrap(vae)
    check_weights(wrapped.model)
    given = _given(x)
    if given.ndim > 2:
        wrapped = replace(wrapped, row_shape=tuple(given.shape[1:]))
    rows = given.reshape(len(given), -1)
    if asked.features is not None:
        features = tuple(asked.features)
    else:
        features = patch_features(given.shape[1:]) if given.ndim > 2 else default_features(rows)
    features, _ = without_condition(wrapped, features, rows.shape[1])
    names = [feature.name for feature in features]
    groups = (
        tuple(FeatureGroup(name, (name,)) for name in names)
        if asked.groups is None
        else check_groups(asked.groups, names)
    )
    with untouched(wrapped.model), threads_for(wrapped.model), backend_named(asked.run.backend) as backend:
        require_width(wrapped, rows.shape[1])
        settled = wrapped.resolved(wrapped.to_input(rows[:2048]))
        readout = Readout.build(features, feature_std(rows, features), settled.device, settled.dtype)
        halves = tried_out(settled, rows, asked.run, backend)
        sources = source_rows(asked.sources, len(rows), asked.seed)
        yield subject_of(settled, rows, readout, groups, halves, torch.as_tensor(sources), asked.run, asked.seed)


def tried_out(vae: ProbedVAE, x: FloatArray, run: Run, backend: Backend) -> Halves:
    """Both halves of a settled model, tried on its first rows.

    Raises:
        UsageError: settings that make no sense.
    """
    if run.memory < LEAST_MEMORY or (run.chunk is not None and run.chunk < 1):
        raise UsageError(
            f"memory={run.memory}, chunk={run.chunk}",
            expected=f"memory of at least {LEAST_MEMORY} bytes, chunk of at least 1 row",
            fix=f"memory={MEMORY}",
        )
    # from all over the table, which may be sorted
    spread = np.unique(np.linspace(0, len(x) - 1, min(PROBE_ROWS, len(x))).astype(np.int64))
    first = vae.to_input(x[spread])
    decoder = Half("decoder", vae.model, vae.decode, vae.outside_decoder)
    if vae.prior_only:
        codes = vae.prior_codes(first, generator(0, Stream.PRIOR))
        return Halves(None, Engine.build(decoder, codes, run.memory, backend), tuple(all_sites(decoder, codes)))
    encoder = Half("encoder", vae.model, lambda rows: posterior_output(vae, rows))
    codes = vae.encode(first).mean
    one = Engine.build(encoder, first, run.memory, backend)
    other = Engine.build(decoder, codes, run.memory, backend)
    # effects of the encoder's units are read off the decoder: both must run all rows at once where one must
    independent = one.independent and other.independent
    return Halves(
        replace(one, independent=independent),
        replace(other, independent=independent),
        (*all_sites(encoder, first), *all_sites(decoder, codes)),
    )


def subject_of(
    vae: ProbedVAE,
    x: FloatArray,
    readout: Readout,
    groups: tuple[FeatureGroup, ...],
    halves: Halves,
    sources: Tensor,
    run: Run,
    seed: int = 0,
) -> Subject:
    """Run the model once on the rows; ``seed`` draws the codes of a model without an encoder."""
    inputs = vae.to_input(x)
    codes = vae.prior_codes(inputs, generator(seed, Stream.PRIOR)) if vae.prior_only else None
    base = run_baseline(vae, halves, x, readout, run.chunk, codes)
    blocks = Blocks(vae.latents, vae.code_columns)
    if vae.prior_only or vae.codes is not None:
        scale = torch.ones(blocks.columns)
    else:
        scale = torch.as_tensor(latent_scales(base.mean, base.log_var))
    return Subject(
        vae=vae,
        x=x,
        inputs=inputs,
        readout=readout,
        groups=groups,
        halves=halves,
        base=base,
        sources=sources.to(vae.device),
        pool=inputs,
        codes=base.z,
        blocks=blocks,
        shifts=Shifts(torch.where(scale > 0, scale, torch.inf).to(base.z), blocks, indices=vae.codes is not None),
        run=run,
    )


def _given(x: FloatArray | Tensor) -> FloatArray:
    """Rows as numbers, shape (rows, ...).

    Raises:
        DataError: no array of finite numbers with rows and dimensions.
    """
    try:
        array = plain_array(readable(x if isinstance(x, np.ndarray | Tensor) else np.asarray(x)))
    except ValueError as error:
        raise DataError(
            f"The rows are a {type(x).__name__}: {error}.", expected="an array", fix="np.asarray(x)"
        ) from None
    flat = array.reshape(len(array), -1) if array.ndim > 2 and array.size else array
    values = array_data(flat, rows=None)[0]
    return values.reshape(array.shape)


def default_features(x: FloatArray) -> tuple[Feature, ...]:
    """What ``cp.audit`` takes an array's columns for: x0, x1, ..., binary where only 0 and 1 occur, constants left out."""
    return tuple(f for f in array_data(x, rows=None)[1] if np.ptp(x[:, f.dims[0]]) > 0)
