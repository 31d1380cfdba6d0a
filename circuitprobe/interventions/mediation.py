"""Level 4, causal mediation: feature group -> latent -> feature group (METHOD.md section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.errors import UsageError
from circuitprobe.interventions.baseline import split_posterior, to_numpy
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.probe.engine import MEMORY
from circuitprobe.stats.corrected import bootstrap_p, holm_sidak
from circuitprobe.types import Feature

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray

RESAMPLES = 1000


@dataclass(frozen=True)
class Mediation:
    """Result of mediation from feature groups through latents to feature groups.

    Attributes:
        groups: names, treatments and outcomes alike, G.
        latents: names of the mediators, d.
        te: root mean square of the total effect, shape (treatments, outcomes).
        nie: of the natural indirect effect, shape (treatments, latents, outcomes).
        nde: of the natural direct effect, same shape.
        interaction: of TE - NIE - NDE, same shape.
        proportion: sum <NIE, TE> / sum <TE, TE>, same shape; nan where TE is 0.
        agreement: per-row <NIE, TE>, mean over the sources, shape (rows, treatments, latents, outcomes).
        seed: of the tests.
        resamples: least number of them.
    """

    groups: tuple[str, ...]
    latents: tuple[str, ...]
    te: FloatArray
    nie: FloatArray
    nde: FloatArray
    interaction: FloatArray
    proportion: FloatArray
    agreement: FloatArray
    seed: int
    resamples: int

    @cached_property
    def p(self) -> FloatArray:
        """Two-sided bootstrap p-values of the hypothesis that the agreement has mean 0, same shape as ``nie``."""
        return bootstrap_p(self.agreement, self.seed, self.resamples)

    @cached_property
    def p_corrected(self) -> FloatArray:
        """Holm-Sidak corrected over all of them."""
        return holm_sidak(self.p)

    def to_frame(self) -> pd.DataFrame:
        """One row per treatment, mediator and outcome."""
        import pandas as pd

        index = pd.MultiIndex.from_product(
            [self.groups, self.latents, self.groups], names=["treatment", "mediator", "outcome"]
        )
        te = np.broadcast_to(self.te[:, None], self.nie.shape)
        columns = {
            "te": te,
            "nie": self.nie,
            "nde": self.nde,
            "interaction": self.interaction,
            "proportion_mediated": self.proportion,
            "p": self.p,
            "p_corrected": self.p_corrected,
        }
        return pd.DataFrame({name: values.reshape(-1) for name, values in columns.items()}, index=index).reset_index()


@dataclass(frozen=True)
class Treated:
    """Per-row figures of one treatment, means over the sources; squares are means over the outcome group's features.

    Attributes:
        te: |TE|^2, shape (rows, outcomes).
        nie: |NIE|^2, shape (rows, latents, outcomes).
        nde: |NDE|^2, same shape.
        interaction: |TE - NIE - NDE|^2, same shape.
        agreement: <NIE, TE>, summed over the group's features, same shape.
        whole: <TE, TE>, summed likewise, shape (rows, outcomes).
    """

    te: FloatArray
    nie: FloatArray
    nde: FloatArray
    interaction: FloatArray
    agreement: FloatArray
    whole: FloatArray


def mediation(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    *,
    resamples: int = RESAMPLES,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> Mediation:
    """Level 4 on its own: how much of a group's effect on another passes through each latent.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        resamples: least number of bootstrap resamples of the tests; 100 per test where that is more.
        features: how the dimensions read; default as for ``inputs``.
        groups: feature groups by name; default every feature its own.
        sources: R, or source rows of shape (R, rows).
        seed: of the draw of source rows and of the tests.
        chunk: rows per run of the model without interventions; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Returns:
        Effects in standard deviations (numeric) or probability (categorical).

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense, or so many groups that the result exceeds the memory.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        count, latents = len(subject.groups), len(subject.latents)
        if subject.n * count * count * latents * 8 > memory:
            raise UsageError(
                f"{subject.n} rows x {count} groups x {latents} latents x {count} groups exceed memory={memory}",
                expected="per-row agreements that fit the memory",
                fix="fewer groups (groups={...}), fewer rows, or more memory",
            )
        parts = list(treatments(subject))
        agreement = np.stack([part.agreement for part in parts], axis=1)
        whole = np.stack([part.whole.sum(axis=0) for part in parts])
        with np.errstate(invalid="ignore", divide="ignore"):
            proportion = agreement.sum(axis=0) / np.where(whole > 0, whole, np.nan)[:, None]
        return Mediation(
            groups=tuple(group.name for group in subject.groups),
            latents=subject.latents,
            te=_rms([part.te for part in parts]),
            nie=_rms([part.nie for part in parts]),
            nde=_rms([part.nde for part in parts]),
            interaction=_rms([part.interaction for part in parts]),
            proportion=proportion,
            agreement=agreement,
            seed=seed,
            resamples=resamples,
        )


def _rms(parts: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.sqrt(np.stack([part.mean(axis=0) for part in parts])))


def treatments(subject: Subject) -> Iterator[Treated]:
    """Every feature group in turn takes its source values; what passes through each latent.

    Yields:
        One entry per group, in order.

    Raises:
        ModelError: encoder or decoder give nan or infinity on moved rows.
    """
    into = outcome_groups(subject)
    sizes = to_numpy(torch.as_tensor([float(len(group.features)) for group in subject.groups]))
    for group in subject.groups:
        dims = subject.group_dims(group)
        sums = _Sums.zeros(subject)
        for source in subject.sources:
            z = _codes_under(subject, dims, source)
            sums.add(subject, z, into)
        count = len(subject.sources)
        nie, nde, interaction, agreement = to_numpy(sums.through) / count
        yield Treated(
            te=to_numpy(sums.whole) / count / sizes,
            nie=nie / sizes,
            nde=nde / sizes,
            interaction=interaction / sizes,
            agreement=agreement,
            whole=to_numpy(sums.whole) / count,
        )


def outcome_groups(subject: Subject) -> Tensor:
    """Which reading columns belong to which group: 0 and 1, shape (readings, groups), in the readings' dtype."""
    readout = subject.readout
    number = {name: g for g, group in enumerate(subject.groups) for name in group.features}
    of_feature = torch.tensor([number[feature.name] for feature in readout.features], device=readout.owner.device)
    return torch.nn.functional.one_hot(of_feature[readout.owner], len(subject.groups)).to(readout.dtype)


def _codes_under(subject: Subject, dims: Sequence[int], source: Tensor) -> Tensor:
    """The codes z' = mu(x_g), shape (rows, code width)."""
    moved = subject.inputs.clone()
    moved[:, list(dims)] = subject.pool[source][:, list(dims)]
    # every row, in the slices of the run without an intervention: a row that does not move gives the same code to the last bit
    mean, _ = split_posterior(subject.encoder.read(moved, (), subject.run.chunk)[0], subject.vae)
    check_finite(mean, f"{subject.vae.recognition.encode} on moved rows")
    return mean


@dataclass(frozen=True)
class _Sums:
    """Sums over the sources per row.

    Attributes:
        whole: |TE|^2, shape (rows, outcomes).
        through: |NIE|^2, |NDE|^2, |TE - NIE - NDE|^2 and <NIE, TE>, shape (4, rows, latents, outcomes).
    """

    whole: Tensor
    through: Tensor

    @classmethod
    def zeros(cls, subject: Subject) -> _Sums:
        rows, latents = len(subject.base.z), len(subject.latents)
        whole = torch.zeros(rows, len(subject.groups), dtype=torch.float64, device=subject.base.z.device)
        return cls(whole, whole.new_zeros(4, rows, latents, len(subject.groups)))

    def add(self, subject: Subject, treated: Tensor, into: Tensor) -> None:
        """One source: the slices of the run without an intervention, so that equal codes give equal output."""
        base = subject.base
        for rows in base.chunks():
            before, after, reading = base.z[rows], treated[rows], base.reading[rows]
            te = _vectors(subject, after, reading)
            self.whole[rows] += te.square() @ into
            for i, latent in enumerate(subject.blocks.latents):
                only, without, dims = before.clone(), after.clone(), list(latent.dims)
                only[:, dims], without[:, dims] = after[:, dims], before[:, dims]
                nie, nde = _vectors(subject, only, reading), _vectors(subject, without, reading)
                rest = te - nie - nde
                self.through[:, rows, i] += torch.stack([nie * nie, nde * nde, rest * rest, nie * te]) @ into


def _vectors(subject: Subject, codes: Tensor, reading: Tensor) -> Tensor:
    """D(codes) - D(z) as signed standardised vectors, shape (rows, readings)."""
    output, _ = subject.halves.decoder.once(codes, ())
    vectors = subject.readout.vectors(subject.readout.read(output), reading)
    if not bool(torch.isfinite(vectors.sum())):
        check_finite(output, f"{subject.vae.recognition.decode} under mediation")
    return vectors
