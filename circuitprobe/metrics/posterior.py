"""The aggregate posterior: scale of the latents and which of them are active (METHOD.md section 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

ACTIVE_NATS = 0.01


def latent_scales(mean: FloatArray, log_var: FloatArray | None) -> FloatArray:
    """s_i = sqrt( Var_x mu_i + mean_x sigma_i^2 ), shape (latents,), from mean and log_var of shape (rows, latents)."""
    within = 0.0 if log_var is None else np.exp(log_var).mean(axis=0)
    return np.asarray(np.sqrt(mean.var(axis=0) + within))


def kl_to_prior(mean: FloatArray, log_var: FloatArray | None) -> FloatArray:
    """KL( q(z_i|x) || N(0,1) ) per row and latent, in nats, shape (rows, latents); nan without a variance."""
    if log_var is None:
        return np.full(mean.shape, np.nan)
    return np.asarray(0.5 * (mean**2 + np.exp(log_var) - 1.0 - log_var))
