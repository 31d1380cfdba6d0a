"""Intervention specificity: does a latent move one feature or all (METHOD.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.metrics.entropy import profile_entropy

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

INVERSE_ENTROPY_OFFSET = 1e-6


def specificity(effects: FloatArray) -> FloatArray:
    """specificity_i = 1 - H(p_i) / ln F, p_i = e_i / sum_f e_{i,f}.

    Args:
        effects: e, shape (..., latents, features), >= 0.

    Returns:
        Shape (..., latents), in [0, 1]; 1 = one feature moves, 0 = all move alike. nan where a latent's effects sum
        to 0 and where there is only one feature.

    Source:
        METHOD.md section 2; the papers' form is ``inverse_entropy``.
    """
    features = effects.shape[-1]
    if features < 2:
        return np.full(effects.shape[:-1], np.nan)
    return np.asarray(np.clip(1.0 - profile_entropy(effects) / np.log(features), 0.0, 1.0))


def inverse_entropy(effects: FloatArray) -> FloatArray:
    """1 / (H(p_i) + 1e-6), the papers' form of specificity.

    Args:
        effects: e, shape (..., latents, features), >= 0.

    Returns:
        Shape (..., latents), from 1 / ln F (all features move alike) to 1e6 (one moves); nan where effects sum to 0.
    """
    return np.asarray(1.0 / (np.maximum(profile_entropy(effects), 0.0) + INVERSE_ENTROPY_OFFSET))


def model_specificity(per_latent: FloatArray, ces: FloatArray, active: npt.NDArray[np.bool_]) -> FloatArray:
    """CES-weighted mean over the active latents that have a specificity.

    Args:
        per_latent: shape (..., latents), nan where undefined.
        ces: the weights, shape (..., latents).
        active: shape (latents,).

    Returns:
        Shape (...); nan where no active latent has a value or all weights are 0.
    """
    counts = active & np.isfinite(per_latent)
    weights = np.where(counts, ces, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((np.where(counts, per_latent, 0.0) * weights).sum(axis=-1) / weights.sum(axis=-1))
