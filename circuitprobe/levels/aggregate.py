"""What is known of the latents without intervening on them: KL, scale, which are active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.levels.measured import Measured, function_of, over_rows
from circuitprobe.metrics.posterior import ACTIVE_NATS, kl_to_prior, latent_scales

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.levels.setting import LevelSetting
    from circuitprobe.types import FloatArray

COLUMN_BYTES = 2**25
"""Moments of wide codes are resampled so many bytes of per-row figures at a time; no figure depends on --memory."""


@dataclass(frozen=True)
class Activity:
    """KL and scale per latent, and which count as active.

    Attributes:
        kl: KL_i; undefined without a variance.
        scale: s_i.
        active: shape (latents,); None where it takes the effects to tell, as there is no encoder.
    """

    kl: Measured
    scale: Measured
    active: npt.NDArray[np.bool_] | None

    def active_by(self, ces: FloatArray | None) -> npt.NDArray[np.bool_]:
        """Which latents are active; without an encoder those with any effect, all where effects are not known."""
        if self.active is not None:
            return self.active
        return np.ones(self.kl.value.shape, dtype=bool) if ces is None else ces > 0


def activity(setting: LevelSetting) -> Activity:
    """KL and scale of every latent, and which are active."""
    blocks, vae = setting.subject.blocks, setting.subject.vae
    if vae.prior_only or vae.codes is not None:
        count, resamples = len(blocks.latents), setting.resampler.resamples
        unknown = Measured(np.full(count, np.nan), np.full((resamples, count), np.nan))
        one = Measured(np.ones(count), np.ones((resamples, count)))
        return Activity(unknown, one, None if vae.prior_only else _varies(setting))
    kl, variance = _moments(setting)
    kl, scale = function_of(kl, blocks.sums), function_of(variance, lambda v: np.sqrt(blocks.means(v)))
    scales = latent_scales(setting.base.mean, setting.base.log_var)
    whole = scales if blocks.plain else np.sqrt(blocks.means(scales**2))
    active = kl.value > ACTIVE_NATS if setting.base.log_var is not None else _varies(setting)
    return Activity(kl, Measured(whole, scale.resampled), active)


def _varies(setting: LevelSetting) -> npt.NDArray[np.bool_]:
    """Latents of which a column is not the same in every row."""
    return np.asarray(setting.subject.blocks.sums((np.ptp(setting.base.mean, axis=0) > 0).astype(np.float64)) > 0)


def _moments(setting: LevelSetting) -> tuple[Measured, Measured]:
    """KL and variance of the aggregate posterior of every code column."""
    width = setting.subject.blocks.columns
    size = max(1, COLUMN_BYTES // (4 * 8 * max(setting.n, setting.resampler.resamples)))
    parts = [_column_moments(setting, slice(start, start + size)) for start in range(0, width, size)]
    if len(parts) == 1:
        return parts[0]
    kl, variance = zip(*parts, strict=True)
    return _side_by_side(kl), _side_by_side(variance)


def _column_moments(setting: LevelSetting, columns: slice) -> tuple[Measured, Measured]:
    mean = setting.base.mean[:, columns]
    log_var = None if setting.base.log_var is None else setting.base.log_var[:, columns]
    within_rows = np.zeros_like(mean) if log_var is None else np.exp(log_var)
    kl, first, second, within = over_rows(setting, [kl_to_prior(mean, log_var), mean, mean**2, within_rows])
    return kl, function_of(first, lambda m, m2, v: np.maximum(m2 - m**2 + v, 0.0), second, within)


def _side_by_side(parts: tuple[Measured, ...]) -> Measured:
    return Measured(
        np.concatenate([part.value for part in parts]), np.concatenate([part.resampled for part in parts], axis=1)
    )
