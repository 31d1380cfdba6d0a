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
    them: weight 1 / s_f for a numeric feature, 1/2 for each category of a categorical one, 1 for a binary one, 1 / pixels for
    each pixel of a patch.

    Attributes:
        features: the F features that scores are computed on.
        dims: which output columns are read, in feature order.
        weights: shape (len(dims), features), float64.
        signed: what a difference of readings is multiplied with in signed output changes (METHOD.md section 4): 1 / s_f for
            a numeric feature, 1 for a probability, 1 / sqrt(pixels) for each pixel of a patch, shape (len(dims),), float64.
        center: with ``scale`` undoes a standardised binary column or a range of pixels, shape (len(dims),), float64.
        scale: see ``center``.
        row_center: the same for the model's input, which may have another range than its output.
        row_scale: see ``row_center``.
        dtype: of readings and of differences between them.
    """

    features: tuple[Feature, ...]
    dims: tuple[int, ...]
    weights: Tensor
    signed: Tensor
    center: Tensor
    scale: Tensor
    row_center: Tensor
    row_scale: Tensor
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
        weights, signed = np.zeros((len(dims), len(features))), np.ones(len(dims))
        center, scale = np.zeros(len(dims)), np.ones(len(dims))
        row_center, row_scale = np.zeros(len(dims)), np.ones(len(dims))
        start = 0
        for number, feature in enumerate(features):
            stop = start + len(feature.decode.dims)
            weights[start:stop, number] = _share(feature) / std[number]
            signed[start:stop] = _share(feature, signed=True) / std[number]
            decode = feature.decode
            center[start:stop], scale[start:stop] = decode.center, decode.scale
            row_center[start:stop] = decode.center if decode.row_center is None else decode.row_center
            row_scale[start:stop] = decode.scale if decode.row_scale is None else decode.row_scale
            start = stop
        arrays = (weights, signed, center, scale, row_center, row_scale)
        exact = [torch.tensor(array, dtype=torch.float64, device=device) for array in arrays]
        return cls(tuple(features), dims, exact[0], exact[1], exact[2], exact[3], exact[4], exact[5], dtype)

    def read(self, output: Tensor) -> Tensor:
        """Values and probabilities, shape (rows, len(dims)), from decoder output of shape (rows, dims)."""
        picked = self._picked(output).to(self.dtype)
        if not self.is_linear:
            picked = self._activated(picked)
        return (picked * self.scale + self.center).to(self.dtype) if self._rescales else picked

    def rows(self, x: Tensor) -> Tensor:
        """The rows themselves in the form of ``read``, float64, from model input of shape (rows, dims)."""
        dims = tuple(dim for feature in self.features for dim in feature.dims)
        return _columns(x, dims).to(torch.float64) * self.row_scale + self.row_center

    def change(self, after: Tensor, before: Tensor) -> Tensor:
        """delta_f between two readings, shape (rows, features), >= 0, float64."""
        return self.weighed((after - before).abs()).to(torch.float64)

    def weighed(self, sizes: Tensor) -> Tensor:
        """delta_f, shape (rows, features), from absolute differences of readings, shape (rows, len(dims)), in their dtype."""
        if self.one_by_one:
            return sizes * self._weights.diagonal()
        if self._even is not None:
            return sizes.reshape(len(sizes), len(self.features), -1).sum(2) * self._even
        return sizes @ self._weights

    def directed(self, differences: Tensor) -> Tensor:
        """Changes with their direction: what ``weighed`` adds up, without the absolute value.

        Args:
            differences: of readings, shape (rows, len(dims)).

        Returns:
            Shape (rows, columns): one column per reading column, for images one per patch (the mean over its pixels).
        """
        return self.weighed(differences) if self.of_pixels else differences * self._of_columns

    @property
    def width(self) -> int:
        """How many columns ``directed`` gives."""
        return len(self.features) if self.of_pixels else len(self.dims)

    @cached_property
    def of_pixels(self) -> bool:
        """Whether the features are patches of an image."""
        return all(feature.kind is FeatureKind.PIXEL for feature in self.features)

    @cached_property
    def _of_columns(self) -> Tensor:
        """The one weight of each reading column, in the readings' dtype."""
        return self._weights.sum(1)

    def vectors(self, after: Tensor, before: Tensor) -> Tensor:
        """Signed standardised changes (METHOD.md sections 3 and 4), shape (rows, len(dims)), in the readings' dtype."""
        return (after - before) * self._signed

    @cached_property
    def owner(self) -> Tensor:
        """Which feature each reading column belongs to, shape (len(dims),)."""
        counts = torch.tensor([len(feature.decode.dims) for feature in self.features], device=self.weights.device)
        return torch.repeat_interleave(torch.arange(len(self.features), device=self.weights.device), counts)

    @cached_property
    def one_by_one(self) -> bool:
        """Every feature has one reading column."""
        return len(self.dims) == len(self.features)

    @cached_property
    def _even(self) -> Tensor | None:
        """The weight of each feature's columns, shape (features,), where all features have as many columns; else None.

        Sums then do without a matrix that is nearly all zeros.
        """
        if len({len(feature.decode.dims) for feature in self.features}) > 1:
            return None
        return self._weights.sum(0) * len(self.features) / len(self.dims)

    @cached_property
    def is_linear(self) -> bool:
        """A reading is the decoder's output but for a scale and an offset."""
        return all(feature.decode.link is Link.IDENTITY for feature in self.features)

    def along(self, directions: Tensor) -> Tensor:
        """What a step along some directions of the output does to the readings, shape (directions, len(dims)).

        Only where ``is_linear``.
        """
        picked = self._picked(directions).to(self.dtype)
        return (picked * self.scale).to(self.dtype) if self._rescales else picked

    def _picked(self, output: Tensor) -> Tensor:
        if self._in_order and output.shape[1] == len(self.dims):
            return output
        return output.index_select(1, self._index)

    @cached_property
    def _in_order(self) -> bool:
        return self.dims == tuple(range(len(self.dims)))

    @cached_property
    def _index(self) -> Tensor:
        return torch.tensor(self.dims, device=self.weights.device)

    @cached_property
    def _weights(self) -> Tensor:
        return self.weights.to(self.dtype)

    @cached_property
    def _signed(self) -> Tensor:
        return self.signed.to(self.dtype)

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


def _share(feature: Feature, *, signed: bool = False) -> float:
    """Weight of one reading column in delta_f, or in the signed vector."""
    if feature.kind is FeatureKind.CATEGORICAL and not signed:
        return 0.5
    if feature.kind is FeatureKind.PIXEL:
        return 1.0 / np.sqrt(len(feature.dims)) if signed else 1.0 / len(feature.dims)
    return 1.0


def _columns(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Some columns of a tensor; the tensor itself where they are all of them in order."""
    return tensor if dims == tuple(range(tensor.shape[1])) else tensor[:, list(dims)]


def effect(change: Tensor) -> Tensor:
    """E = sqrt(mean_f delta_f^2), shape (rows,), from feature changes of shape (rows, features)."""
    return change.square().mean(dim=1).sqrt()
