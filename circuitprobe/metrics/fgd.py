"""Feature-Group Disentanglement and Completeness (METHOD.md section 2, ours)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.metrics.entropy import profile_entropy

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray


def group_effects(effects: FloatArray, membership: IntArray, groups: int) -> FloatArray:
    """R_{ig} = mean_{f in g} e_{i,f}.

    Args:
        effects: e, shape (..., latents, features).
        membership: group number of each feature, shape (features,); every group has a feature.
        groups: G.

    Returns:
        Shape (..., latents, groups).
    """
    indicator = (membership[:, None] == np.arange(groups)).astype(np.float64)
    return np.asarray(effects @ (indicator / indicator.sum(axis=0)))


def disentanglement(r: FloatArray) -> FloatArray:
    """D_i = 1 - H(R_i. / sum) / ln G, shape (..., latents); nan for a zero row and for a single group."""
    return _concentration(r, axis=-1)


def completeness(r: FloatArray) -> FloatArray:
    """C_g = 1 - H(R_.g / sum) / ln d, shape (..., groups); nan for a zero column and for a single latent."""
    return _concentration(r, axis=-2)


def _concentration(r: FloatArray, axis: int) -> FloatArray:
    count = r.shape[axis]
    if count < 2:
        return np.full(np.delete(np.array(r.shape), axis), np.nan)
    return np.asarray(np.clip(1.0 - profile_entropy(r, axis=axis) / np.log(count), 0.0, 1.0))


def fgd(r: FloatArray) -> FloatArray:
    """FGD = sum_i w_i D_i, w_i = sum_g R_ig / sum R; shape (...), in [0, 1], higher is better; nan where R is 0."""
    return _weighted(disentanglement(r), r.sum(axis=-1))


def fgc(r: FloatArray) -> FloatArray:
    """FGC = sum_g w_g C_g, w_g = sum_i R_ig / sum R; shape (...), in [0, 1], higher is better; nan where R is 0."""
    return _weighted(completeness(r), r.sum(axis=-2))


def _weighted(values: FloatArray, weights: FloatArray) -> FloatArray:
    if not np.isfinite(values).any():
        return np.full(values.shape[:-1], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(weights > 0, values * weights, 0.0).sum(axis=-1) / weights.sum(axis=-1))


def fgd_null(effects: FloatArray, membership: IntArray, permutations: int, rng: np.random.Generator) -> FloatArray:
    """FGD under permutations of the features over the groups, group sizes kept.

    Args:
        effects: e, shape (latents, features).
        membership: group number of each feature, shape (features,).
        permutations: P.
        rng: one ``rng.permutation(membership)`` is drawn per permutation.

    Returns:
        Shape (permutations,).
    """
    groups = int(membership.max()) + 1
    return np.array([fgd(group_effects(effects, rng.permutation(membership), groups)) for _ in range(permutations)])


def permutation_p(value: float, null: npt.NDArray[np.float64]) -> float:
    """P = (1 + #{null >= value}) / (P + 1); equal to rounding counts as equal."""
    return float((1 + np.count_nonzero(null >= value - 1e-12)) / (null.size + 1))
