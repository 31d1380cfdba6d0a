"""Mutual information gap (Chen et al. 2018), on discretised means as in Locatello et al. 2019, appendix C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray

BINS = 20


@dataclass(frozen=True)
class Mig:
    """The mutual information gap and what it is made of.

    Attributes:
        value: mean over factors of ``gap``.
        gap: (I of the first latent - I of the second) / H(v) per factor, shape (factors,), each in [0, 1].
        information: I(bin of z_i; v_k) in nats, shape (factors, latents); 0 for a constant latent.
        entropy: H(v_k) in nats, shape (factors,).
        first: the latent that tells most of each factor, the lower one on a tie, shape (factors,).
        second: the one after it; -1 where there is one latent, whose rival knows nothing.
    """

    value: float
    gap: FloatArray
    information: FloatArray
    entropy: FloatArray
    first: IntArray
    second: IntArray


def mig(codes: FloatArray, factors: IntArray) -> Mig:
    """Mean over factors of (largest - second largest mutual information with a latent) / entropy of the factor.

    Args:
        codes: mu(x), shape (rows, latents).
        factors: class numbers from 0, shape (rows, factors); no factor is constant.

    Returns:
        In [0, 1], 1 where one latent tells a factor and the others nothing. Codes that are independent of the factors stay a
        little above 0: information from counts is never below 0. A factor of more than 20 values cannot reach 1.
    """
    bins = binned(codes)
    pairs = [[_information(bins[:, i], factors[:, k]) for i in range(bins.shape[1])] for k in range(factors.shape[1])]
    information = np.array(pairs)
    entropy = np.array([_entropy(np.bincount(column)) for column in factors.T])
    first, second = leading(information)
    top = np.take_along_axis(information, first[:, None], axis=1)[:, 0]
    rival = np.where(second >= 0, np.take_along_axis(information, second[:, None], axis=1)[:, 0], 0.0)
    gap = (top - rival) / entropy
    return Mig(float(gap.mean()), gap, information, entropy, first, second)


def mig_gaps(codes: FloatArray, factors: IntArray, found: Mig, weights: FloatArray) -> FloatArray:
    """The gaps under row weights, bins and the two latents of each factor those of all rows.

    Args:
        codes: as for ``mig``.
        factors: as for ``mig``.
        found: what ``mig`` gave on them.
        weights: how much each row counts, shape (resamples, rows).

    Returns:
        Shape (resamples, factors); nan where the factor is constant under the weights.
    """
    bins = binned(codes)
    gaps = np.empty((len(weights), factors.shape[1]))
    for k, (first, second) in enumerate(zip(found.first.tolist(), found.second.tolist(), strict=True)):
        label = factors[:, k]
        for place, each in enumerate(weights):
            entropy = _entropy(np.bincount(label, weights=each))
            top = _information(bins[:, first], label, each)
            rival = _information(bins[:, second], label, each) if second >= 0 else 0.0
            gaps[place, k] = (top - rival) / entropy if entropy > 0 else np.nan
    return gaps


def binned(codes: FloatArray, bins: int = BINS) -> IntArray:
    """Bins of equal width over each latent's own range, shape (rows, latents), from 0.

    A column that varies by no more than the rounding of its numbers is in one bin.
    """
    precision, found = np.finfo(np.float64), np.zeros(codes.shape, dtype=np.int64)
    for i, column in enumerate(codes.T):
        if np.ptp(column) > 4 * bins * max(precision.eps * np.abs(column).max(), precision.tiny):
            edges = np.histogram(column, bins)[1]
            found[:, i] = np.digitize(column, edges[:-1]) - 1
    return found


def leading(scores: FloatArray) -> tuple[IntArray, IntArray]:
    """The latents of the largest and second largest score of each factor, the lower one on a tie.

    Args:
        scores: shape (factors, latents).

    Returns:
        Two arrays (factors,); the second is -1 where there is one latent.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    first = order[:, 0]
    second = order[:, 1] if scores.shape[1] > 1 else np.full(len(scores), -1)
    return first.astype(np.int64), second.astype(np.int64)


def _information(bins: IntArray, label: IntArray, weights: FloatArray | None = None) -> float:
    """I = H(bin) + H(label) - H(both) in nats, not below 0."""
    width = int(label.max()) + 1
    joint = np.bincount(bins * width + label, weights=weights, minlength=(int(bins.max()) + 1) * width)
    table = joint.reshape(-1, width)
    return max(0.0, _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0)) - _entropy(joint))


def _entropy(counts: FloatArray | IntArray) -> float:
    """H of counts, in nats."""
    return float(entr(counts / counts.sum()).sum())
