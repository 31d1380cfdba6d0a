"""Bootstrap over audited rows: per-row values are resampled, the model is not run again (METHOD.md section 0)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

    _Counts = npt.NDArray[np.unsignedinteger]

CONFIDENCE = 0.95
_BLOCK_BYTES = 32 * 2**20
_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Resampler:
    """The same resamples of n rows for every metric, so that metrics can be combined and compared.

    Attributes:
        n: audited rows.
        resamples: B.
        seed: resample b draws n rows with replacement from ``default_rng([seed, 2])``.
    """

    n: int
    resamples: int
    seed: int

    def means(self, values: FloatArray) -> FloatArray:
        """Mean of per-row values over each resample.

        Args:
            values: shape (rows, ...).

        Returns:
            Shape (resamples, ...).
        """
        flat = values.reshape(self.n, -1)
        means = np.empty((self.resamples, flat.shape[1]))
        for start, weights in self._blocks():
            means[start : start + len(weights)] = weights @ flat
        return means.reshape(self.resamples, *values.shape[1:])

    def weights(self) -> Iterator[tuple[int, FloatArray]]:
        """Blocks of (number of the first resample, how often each row was drawn / n of shape (block, rows))."""
        yield from self._blocks()

    def _blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """Weights in blocks of bounded size; the counts behind them are kept where they are small enough."""
        kept = self.resamples * self.n <= _KEPT_BYTES
        for start, counts in self._kept if kept else self._drawn():
            yield start, counts / self.n

    @cached_property
    def _kept(self) -> list[tuple[int, _Counts]]:
        return list(self._drawn())

    def _drawn(self) -> Iterator[tuple[int, _Counts]]:
        rng = generator(self.seed, Stream.BOOTSTRAP)
        block = max(1, _BLOCK_BYTES // (self.n * 8))
        for start in range(0, self.resamples, block):
            size = min(block, self.resamples - start)
            drawn = rng.integers(0, self.n, size=(size, self.n)) + np.arange(size)[:, None] * self.n
            counts = np.bincount(drawn.reshape(-1), minlength=size * self.n).reshape(size, self.n)
            # no row is drawn 256 times unless there are so few that a wider type costs nothing
            yield start, counts.astype(np.uint8 if counts.max() < 256 else np.uint32)


def estimate(value: float, resampled: FloatArray, n: int, null: float | None = None) -> Estimate:
    """A value with its 95 % percentile interval, which contains it: an end that would leave it out is moved to it.

    Args:
        value: the estimate on all rows; nan where undefined.
        resampled: the same on each resample, shape (resamples,); undefined ones (nan) are left out.
        n: rows.
        null: value under chance alone.

    Returns:
        An estimate of None where ``value`` is undefined.
    """
    if not math.isfinite(value):
        return Estimate(None, None, None, n)
    defined = resampled[np.isfinite(resampled)]
    if defined.size == 0:
        return Estimate(float(value), None, None, n, null)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)), n, null)


def mean_estimates(resampler: Resampler, values: FloatArray, memory: int) -> list[Estimate]:
    """Means over rows with their intervals, many at once.

    Args:
        resampler: of those rows.
        values: shape (rows, quantities).
        memory: bytes that the resamples may take; quantities are worked on in blocks that fit.

    Returns:
        One estimate per quantity; undefined where a value is nan.
    """
    block = max(1, memory // (4 * 8 * resampler.resamples))
    found: list[Estimate] = []
    for start in range(0, values.shape[1], block):
        part = values[:, start : start + block]
        found += _estimates(part.mean(axis=0), resampler.means(part), resampler.n)
    return found


def ratio_estimates(resampler: Resampler, top: FloatArray, bottom: FloatArray) -> list[Estimate]:
    """Ratios of means over rows with their intervals.

    Args:
        resampler: of those rows.
        top: shape (rows, quantities).
        bottom: shape (rows,) or (rows, quantities).

    Returns:
        One estimate per quantity; undefined where the denominator is 0.
    """
    below = bottom if bottom.ndim == 2 else np.broadcast_to(bottom[:, None], top.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = top.mean(axis=0) / below.mean(axis=0)
        resampled = resampler.means(top) / resampler.means(np.ascontiguousarray(below))
    return _estimates(values, resampled, resampler.n)


def root_estimates(resampler: Resampler, squares: FloatArray) -> list[Estimate]:
    """Root mean squares over rows with their intervals, from squares of shape (rows, quantities)."""
    return _estimates(np.sqrt(squares.mean(axis=0)), np.sqrt(resampler.means(squares)), resampler.n)


def _estimates(values: FloatArray, resampled: FloatArray, n: int) -> list[Estimate]:
    tail = (1.0 - CONFIDENCE) / 2.0
    if np.isfinite(values).all() and np.isfinite(resampled).all():
        low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
        low, high = np.minimum(low, values), np.maximum(high, values)
        return [Estimate(float(v), float(a), float(b), n) for v, a, b in zip(values, low, high, strict=True)]
    return [estimate(float(values[i]), resampled[:, i], n) for i in range(len(values))]
