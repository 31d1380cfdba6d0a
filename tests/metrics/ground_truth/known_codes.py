"""Codes whose scores are known: of factors with 2, 3 and 4 values in a balanced grid, ten times over and shuffled."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray

SIZES = (2, 3, 4)


def grid(times: int = 25, sizes: tuple[int, ...] = SIZES) -> IntArray:
    """Every combination of values equally often, shuffled, shape (rows, factors)."""
    rows = np.array(list(itertools.product(*(range(size) for size in sizes))) * times)
    return np.random.default_rng(0).permutation(rows)


def standard(factors: IntArray) -> FloatArray:
    """Factors as a code, each with mean 0 and variance 1."""
    return (factors - factors.mean(axis=0)) / factors.std(axis=0)


def rotated(factors: IntArray) -> FloatArray:
    """The standard code with latents 1 and 2 turned by 45 degrees: each has half of two factors."""
    codes = standard(factors)
    codes[:, 1:] = codes[:, 1:] @ np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
    return codes


def halves(codes: FloatArray, factors: IntArray) -> tuple[tuple[FloatArray, IntArray], tuple[FloatArray, IntArray]]:
    """The first two thirds of the rows and the rest."""
    cut = 2 * len(codes) // 3
    return (codes[:cut], factors[:cut]), (codes[cut:], factors[cut:])


def seeded(rows: int = 600) -> tuple[FloatArray, IntArray]:
    """A noisy mixture of three factors in four latents, one of them noise: the code whose scores are pinned."""
    rng = np.random.default_rng(7)
    factors = np.stack([rng.integers(0, size, rows) for size in SIZES], axis=1)
    mixing = np.array([[1.0, 0.7, 0.3, 0.0], [0.0, 1.0, 0.8, 0.0], [0.6, 0.0, 1.0, 0.0]])
    return standard(factors) @ mixing + 0.3 * rng.normal(size=(rows, 4)), factors
