"""The values that a latent is set to (METHOD.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import elementwise
from scipy.special import ndtr, ndtri

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.interventions.subject import Subject
    from circuitprobe.types import FloatArray

PRIOR_RANGE = 3.0


def latent_values(values: str | npt.ArrayLike, subject: Subject, n_values: int) -> FloatArray:
    """What every code column is set to when its latent is, shape (code columns, K).

    Args:
        values: ``posterior``, ``prior``, or the values themselves: (latents, K), each for all columns of its latent, or
            (code columns, K).
        subject: the model on its rows.
        n_values: K of the first two.

    Raises:
        UsageError: an array of another shape, with nan, with what is no index of a discrete code, or an unknown word.
    """
    vae, base = subject.vae, subject.base
    if not isinstance(values, str):
        return _given(values, subject)
    if values not in {"posterior", "prior"}:
        raise UsageError(
            f"values={values!r}", expected="posterior, prior, or an array (latents, K)", fix='values="posterior"'
        )
    if values == "prior":
        columns = subject.blocks.columns
        return prior_values(columns, n_values) if vae.codes is None else codebook_values(vae.codes, columns, n_values)
    if vae.prior_only:
        return np.tile(ndtri((np.arange(n_values) + 0.5) / n_values), (subject.blocks.columns, 1))
    return posterior_values(base.mean, base.log_var, n_values)


def _given(values: npt.ArrayLike, subject: Subject) -> FloatArray:
    """The caller's values, one row per code column."""
    points = np.asarray(values, dtype=np.float64)
    latents, columns, codes = subject.blocks.latents, subject.blocks.columns, subject.vae.codes
    fits = points.ndim == 2 and points.shape[0] in {len(latents), columns} and points.shape[1] >= 1
    if not fits or not np.isfinite(points).all():
        wide = "" if len(latents) == columns else f" or ({columns}, K)"
        raise UsageError(
            f"values of shape {points.shape}",
            expected=f"finite numbers of shape ({len(latents)}, K){wide}",
            fix="one row of values per latent",
        )
    if codes is not None and not (np.isin(points, np.arange(codes))).all():
        raise UsageError(
            "values that are no indices into the codebook",
            expected=f"whole numbers from 0 to {codes - 1}",
            fix='values="posterior", or other numbers',
        )
    if len(points) != len(latents) or subject.blocks.plain:
        return points
    spread = np.zeros((columns, points.shape[1]))
    for latent, row in zip(latents, points, strict=True):
        spread[list(latent.dims)] = row
    return spread


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


def codebook_values(codes: int, columns: int, n_values: int) -> FloatArray:
    """Prior-scale values of a discrete code: K indices evenly spaced over the codebook, floor((k - 1/2)/K codes)."""
    return np.tile(np.floor((np.arange(n_values) + 0.5) / n_values * codes), (columns, 1))
