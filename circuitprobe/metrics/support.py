"""Do intervened codes stay where the decoder was trained (METHOD.md section 2, on-support rate)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import chdtri

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

SUPPORT_QUANTILE = 0.99
ROUNDING = 1e-12
MOST_COLUMNS = 2048
"""Of a code whose covariance is taken apart: beyond, that and its distances would cost more than the audit."""


class Region(Protocol):
    """Where codes lie; ``why_not`` says why that is not known, "" where it is."""

    @property
    def why_not(self) -> str:
        """Why nothing is said, "" where it is."""
        ...

    def inside(self, dims: Sequence[int], values: FloatArray) -> FloatArray:
        """Whether each row's code with some columns set to values (columns,) lies inside: 1 or 0, nan where unknown."""
        ...


@dataclass(frozen=True)
class Support:
    """The region of codes whose Mahalanobis distance is within the 99 % quantile of the rows' own.

    Attributes:
        center: mean of the aggregate posterior, shape (columns,).
        axes: principal axes of its covariance as columns, shape (columns, columns).
        spread: standard deviation along each, shape (columns,); 0 where codes never vary.
        limit: the distance at the quantile.
    """

    center: FloatArray
    axes: FloatArray
    spread: FloatArray
    limit: float

    @classmethod
    def of(cls, mean: FloatArray, log_var: FloatArray | None) -> Support:
        """Fit to mean and log_var of shape (rows, columns): covariance Cov_x(mu) + diag(mean_x sigma^2)."""
        covariance = np.atleast_2d(np.cov(mean, rowvar=False, bias=True))
        if log_var is not None:
            covariance = covariance + np.diag(np.exp(log_var).mean(axis=0))
        variance, axes = np.linalg.eigh(covariance)
        spread = np.where(
            variance > ROUNDING * max(float(variance.max()), 0.0), np.sqrt(np.maximum(variance, 0.0)), 0.0
        )
        fitted = cls(mean.mean(axis=0), axes, spread, np.inf)
        return replace(fitted, limit=float(np.quantile(fitted.distance(mean), SUPPORT_QUANTILE)))

    def along(self, codes: FloatArray) -> FloatArray:
        """Codes (..., columns) in coordinates of the axes."""
        return np.asarray((codes - self.center) @ self.axes)

    def distance(self, codes: FloatArray) -> FloatArray:
        """Mahalanobis distance of codes (..., columns), shape (...); infinite off the plane that all codes lie on."""
        return self._distance(self.along(codes))

    def _distance(self, along: FloatArray) -> FloatArray:
        varies = self.spread > 0
        distance = np.sqrt(((along[..., varies] / self.spread[varies]) ** 2).sum(axis=-1))
        slack = np.sqrt(ROUNDING) * (1.0 + float(np.abs(self.center).max()) + float(self.spread.max()))
        return np.where((np.abs(along[..., ~varies]) > slack).any(axis=-1), np.inf, distance)

    def contains(self, codes: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether codes of shape (..., columns) lie inside, shape (...)."""
        return self.within(self.along(codes))

    def within(self, along: FloatArray) -> npt.NDArray[np.bool_]:
        """``contains`` for codes in coordinates of the axes."""
        # the row that defines the limit is inside, whatever the order of its sums
        return np.asarray(self._distance(along) <= self.limit * (1.0 + 1e-9))


@dataclass(frozen=True)
class PosteriorRegion:
    """The support of the aggregate posterior, for codes that differ from the rows' own in a few columns.

    Attributes:
        support: fitted.
        mean: mu, shape (rows, columns).
    """

    support: Support
    mean: FloatArray
    why_not: str = ""

    def inside(self, dims: Sequence[int], values: FloatArray) -> FloatArray:
        """See ``Region``; a step along a few columns costs a product with their axes alone."""
        step = values - self.mean[:, dims]
        moved = self._own + step @ self.support.axes[list(dims)]
        return np.asarray(self.support.within(moved), dtype=np.float64)

    @cached_property
    def _own(self) -> FloatArray:
        return self.support.along(self.mean)


@dataclass(frozen=True)
class PriorRegion:
    """The 99 % region of N(0, I), exactly: the squared distance from 0 is within the quantile of chi-square.

    Attributes:
        codes: of the rows, shape (rows, columns).
    """

    codes: FloatArray
    why_not: str = ""

    def inside(self, dims: Sequence[int], values: FloatArray) -> FloatArray:
        """See ``Region``."""
        squares = self._squares - (self.codes[:, dims] ** 2).sum(axis=1) + (values**2).sum()
        return np.asarray(squares <= chdtri(self.codes.shape[1], 1.0 - SUPPORT_QUANTILE), dtype=np.float64)

    @cached_property
    def _squares(self) -> FloatArray:
        return np.asarray((self.codes**2).sum(axis=1))


@dataclass(frozen=True)
class IndexRegion:
    """Codes of indices each of which some row uses at that place.

    Attributes:
        codes: of the rows, shape (rows, columns).
    """

    codes: FloatArray
    why_not: str = ""

    def inside(self, dims: Sequence[int], values: FloatArray) -> FloatArray:
        """See ``Region``: what the rows keep is in use, so that only what is set decides."""
        used = bool((self.codes[:, dims] == values).any(axis=0).all())
        return np.full(len(self.codes), float(used))


@dataclass(frozen=True)
class UnknownRegion:
    """Nothing is said of where codes lie.

    Attributes:
        rows: how many.
        why_not: why.
    """

    rows: int
    why_not: str

    def inside(self, dims: Sequence[int], values: FloatArray) -> FloatArray:  # noqa: ARG002 - nothing is known
        """See ``Region``."""
        return np.full(self.rows, np.nan)


def posterior_region(mean: FloatArray, log_var: FloatArray | None) -> Region:
    """Where the codes of a continuous encoder lie, if they have few enough columns to say."""
    columns = mean.shape[1]
    if columns > MOST_COLUMNS:
        return UnknownRegion(
            len(mean), f"the code has {columns:,} columns: distances are measured in at most {MOST_COLUMNS:,}"
        )
    return PosteriorRegion(Support.of(mean, log_var), mean)


def on_support(codes: FloatArray, mean: FloatArray, log_var: FloatArray | None) -> npt.NDArray[np.bool_]:
    """Whether codes of shape (..., columns) lie on the support of the aggregate posterior, shape (...)."""
    return Support.of(mean, log_var).contains(codes)
