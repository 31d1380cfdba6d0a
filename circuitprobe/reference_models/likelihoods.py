"""Negative log-likelihoods of mixed columns and of pixels, and the KL divergence to the prior, in nats.

Sums over features and latents; every function keeps the rows apart.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.heads import MixedHeads


def gaussian_nll(x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """-log N(x; mean, exp(log_var)) summed over columns.

    Args:
        x: shape (rows, columns).
        mean: shape (rows, columns).
        log_var: shape (columns,).

    Returns:
        shape (rows,), nats.
    """
    squared = (x - mean).square() * (-log_var).exp()
    return 0.5 * (squared + log_var + math.log(2 * math.pi)).sum(1)


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    """-log Bernoulli(x; sigmoid(logits)) summed over columns; shapes (rows, columns) to (rows,), nats."""
    return (softplus(logits) - x * logits).sum(1)


def categorical_nll(x: Tensor, logits: Tensor, heads: MixedHeads) -> Tensor:
    """-log softmax(logits) of the observed categories, summed over blocks.

    A block of zeros, a value that the encoding does not know, counts 0.

    Args:
        x: one-hot blocks, shape (rows, categorical dims).
        logits: same shape.
        heads: knows the blocks.

    Returns:
        shape (rows,), nats.
    """
    observed = x @ heads.membership if heads.widths else x.new_zeros(x.shape[0], 1)
    return (observed * heads.log_normalisers(logits)).sum(1) - (x * logits).sum(1)


def kl_to_prior(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL( N(mean, exp(log_var)) || N(0, 1) ) = (mean^2 + exp(log_var) - log_var - 1) / 2 of each latent.

    Shapes (rows, latents) to (rows, latents), nats, at least 0.
    """
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1)
