"""Tests of many hypotheses at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.stats.draws import Stream, generator

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

PER_TEST = 100
MOST_RESAMPLES = 100_000
_BLOCK_BYTES = 32 * 2**20


def bootstrap_p(values: FloatArray, seed: int, resamples: int = 1000) -> FloatArray:
    """Two-sided bootstrap p-values of the hypothesis that per-row values have mean 0.

    p = 2 min( 1 + #{mean* <= 0}, 1 + #{mean* >= 0} ) / (B + 1), at most 1, so that p < 0.05 where the 95 % percentile interval
    leaves out 0. B grows with the number of tests (100 resamples each, at least ``resamples``, at most 100,000): with fewer
    resamples than hypotheses no corrected p could be small.

    Args:
        values: shape (rows, ...).
        seed: resample b draws n rows with ``integers(0, n, size=n)`` of ``default_rng([seed, 5])``.
        resamples: least B.

    Returns:
        Shape (...); 1 where all values are 0.
    """
    n = len(values)
    flat = values.reshape(n, -1)
    tests = flat.shape[1]
    count = test_resamples(tests, resamples)
    below, above = np.zeros(tests), np.zeros(tests)
    rng = generator(seed, Stream.MEDIATION)
    block = max(1, _BLOCK_BYTES // (8 * max(n, tests)))
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = rng.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        weights = np.bincount(drawn.reshape(-1), minlength=size * n).reshape(size, n).astype(np.float64)
        sums = weights @ flat
        below += (sums <= 0).sum(axis=0)
        above += (sums >= 0).sum(axis=0)
    p = 2.0 * np.minimum(1.0 + below, 1.0 + above) / (count + 1.0)
    return np.asarray(np.minimum(p, 1.0).reshape(values.shape[1:]))


def test_resamples(tests: int, least: int) -> int:
    """B: 100 per test, within [least, 100,000]."""
    return min(max(least, PER_TEST * tests), MOST_RESAMPLES)


def holm_sidak(p: FloatArray) -> FloatArray:
    """Holm-Sidak corrected p-values over all tests of an array; nan stays nan and does not count as a test."""
    from statsmodels.stats.multitest import multipletests

    corrected = np.full(p.shape, np.nan)
    tested = np.isfinite(p)
    if tested.any():
        # log(1 - p) of a p-value of 1 is minus infinity, and meant
        with np.errstate(divide="ignore"):
            corrected[tested] = multipletests(p[tested], method="holm-sidak")[1]
    return corrected
