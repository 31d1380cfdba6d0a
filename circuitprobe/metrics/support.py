"""Do intervened codes stay where the decoder was trained (METHOD.md section 2, on-support rate)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

SUPPORT_QUANTILE = 0.99
ROUNDING = 1e-12


@dataclass(frozen=True)
class Support:
    """The region of codes whose Mahalanobis distance is within the 99 % quantile of the rows' own.

    Attributes:
        center: mean of the aggregate posterior, shape (latents,).
        axes: principal axes of its covariance as columns, shape (latents, latents).
        spread: standard deviation along each, shape (latents,); 0 where codes never vary.
        limit: the distance at the quantile.
    """

    center: FloatArray
    axes: FloatArray
    spread: FloatArray
    limit: float

    @classmethod
    def of(cls, mean: FloatArray, log_var: FloatArray | None) -> Support:
        """Fit to mean and log_var of shape (rows, latents): covariance Cov_x(mu) + diag(mean_x sigma^2)."""
        covariance = np.atleast_2d(np.cov(mean, rowvar=False, bias=True))
        if log_var is not None:
            covariance = covariance + np.diag(np.exp(log_var).mean(axis=0))
        variance, axes = np.linalg.eigh(covariance)
        spread = np.where(
            variance > ROUNDING * max(float(variance.max()), 0.0), np.sqrt(np.maximum(variance, 0.0)), 0.0
        )
        fitted = cls(mean.mean(axis=0), axes, spread, np.inf)
        return replace(fitted, limit=float(np.quantile(fitted.distance(mean), SUPPORT_QUANTILE)))

    def distance(self, codes: FloatArray) -> FloatArray:
        """Mahalanobis distance of codes (..., latents), shape (...); infinite off the plane that all codes lie on."""
        along = (codes - self.center) @ self.axes
        varies = self.spread > 0
        distance = np.sqrt(((along[..., varies] / self.spread[varies]) ** 2).sum(axis=-1))
        slack = np.sqrt(ROUNDING) * (1.0 + float(np.abs(self.center).max()) + float(self.spread.max()))
        return np.where((np.abs(along[..., ~varies]) > slack).any(axis=-1), np.inf, distance)

    def contains(self, codes: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether codes of shape (..., latents) lie inside, shape (...)."""
        # the row that defines the limit is inside, whatever the order of its sums
        return self.distance(codes) <= self.limit * (1.0 + 1e-9)


def on_support(codes: FloatArray, mean: FloatArray, log_var: FloatArray | None) -> npt.NDArray[np.bool_]:
    """Whether codes of shape (..., latents) lie on the support of the aggregate posterior, shape (...)."""
    return Support.of(mean, log_var).contains(codes)
