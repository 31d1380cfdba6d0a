"""Level 1, input manipulation: do(x_f := x'_f) (METHOD.md section 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.interventions.baseline import split_posterior, to_numpy
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.probe.engine import MEMORY
from circuitprobe.types import Feature, Posterior

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray

COMPARED_BYTES = 2**24


@dataclass(frozen=True)
class InputEffects:
    """Result of level 1 on its own: the input matrix.

    Attributes:
        features: names, F.
        groups: names, G.
        latents: names, d.
        shift: mean |mu_i(do) - mu_i(x)| / s_i, shape (features, latents), in standard deviations of the latent; for a latent of
            several code columns the mean over them, for indices the share that changes.
        info: mean KL( q(z_i|do) || q(z_i|x) ), nats, same shape; summed over a latent's columns; nan where the encoder states no
            variance.
        group_shift: the same with a whole group moved at once, shape (groups, latents).
        group_info: see ``group_shift``.
        shift_rows: per row, means over the source rows, shape (rows, features, latents).
        info_rows: see ``shift_rows``.
        group_shift_rows: shape (rows, groups, latents).
        group_info_rows: see ``group_shift_rows``.
    """

    features: tuple[str, ...]
    groups: tuple[str, ...]
    latents: tuple[str, ...]
    shift: FloatArray
    info: FloatArray
    group_shift: FloatArray
    group_info: FloatArray
    shift_rows: FloatArray
    info_rows: FloatArray
    group_shift_rows: FloatArray
    group_info_rows: FloatArray

    def to_frame(self) -> pd.DataFrame:
        """One row per feature, columns ``shift_z0``, ..., ``info_z0``, ..."""
        import pandas as pd

        columns = {f"shift_{name}": self.shift[:, i] for i, name in enumerate(self.latents)}
        columns |= {f"info_{name}": self.info[:, i] for i, name in enumerate(self.latents)}
        return pd.DataFrame(columns, index=pd.Index(self.features, name="feature"))


def inputs(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> InputEffects:
    """Level 1 on its own: how far each feature moves each latent.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        features: how the dimensions read; default one per dimension that is not constant, patches of an 8 x 8 grid for
            images.
        groups: feature groups by name, moved as a whole; default every feature its own.
        sources: R, or source rows of shape (R, rows).
        seed: of the draw of source rows.
        chunk: rows per run of the model without interventions; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Returns:
        Shifts in standard deviations of the latent and information in nats, all >= 0.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        per_feature = [list(feature.dims) for feature in subject.features]
        per_group = [subject.group_dims(group) for group in subject.groups]
        shift, info = _stacked(manipulate(subject, per_feature))
        group_shift, group_info = _stacked(manipulate(subject, per_group))
        return InputEffects(
            features=tuple(feature.name for feature in subject.features),
            groups=tuple(group.name for group in subject.groups),
            latents=subject.latents,
            shift=shift.mean(axis=0),
            info=info.mean(axis=0),
            group_shift=group_shift.mean(axis=0),
            group_info=group_info.mean(axis=0),
            shift_rows=shift,
            info_rows=info,
            group_shift_rows=group_shift,
            group_info_rows=group_info,
        )


def manipulate(subject: Subject, blocks: Sequence[Sequence[int]]) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Move some model dimensions at a time to the values of the source rows.

    Args:
        subject: the model on its rows.
        blocks: which dimensions move together.

    Yields:
        For every block the shift of each latent and its information, both (rows, latents), means over the source rows.

    Raises:
        ModelError: the encoder gives nan or infinity on moved rows.
    """
    base, encoder = subject.base, subject.encoder
    mean = base.z[:, : subject.blocks.columns]
    before = Posterior(mean, None if base.log_var is None else torch.as_tensor(base.log_var, device=mean.device))
    for dims in blocks:
        shift = torch.zeros(subject.n, len(subject.latents), dtype=torch.float64, device=mean.device)
        info = torch.zeros_like(shift) if before.log_var is not None else torch.full_like(shift, torch.nan)
        for source in subject.sources:
            moved = subject.inputs.clone()
            moved[:, list(dims)] = subject.pool[source][:, list(dims)]
            # a row that takes its own value again does not move
            changed = (moved != subject.inputs).any(1).nonzero()[:, 0]
            if len(changed) == 0:
                continue
            output = encoder.forward(moved[changed])
            # wide codes a few rows at a time: what is compared takes several times their memory
            size = max(1, COMPARED_BYTES // (8 * output.shape[1]))
            for start in range(0, len(changed), size):
                rows = changed[start : start + size]
                shifts, divergence = _compared(subject, output[start : start + size], before, rows)
                shift[rows] += shifts
                if divergence is not None:
                    info[rows] += divergence
        count = len(subject.sources)
        # a latent that never varies has no scale to count in
        yield to_numpy((shift / count).where(subject.shifts.scaled, torch.nan)), to_numpy(info / count)


def _compared(subject: Subject, output: Tensor, before: Posterior, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Shift and information of every latent, each (rows, latents), of some rows that have moved."""
    columns = subject.blocks.columns
    mean, spread = split_posterior(output.to(torch.float64), subject.vae)
    check_finite(mean, f"{subject.vae.recognition.encode} on moved rows")
    mean, mean_before = mean[:, :columns], before.mean[rows].to(torch.float64)
    shifts = subject.shifts.per_latent(subject.shifts.vectors(mean, mean_before).abs())
    if spread is None or before.log_var is None:
        return shifts, None
    divergence = _divergence(mean, spread[:, :columns], mean_before, before.log_var[rows])
    return shifts, subject.blocks.tensor_sums(divergence)


def _divergence(mean: Tensor, log_var: Tensor, mean_before: Tensor, log_var_before: Tensor) -> Tensor:
    """KL( N(mean, exp log_var) || N(mean_before, exp log_var_before) ) per code column, nats."""
    ratio = log_var - log_var_before
    return 0.5 * (ratio.exp() + (mean - mean_before) ** 2 * (-log_var_before).exp() - 1.0 - ratio)


def _stacked(blocks: Iterator[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Blocks side by side, each (rows, blocks, latents)."""
    shift, info = zip(*blocks, strict=True)
    return np.stack(shift, axis=1), np.stack(info, axis=1)
