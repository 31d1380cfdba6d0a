"""Reading decoder output as features, and how much a feature changed (METHOD.md section 0)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.types import Feature, FeatureKind, Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.types import FloatArray


def feature_std(x: FloatArray, features: Sequence[Feature]) -> FloatArray:
    """s_f, shape (features,): standard deviation over the rows (divisor n) of numeric features; 1 for other kinds."""
    numeric = [feature.kind is FeatureKind.NUMERIC for feature in features]
    return np.array(
        [x[:, f.dims[0]].std() if is_numeric else 1.0 for f, is_numeric in zip(features, numeric, strict=True)]
    )


@dataclass(frozen=True)
class Readout:
    """Turns decoder output into values and probabilities, and differences of those into feature changes.

    Every delta_f of METHOD.md section 0 is a weighted sum of absolute differences, so one matrix product gives all of
    them: weight 1 / s_f for a numeric feature, 1/2 for each category of a categorical one, 1 for a binary one or a pixel.

    Attributes:
        features: the F features that scores are computed on.
        dims: which output columns are read, in feature order.
        weights: shape (len(dims), features), float64.
        center: with ``scale`` undoes a standardised binary column, shape (len(dims),), float64.
        scale: see ``center``.
        dtype: of readings and of differences between them.
    """

    features: tuple[Feature, ...]
    dims: tuple[int, ...]
    weights: Tensor
    center: Tensor
    scale: Tensor
    dtype: torch.dtype

    @classmethod
    def build(
        cls,
        features: Sequence[Feature],
        std: FloatArray,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Readout:
        """Make the readout of some features.

        Args:
            features: F features.
            std: s_f, shape (features,).
            device: of the decoder's output.
            dtype: of readings and changes: the model's, as its output holds no more.
        """
        dims = tuple(dim for feature in features for dim in feature.decode.dims)
        weights = np.zeros((len(dims), len(features)))
        center, scale = np.zeros(len(dims)), np.ones(len(dims))
        start = 0
        for number, feature in enumerate(features):
            stop = start + len(feature.decode.dims)
            share = 0.5 if feature.kind is FeatureKind.CATEGORICAL else 1.0
            weights[start:stop, number] = share / std[number] if feature.kind is FeatureKind.NUMERIC else share
            center[start:stop], scale[start:stop] = feature.decode.center, feature.decode.scale
            start = stop
        exact = [torch.tensor(array, dtype=torch.float64, device=device) for array in (weights, center, scale)]
        return cls(tuple(features), dims, exact[0], exact[1], exact[2], dtype)

    def read(self, output: Tensor) -> Tensor:
        """Values and probabilities, shape (rows, len(dims)), from decoder output of shape (rows, dims)."""
        picked = _columns(output, self.dims).to(self.dtype)
        if any(feature.decode.link is not Link.IDENTITY for feature in self.features):
            picked = self._activated(picked)
        return (picked * self.scale + self.center).to(self.dtype) if self._rescales else picked

    def rows(self, x: Tensor) -> Tensor:
        """The rows themselves in the form of ``read``, float64, from model input of shape (rows, dims)."""
        dims = tuple(dim for feature in self.features for dim in feature.dims)
        return _columns(x, dims).to(torch.float64) * self.scale + self.center

    def change(self, after: Tensor, before: Tensor) -> Tensor:
        """delta_f between two readings, shape (rows, features), >= 0, float64."""
        return ((after - before).abs() @ self._weights).to(torch.float64)

    @cached_property
    def _weights(self) -> Tensor:
        return self.weights.to(self.dtype)

    @cached_property
    def _rescales(self) -> bool:
        return any(feature.decode.scale != 1.0 or feature.decode.center != 0.0 for feature in self.features)

    def _activated(self, picked: Tensor) -> Tensor:
        picked = picked.clone()
        start = 0
        for feature in self.features:
            stop = start + len(feature.decode.dims)
            if feature.decode.link is Link.SOFTMAX:
                picked[:, start:stop] = picked[:, start:stop].softmax(dim=1)
            elif feature.decode.link is Link.SIGMOID:
                picked[:, start:stop] = picked[:, start:stop].sigmoid()
            start = stop
        return picked


def _columns(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Some columns of a tensor; the tensor itself where they are all of them in order."""
    return tensor if dims == tuple(range(tensor.shape[1])) else tensor[:, list(dims)]


def effect(change: Tensor) -> Tensor:
    """E = sqrt(mean_f delta_f^2), shape (rows,), from feature changes of shape (rows, features)."""
    return change.square().mean(dim=1).sqrt()
