"""Tables whose numeric columns a mixture encodes, as CTGAN's and synthcity's are: raw columns outside, scalars and modes inside.

Such a model sees a number v as the mode k of a Gaussian mixture and the scalar alpha = (v - m_k) / (4 s_k). Neither reads as the
column; the value does. So the rows of an audit are the raw columns, standardised; on the way in each value becomes its most
probable mode and its alpha, on the way out the value is the mean of the decoded distribution, sum_k p_k (m_k + 4 s_k alpha).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.types import MISSING_CATEGORY, ColumnEncoding, FeatureKind, Scaling, TableEncoding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from circuitprobe.types import FloatArray

SPREAD = 4.0
CLIP = 0.99


@dataclass(frozen=True)
class Mixture:
    """The modes of one numeric column, in raw units.

    Attributes:
        means: m_k, shape (modes,).
        stds: s_k, shape (modes,).
        weights: logarithm of the density that mode k gives its own mean, prior included, shape (modes,).
        precisions: of that density, shape (modes,).
        low: decoded values are at least this.
        high: and at most this.
    """

    means: FloatArray
    stds: FloatArray
    weights: FloatArray
    precisions: FloatArray
    low: float = -np.inf
    high: float = np.inf

    @classmethod
    def of(cls, fitted: Any, kept: FloatArray | None = None, low: float = -np.inf, high: float = np.inf) -> Mixture:  # noqa: ANN401
        """The modes of a fitted ``sklearn.mixture.BayesianGaussianMixture`` over one column.

        Args:
            fitted: the mixture.
            kept: which of its modes are used, shape (all modes,); default all.
            low: decoded values are at least this.
            high: and at most this.
        """
        means = np.asarray(fitted.means_, dtype=np.float64).reshape(-1)
        chosen = np.ones(len(means), dtype=bool) if kept is None else np.asarray(kept, dtype=bool)
        # at its own mean only the constant of a mode's log density is left
        constants = np.diag(fitted._estimate_weighted_log_prob(means[:, None]))  # noqa: SLF001 - sklearn offers only ratios
        return cls(
            means[chosen],
            np.sqrt(np.asarray(fitted.covariances_, dtype=np.float64)).reshape(-1)[chosen],
            constants[chosen],
            np.asarray(fitted.precisions_, dtype=np.float64).reshape(-1)[chosen],
            low,
            high,
        )

    @property
    def center(self) -> float:
        """Middle of the modes: what the rows of an audit subtract."""
        return float(self.means.mean())

    @property
    def scale(self) -> float:
        """Their width: what the rows of an audit divide by."""
        return float(np.sqrt(self.means.var() + (self.stds**2).mean())) or 1.0


@dataclass(frozen=True)
class MixtureColumn:
    """One raw column: a mixture for a numeric one, categories for the others."""

    name: str
    mixture: Mixture | None = None
    categories: tuple[str, ...] = ()
    fill: float | None = None

    @property
    def encoding(self) -> ColumnEncoding:
        """How the column reads in the rows of an audit."""
        if self.mixture is None:
            return ColumnEncoding(self.name, FeatureKind.CATEGORICAL, self.categories)
        center, scale = self.mixture.center, self.mixture.scale
        return ColumnEncoding(self.name, FeatureKind.NUMERIC, center=center, scale=scale, fill=self.fill)


def category_names(values: Iterable[Any]) -> tuple[str, ...]:
    """Categories as tables spell them: numbers without needless decimals, a missing one by its name."""
    named = []
    for value in values:
        if value is None or value != value:
            named.append(MISSING_CATEGORY)
        elif isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
            named.append(number_label(float(value)))
        else:
            named.append(str(value))
    return tuple(named)


@dataclass(frozen=True)
class MixtureTable:
    """A table as such a model sees it, and as an audit does.

    Attributes:
        columns: the raw columns in the model's order.
    """

    columns: tuple[MixtureColumn, ...]

    @property
    def encoding(self) -> TableEncoding:
        """The rows of an audit: one dimension per numeric column, one per category of the others."""
        return TableEncoding(
            tuple(column.encoding for column in self.columns), Scaling.MODEL, "the model's own columns"
        )

    def to_model(self, x: Tensor) -> Tensor:
        """What the model's encoder takes, from rows of an audit (rows, dims)."""
        parts, start = [], 0
        for column in self.columns:
            width = column.encoding.width
            block = x[:, start : start + width]
            start += width
            parts.append(block if column.mixture is None else _inward(column.mixture, block))
        return torch.cat(parts, 1)

    def to_rows(self, output: Tensor) -> Tensor:
        """Rows of an audit from what the model's decoder gives before tanh and softmax, shape (rows, the model's dims)."""
        parts, start = [], 0
        for column in self.columns:
            width = len(column.categories) if column.mixture is None else 1 + len(column.mixture.means)
            block = output[:, start : start + width]
            start += width
            if column.mixture is not None:
                parts.append(_outward(column.mixture, block))
            else:
                parts.append(block.softmax(1))
        return torch.cat(parts, 1)


def _inward(mixture: Mixture, x: Tensor) -> Tensor:
    """(alpha, one-hot mode), shape (rows, 1 + modes), of standardised values (rows, 1)."""
    means, stds = _standardised(mixture, x)
    precisions = _like(mixture.precisions * mixture.scale**2, x)
    mode = (_like(mixture.weights, x) - 0.5 * precisions * (x - means) ** 2).argmax(1)
    alpha = ((x[:, 0] - means[mode]) / (SPREAD * stds[mode])).clamp(-CLIP, CLIP)
    return torch.cat([alpha[:, None], torch.nn.functional.one_hot(mode, len(means)).to(x.dtype)], 1)


def _outward(mixture: Mixture, block: Tensor) -> Tensor:
    """Standardised values (rows, 1) from alpha and modes before their activations, shape (rows, 1 + modes)."""
    means, stds = _standardised(mixture, block)
    alpha, modes = block[:, :1].tanh(), block[:, 1:].softmax(1)
    values = (means + SPREAD * stds * alpha).clamp(
        (mixture.low - mixture.center) / mixture.scale, (mixture.high - mixture.center) / mixture.scale
    )
    return (modes * values).sum(1, keepdim=True)


def _standardised(mixture: Mixture, x: Tensor) -> tuple[Tensor, Tensor]:
    return _like((mixture.means - mixture.center) / mixture.scale, x), _like(mixture.stds / mixture.scale, x)


def _like(values: FloatArray, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=x.dtype, device=x.device)
