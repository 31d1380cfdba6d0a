"""Shannon entropy of profiles that need not sum to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray


def profile_entropy(profile: FloatArray, axis: int = -1) -> FloatArray:
    """H = - sum p ln p in nats along ``axis``, p = profile / sum; nan where the profile sums to 0.

    Args:
        profile: values >= 0.
        axis: the axis that is summed.

    Returns:
        The shape of ``profile`` without ``axis``.
    """
    total = profile.sum(axis=axis, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = profile / total
    return np.asarray(entr(share).sum(axis=axis), dtype=np.float64)
