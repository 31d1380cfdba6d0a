"""Reconstruction of the rows from z = mu(x) (METHOD.md section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.types import FeatureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.types import Feature, FloatArray


def baseline_reading(rows: FloatArray) -> FloatArray:
    """What predicting each column's mean (numeric) or frequencies (categories) says, shape (1, columns)."""
    return np.asarray(rows.mean(axis=0, keepdims=True))


def correct_category(reading: FloatArray, rows: FloatArray, features: Sequence[Feature]) -> dict[str, FloatArray]:
    """Whether the most probable category is the row's, per binary and categorical feature.

    Args:
        reading: probabilities as read from the decoder, shape (rows, columns): the features' dimensions in order.
        rows: the rows themselves in the same form.
        features: binary: probability above 1/2 means 1; categorical: the largest; a row whose block is all zeros (an
            unseen category) is never right.

    Returns:
        Feature name -> 0/1 per row, shape (rows,).
    """
    correct: dict[str, FloatArray] = {}
    start = 0
    for feature in features:
        block = slice(start, start + len(feature.dims))
        start = block.stop
        if feature.kind is FeatureKind.BINARY:
            hit = (reading[:, block.start] > 0.5) == (rows[:, block.start] > 0.5)
        elif feature.kind is FeatureKind.CATEGORICAL:
            known = rows[:, block].max(axis=1) > 0
            hit = (reading[:, block].argmax(axis=1) == rows[:, block].argmax(axis=1)) & known
        else:
            continue
        correct[feature.name] = hit.astype(np.float64)
    return correct


def commonest_share(rows: FloatArray, features: Sequence[Feature]) -> dict[str, float]:
    """Accuracy of always naming the commonest category, per binary and categorical feature."""
    shares: dict[str, float] = {}
    start = 0
    for feature in features:
        block = rows[:, start : start + len(feature.dims)]
        start += len(feature.dims)
        if feature.kind is FeatureKind.BINARY:
            ones = float((block[:, 0] > 0.5).mean())
            shares[feature.name] = max(ones, 1.0 - ones)
        elif feature.kind is FeatureKind.CATEGORICAL:
            shares[feature.name] = float((block > 0.5).mean(axis=0).max())
    return shares
