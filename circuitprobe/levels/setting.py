"""What every level of one audit shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from circuitprobe.interventions import Baseline, latent_values, prior_values
from circuitprobe.metrics.support import Support
from circuitprobe.stats.bootstrap import Resampler

if TYPE_CHECKING:
    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.probe import Readout
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
        values: intervention values (latents, K) instead of the posterior-calibrated ones, or None.
        chunk: rows per run of the model, or None.
    """

    resampler: Resampler
    seed: int
    permutations: int
    n_values: int
    values: FloatArray | None
    chunk: int | None


@dataclass(frozen=True)
class LevelSetting:
    """One model on one set of rows, with the draws that all metrics share.

    Attributes:
        vae: the model, settled on these rows, inside ``untouched``.
        data: the rows.
        readout: how the decoder's output reads.
        base: the run without interventions.
        support: where codes lie.
        resampler: the bootstrap.
        seed: of everything else that is drawn.
        permutations: of the FGD null.
        points: v_ik, shape (latents, K).
        prior_points: the prior-scale values, shape (latents, K).
    """

    vae: ProbedVAE
    data: AuditData
    readout: Readout
    base: Baseline
    support: Support
    resampler: Resampler
    seed: int
    permutations: int
    points: FloatArray
    prior_points: FloatArray

    @classmethod
    def of(cls, vae: ProbedVAE, data: AuditData, readout: Readout, base: Baseline, draws: Draws) -> LevelSetting:
        """Derive support and intervention values from the baseline."""
        points = latent_values("posterior" if draws.values is None else draws.values, base, draws.n_values)
        prior = prior_values(len(points), points.shape[1])
        support = Support.of(base.mean, base.log_var)
        return cls(vae, data, readout, base, support, draws.resampler, draws.seed, draws.permutations, points, prior)

    @property
    def n(self) -> int:
        """Audited rows."""
        return len(self.base.mean)

    @property
    def latent_names(self) -> tuple[str, ...]:
        """z0, z1, ..."""
        return tuple(f"z{i}" for i in range(self.base.mean.shape[1]))

    @property
    def membership(self) -> IntArray:
        """Group number of each feature, shape (features,)."""
        number = {name: g for g, group in enumerate(self.data.groups) for name in group.features}
        return np.array([number[feature.name] for feature in self.data.features], dtype=np.int64)
