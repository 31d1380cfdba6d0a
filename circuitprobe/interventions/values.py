"""The values that a latent is set to (METHOD.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import elementwise
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

PRIOR_RANGE = 3.0


def posterior_values(mean: FloatArray, log_var: FloatArray | None, n_values: int) -> FloatArray:
    """Posterior-calibrated values: v_ik = the (k - 1/2)/K quantile of (1/n) sum_x N(mu_i(x), sigma_i^2(x)).

    Found as the root of the mixture's distribution function, not from samples. Where the encoder states no variance the
    mixture is the empirical distribution of mu_i and v_ik its inverse distribution function.

    Args:
        mean: mu, shape (rows, latents).
        log_var: log sigma^2, shape (rows, latents), or None.
        n_values: K.

    Returns:
        Shape (latents, K), ascending along K.

    Source:
        METHOD.md section 2, ours.
    """
    levels = (np.arange(n_values) + 0.5) / n_values
    if log_var is None:
        return np.asarray(np.quantile(mean, levels, axis=0, method="inverted_cdf").T, dtype=np.float64)
    # a standard deviation that underflows to 0 would turn the step of its part into 0/0
    sigma = np.maximum(np.exp(0.5 * log_var), np.finfo(np.float64).tiny)
    return np.stack([_mixture_quantiles(mean[:, i], sigma[:, i], levels) for i in range(mean.shape[1])])


def _mixture_quantiles(mean: FloatArray, sigma: FloatArray, levels: FloatArray) -> FloatArray:
    def excess(value: FloatArray, level: FloatArray) -> FloatArray:
        return np.asarray(ndtr((value[..., None] - mean) / sigma).mean(axis=-1) - level)

    # each quantile of a mixture lies between the smallest and the largest such quantile of its parts
    parts = mean + ndtri(levels)[:, None] * sigma
    margin = 1e-9 * (1.0 + np.abs(parts).max())
    low, high = parts.min(axis=1) - margin, parts.max(axis=1) + margin
    with np.errstate(over="ignore"):
        found = elementwise.find_root(
            excess, (low, high), args=(levels,), tolerances={"xatol": 0.0, "xrtol": 1e-14, "fatol": 0.0}
        )
    return np.asarray(found.x, dtype=np.float64)


def prior_values(latents: int, n_values: int) -> FloatArray:
    """Prior-scale values: K values evenly spaced on [-3, 3] for every latent, shape (latents, K)."""
    return np.tile(np.linspace(-PRIOR_RANGE, PRIOR_RANGE, n_values), (latents, 1))
