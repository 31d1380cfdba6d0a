"""Synthetic tables whose columns follow from two independent factors."""

from __future__ import annotations

import numpy as np
import torch

from circuitprobe.reference_models.training_rows import TrainingRows
from circuitprobe.types import ColumnEncoding, FeatureKind, Scaling, TableEncoding

MIXED = TableEncoding(
    (
        ColumnEncoding("a", FeatureKind.NUMERIC, center=1.5, scale=2.0),
        ColumnEncoding("color", FeatureKind.CATEGORICAL, ("blue", "green", "red")),
        ColumnEncoding("flag", FeatureKind.BINARY, ("no", "yes")),
        ColumnEncoding("b", FeatureKind.NUMERIC, fill=0.5),
        ColumnEncoding("size", FeatureKind.CATEGORICAL, ("large", "small")),
    ),
    Scaling.STANDARD,
)
"""Dimensions: a 0, color 1-3, flag 4, b 5, size 6-7."""


def mixed_rows(rows: int = 300, seed: int = 0) -> TrainingRows:
    """``a``, ``color`` and ``flag`` follow the first factor, ``b`` and ``size`` the second."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows))
    x = np.zeros((rows, MIXED.width))
    x[:, 0] = first
    x[np.arange(rows), 1 + np.digitize(first, [-0.5, 0.5])] = 1.0
    x[:, 4] = first > 0
    x[:, 5] = second
    x[np.arange(rows), 6 + (second > 0)] = 1.0
    return TrainingRows(torch.tensor(x, dtype=torch.float32), MIXED, "mixed", None, ())


def two_factor_rows(rows: int = 1000, seed: int = 0) -> TrainingRows:
    """Six standardised numeric columns, three per factor, each with a noise of standard deviation 0.1."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, 2))
    x = np.repeat(factors, 3, axis=1) + 0.1 * rng.normal(size=(rows, 6))
    x = (x - x.mean(0)) / x.std(0)
    columns = tuple(ColumnEncoding(f"x{i}", FeatureKind.NUMERIC) for i in range(6))
    return TrainingRows(
        torch.tensor(x, dtype=torch.float32), TableEncoding(columns, Scaling.STANDARD), "two factors", None, ()
    )
