"""How strongly two columns hang together, on one scale for every pair of kinds (METHOD.md section 2, groups).

Source: |Spearman| is Spearman (1904); the bias correction of Cramer's V is Bergsma (2013), "A bias-correction for
Cramer's V and Tschuprow's T"; the correlation ratio eta is Pearson (1905). All lie in [0, 1]; 0 is no association. A
constant column has association 0 with every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.types import FloatArray, IntArray


def spearman(numeric: FloatArray) -> FloatArray:
    """|Spearman| between numeric columns: the absolute Pearson correlation of their mid-ranks.

    Args:
        numeric: shape (rows, columns).

    Returns:
        Shape (columns, columns), 1 on the diagonal except for constant columns.
    """
    from scipy.stats import rankdata

    ranks = rankdata(numeric, axis=0)
    centred = ranks - ranks.mean(axis=0)
    norms = np.sqrt(np.square(centred).sum(axis=0))
    scaled = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    result: FloatArray = np.clip(np.abs(scaled.T @ scaled), 0.0, 1.0)
    return result


def one_hot(codes: Sequence[IntArray]) -> tuple[FloatArray, IntArray]:
    """Indicators of the categories that occur.

    Args:
        codes: per column an integer for each row, shape (rows,).

    Returns:
        Indicators of shape (rows, all categories) and where each column's begin, shape (columns,).
    """
    blocks = []
    for column in codes:
        values, positions = np.unique(column, return_inverse=True)
        blocks.append(np.eye(len(values))[positions])
    starts = np.cumsum([0, *(block.shape[1] for block in blocks[:-1])]).astype(np.int64)
    return np.concatenate(blocks, axis=1), starts


def cramers_v(codes: Sequence[IntArray]) -> FloatArray:
    """Bias-corrected Cramer's V between categorical columns.

    With phi2 = chi2 / n of an r x c table: phi2+ = max(0, phi2 - (r-1)(c-1)/(n-1)), r+ = r - (r-1)^2/(n-1) and c+
    likewise, V = sqrt(phi2+ / min(r+ - 1, c+ - 1)). Categories that do not occur do not count.

    Args:
        codes: per column an integer for each row, shape (rows,).

    Returns:
        Shape (columns, columns), in [0, 1].
    """
    indicators, starts = one_hot(codes)
    rows = len(indicators)
    sizes = np.diff(np.append(starts, indicators.shape[1])).astype(np.float64)
    counts = indicators.sum(axis=0)
    joint = indicators.T @ indicators
    # sum over cells of n_ij^2 / (n_i n_j) is chi2 / n + 1
    shares = np.square(joint) / np.outer(counts, counts)
    phi2 = np.add.reduceat(np.add.reduceat(shares, starts, axis=0), starts, axis=1) - 1.0
    free = sizes - 1.0
    corrected = np.maximum(0.0, phi2 - np.outer(free, free) / (rows - 1))
    levels = free - np.square(free) / (rows - 1)
    smaller = np.minimum.outer(levels, levels)
    ratio = np.divide(corrected, smaller, out=np.zeros_like(corrected), where=smaller > 0)
    result: FloatArray = np.sqrt(np.clip(ratio, 0.0, 1.0))
    return result


def correlation_ratio(codes: Sequence[IntArray], numeric: FloatArray) -> FloatArray:
    """Correlation ratio eta of numeric columns on categorical ones: sqrt of the between-category share of variance.

    Args:
        codes: per categorical column an integer for each row, shape (rows,).
        numeric: shape (rows, numeric columns).

    Returns:
        Shape (categorical columns, numeric columns), in [0, 1].
    """
    indicators, starts = one_hot(codes)
    centred = numeric - numeric.mean(axis=0)
    spread = np.square(centred).sum(axis=0)
    sums = indicators.T @ centred
    between = np.add.reduceat(np.square(sums) / indicators.sum(axis=0)[:, None], starts, axis=0)
    # Rounding leaves a constant column a spread of some 1e-30, which is no spread.
    varies = (numeric != numeric[0]).any(axis=0)
    ratio = np.divide(between, spread, out=np.zeros_like(between), where=varies & (spread > 0))
    result: FloatArray = np.sqrt(np.clip(ratio, 0.0, 1.0))
    return result


def association_matrix(numeric: FloatArray, codes: Sequence[IntArray]) -> FloatArray:
    """Association of every pair of columns.

    Args:
        numeric: shape (rows, numeric columns).
        codes: per categorical column an integer for each row, shape (rows,).

    Returns:
        Symmetric, numeric columns first, then categorical ones; 1 on the diagonal.
    """
    width = numeric.shape[1]
    matrix: FloatArray = np.zeros((width + len(codes), width + len(codes)))
    if width:
        matrix[:width, :width] = spearman(numeric)
    if codes:
        matrix[width:, width:] = cramers_v(codes)
    if width and codes:
        matrix[width:, :width] = correlation_ratio(codes, numeric)
        matrix[:width, width:] = matrix[width:, :width].T
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix
