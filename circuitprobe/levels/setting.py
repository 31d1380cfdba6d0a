"""What every level of one audit shares."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from circuitprobe.interventions import Baseline, latent_values
from circuitprobe.interventions.baseline import to_numpy
from circuitprobe.interventions.sources import SOURCES, source_rows
from circuitprobe.interventions.subject import Run, Subject, subject_of, tried_out
from circuitprobe.metrics.support import IndexRegion, PriorRegion, Region, posterior_region
from circuitprobe.probe import Readout
from circuitprobe.probe.readout import feature_std
from circuitprobe.stats.bootstrap import Resampler

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.probe.backends import Backend
    from circuitprobe.types import AuditData, FloatArray, IntArray


class Tick(Protocol):
    """Told how a phase goes on."""

    def __call__(self, done: int | None = None) -> None:
        """One more step is done, or ``done`` of them in all."""


@dataclass(frozen=True)
class Draws:
    """What is drawn or chosen for a model and its twin alike.

    Attributes:
        resampler: the bootstrap.
        seed: of everything else that is drawn.
        permutations: of the FGD null.
        n_values: K.
        values: intervention values, (latents, K) or (code columns, K), instead of the posterior-calibrated ones, or None.
        sources: R, or source rows of shape (R, rows).
        run: how interventions are run.
        sites: globs that choose the sites of level 3, or None.
    """

    resampler: Resampler
    seed: int
    permutations: int
    n_values: int
    values: FloatArray | None
    sources: int | IntArray = SOURCES
    run: Run = field(default_factory=Run)
    sites: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LevelSetting:
    """One model on one set of rows, with the draws that all metrics share.

    Attributes:
        subject: the model on the rows, with the run without an intervention, inside ``untouched``.
        data: the rows.
        support: where codes lie.
        resampler: the bootstrap.
        seed: of everything else that is drawn.
        permutations: of the FGD null.
        points: v_ik of every code column, shape (code columns, K).
        prior_points: the prior-scale values, same shape.
        sites: globs that choose the sites of level 3, or None.
    """

    subject: Subject
    data: AuditData
    support: Region
    resampler: Resampler
    seed: int
    permutations: int
    points: FloatArray
    prior_points: FloatArray
    sites: tuple[str, ...] | None

    @classmethod
    def of(cls, vae: ProbedVAE, data: AuditData, draws: Draws, backend: Backend) -> LevelSetting:
        """Run the model without interventions and derive support and intervention values.

        Raises:
            ModelError: the model fails or gives nan or infinity on these rows.
            UsageError: values, sources or settings that make no sense.
        """
        readout = Readout.build(data.features, feature_std(data.x, data.features), vae.device, vae.dtype)
        halves = tried_out(vae, data.x, draws.run, backend)
        sources = torch.as_tensor(source_rows(draws.sources, len(data.x), draws.seed))
        subject = subject_of(vae, data.x, readout, data.groups, halves, sources, draws.run, draws.seed)
        points = latent_values("posterior" if draws.values is None else draws.values, subject, draws.n_values)
        prior = latent_values("prior", subject, points.shape[1])
        return cls(
            subject, data, _region(subject), draws.resampler, draws.seed, draws.permutations, points, prior, draws.sites
        )

    @property
    def base(self) -> Baseline:
        """The run without an intervention."""
        return self.subject.base

    @property
    def readout(self) -> Readout:
        """How the decoder's output reads."""
        return self.subject.readout

    @property
    def n(self) -> int:
        """Audited rows."""
        return len(self.base.mean)

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Of all latents, in order."""
        return self.subject.latents

    @property
    def membership(self) -> IntArray:
        """Group number of each feature, shape (features,)."""
        number = {name: g for g, group in enumerate(self.data.groups) for name in group.features}
        return np.array([number[feature.name] for feature in self.data.features], dtype=np.int64)

    @property
    def group_means(self) -> FloatArray:
        """Turns feature changes into means over each group, shape (features, groups)."""
        member = np.eye(len(self.data.groups))[self.membership]
        return np.asarray(member / member.sum(axis=0))

    @property
    def unscaled(self) -> npt.NDArray[np.bool_]:
        """Latents that never vary, so that no shift can be counted in their scale, shape (latents,)."""
        return np.asarray(to_numpy(self.subject.shifts.scaled) == 0)

    @property
    def memory(self) -> int:
        """Bytes that activations and results may take."""
        return self.subject.run.memory

    def resampler_for(self, rows: int) -> Resampler:
        """The bootstrap for a level that runs on fewer rows."""
        return self.resampler if rows == self.resampler.n else replace(self.resampler, n=rows)


def _region(subject: Subject) -> Region:
    """Where codes lie."""
    mean, log_var = subject.base.mean, subject.base.log_var
    if subject.vae.codes is not None:
        return IndexRegion(mean)
    return PriorRegion(mean) if subject.vae.prior_only else posterior_region(mean, log_var)
