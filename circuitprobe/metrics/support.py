"""Do intervened codes stay where the decoder was trained (METHOD.md section 2, on-support rate)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

SUPPORT_QUANTILE = 0.99


@dataclass(frozen=True)
class Support:
    """The region of codes whose Mahalanobis distance is within the 99 % quantile of the rows' own.

    Attributes:
        center: mean of the aggregate posterior, shape (latents,).
        precision: inverse covariance of the aggregate posterior, shape (latents, latents).
        limit: the squared distance at the quantile.
    """

    center: FloatArray
    precision: FloatArray
    limit: float

    @classmethod
    def of(cls, mean: FloatArray, log_var: FloatArray | None) -> Support:
        """Fit to mean and log_var of shape (rows, latents): covariance Cov_x(mu) + diag(mean_x sigma^2)."""
        covariance = np.atleast_2d(np.cov(mean, rowvar=False, bias=True))
        if log_var is not None:
            covariance = covariance + np.diag(np.exp(log_var).mean(axis=0))
        precision = np.linalg.pinv(covariance, hermitian=True)
        center = mean.mean(axis=0)
        own = _squared(mean, center, precision)
        return cls(center, precision, float(np.quantile(own, SUPPORT_QUANTILE)))

    def contains(self, codes: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether codes of shape (..., latents) lie inside, shape (...)."""
        # the row that defines the limit is inside, whatever the order of its sums
        return _squared(codes, self.center, self.precision) <= self.limit * (1.0 + 1e-9)


def _squared(codes: FloatArray, center: FloatArray, precision: FloatArray) -> FloatArray:
    away = codes - center
    return np.asarray(((away @ precision) * away).sum(axis=-1))


def on_support(codes: FloatArray, mean: FloatArray, log_var: FloatArray | None) -> npt.NDArray[np.bool_]:
    """Whether codes of shape (..., latents) lie on the support of the aggregate posterior, shape (...)."""
    return Support.of(mean, log_var).contains(codes)
