"""Reconstruction from the baseline run to estimates (METHOD.md section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitprobe.interventions.baseline import to_numpy
from circuitprobe.metrics.reconstruction import baseline_reading, commonest_share, correct_category
from circuitprobe.report.model import FeatureReconstruction, Reconstruction
from circuitprobe.stats.bootstrap import estimate
from circuitprobe.types import Estimate, FeatureKind

if TYPE_CHECKING:
    from circuitprobe.levels.setting import LevelSetting
    from circuitprobe.probe import Readout
    from circuitprobe.types import FloatArray


def squared_errors(readout: Readout, reading: torch.Tensor, rows: torch.Tensor) -> tuple[FloatArray, FloatArray]:
    """delta_f^2 of the reconstruction and of predicting each column's mean or frequencies, each (rows, features)."""
    weights, target = to_numpy(readout.weights), to_numpy(rows)
    errors = (np.abs(to_numpy(reading) - target) @ weights) ** 2
    return errors, (np.abs(baseline_reading(target) - target) @ weights) ** 2


def reconstruction_level(setting: LevelSetting) -> tuple[Reconstruction, FloatArray]:
    """MSE over all features and per feature, R^2 of numeric ones, accuracy of the others, each with its interval.

    R^2 = 1 - mean delta_f^2, because delta_f counts in standard deviations of the column over the same rows.

    Returns:
        The figures, and the MSE on each resample.
    """
    errors, constant_errors = squared_errors(setting.readout, setting.base.reading, setting.base.rows)
    resampler, n = setting.resampler, setting.n
    resampled = resampler.means(errors)
    null = constant_errors.mean(axis=0)
    rows = to_numpy(setting.base.rows)
    correct = correct_category(to_numpy(setting.base.reading), rows, setting.data.features)
    commonest = commonest_share(rows, setting.data.features)

    def accuracy(name: str) -> Estimate | None:
        if name not in correct:
            return None
        return estimate(float(correct[name].mean()), resampler.means(correct[name]), n, null=commonest[name])

    features = {
        feature.name: FeatureReconstruction(
            mse=estimate(float(errors[:, f].mean()), resampled[:, f], n, null=float(null[f])),
            r2=estimate(1.0 - float(errors[:, f].mean()), 1.0 - resampled[:, f], n)
            if feature.kind is FeatureKind.NUMERIC
            else None,
            accuracy=accuracy(feature.name),
        )
        for f, feature in enumerate(setting.data.features)
    }
    overall, overall_resampled = float(errors.mean()), np.asarray(resampled.mean(axis=1))
    found = Reconstruction(
        mse=estimate(overall, overall_resampled, n, null=float(null.mean())),
        reconstructs=overall < float(null.mean()),
        features=features,
    )
    return found, overall_resampled
