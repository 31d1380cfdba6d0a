"""Circuit modularity: do latents use different hidden units (METHOD.md section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray


def modularity(profiles: FloatArray, active: npt.NDArray[np.bool_]) -> FloatArray:
    """M = 1 - mean_{i<j, both active} |rho(profile_i, profile_j)|, rho = Pearson over units.

    Args:
        profiles: Delta a, shape (..., latents, units): mean over rows and values of |a_u(do) - a_u(mu)| / s_u, dead
            units left out.
        active: shape (latents,).

    Returns:
        Shape (...), in [0, 1]: 1 = unrelated circuits, 0 = all latents use the units alike. A pair in which a profile
        does not vary over the units has no correlation and is left out. nan where no pair is left.

    Source:
        METHOD.md section 2, after arXiv 2603.21236.
    """
    chosen = profiles[..., np.flatnonzero(active), :]
    latents = chosen.shape[-2]
    if latents < 2 or chosen.shape[-1] < 2:
        return np.full(profiles.shape[:-2], np.nan)
    centred = chosen - chosen.mean(axis=-1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=-1))
    # a constant profile keeps rounding noise after centring, which must not be normalised into a direction
    flat = norm <= 1e-12 * np.sqrt((chosen**2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(flat[..., None], np.nan, centred / norm[..., None])
    rho = np.abs(unit @ np.swapaxes(unit, -1, -2))
    first, second = np.triu_indices(latents, k=1)
    pairs = np.minimum(rho[..., first, second], 1.0)
    defined = np.isfinite(pairs)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - np.where(defined, pairs, 0.0).sum(axis=-1) / defined.sum(axis=-1))
