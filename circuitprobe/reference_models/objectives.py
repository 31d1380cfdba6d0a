"""What the reference models minimise: negative log-likelihood of mixed columns plus KL divergence, in nats.

Convention: sums over features and latents, mean over the rows of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from torch.nn.functional import softplus

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.architectures import MixedHeads, TableVAE

DEFAULT_BETAS = {"vae": 1.0, "beta-vae": 2.0}
"""beta by architecture. Higgins et al. (2017, "beta-VAE", ICLR) use 4 on 2D shapes and up to 250 on large images, where
one latent moves hundreds of pixels. A table has few columns per latent: with learned variances and warm-up 4 leaves
german_credit without an active latent, 2 leaves at least 5 on each of the four benchmark tables."""


@dataclass(frozen=True)
class Terms:
    """The two parts of the negative ELBO, scalars in nats per row; their sum bounds -log p(x) from above."""

    reconstruction: Tensor
    kl: Tensor


@dataclass(frozen=True)
class Objective:
    """reconstruction + beta KL.

    Attributes:
        name: spelling of the architecture.
        beta: weight of the KL term; 1 gives the negative ELBO.
    """

    name: str
    beta: float

    def total(self, terms: Terms, warm: float = 1.0) -> Tensor:
        """The loss, a scalar in nats per row; ``warm`` in [0, 1] is the share of beta that counts during warm-up."""
        return terms.reconstruction + warm * self.beta * terms.kl


def objective_for(arch: str, beta: float | None = None) -> Objective:
    """The objective of an architecture.

    Args:
        arch: ``vae`` or ``beta-vae``.
        beta: weight of the KL term, ``beta-vae`` only; its default is 2.

    Raises:
        UsageError: unknown architecture, a beta where none applies, or one that is not a positive number.
    """
    names = ", ".join(DEFAULT_BETAS)
    if arch not in DEFAULT_BETAS:
        close = get_close_matches(arch.lower().replace("_", "-"), DEFAULT_BETAS, n=1, cutoff=0.5)
        fix = f"did you mean `--arch {close[0]}`?" if close else "choose one of them with `--arch`"
        raise UsageError(f"unknown architecture {arch!r}", expected=f"one of {names}", fix=fix)
    if beta is None:
        return Objective(arch, DEFAULT_BETAS[arch])
    if arch != "beta-vae":
        raise UsageError(
            f"beta {beta:g} was given for the architecture {arch}",
            expected="no beta: a vae has beta 1 by definition",
            fix=f"`--arch beta-vae --beta {beta:g}`, or leave --beta out",
        )
    if not (math.isfinite(beta) and beta > 0):
        raise UsageError(
            f"beta is {beta:g}",
            expected="a positive number; 1 is a plain VAE",
            fix=f"`--beta {DEFAULT_BETAS['beta-vae']:g}`, or leave --beta out",
        )
    return Objective(arch, float(beta))


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


def reconstruction_nll(model: TableVAE, x: Tensor, logits: Tensor) -> Tensor:
    """-log p(x|z) over all columns, shape (rows,), nats; ``logits`` are the decoder's output columns (rows, dims)."""
    heads = model.heads
    numeric, binary, categorical = heads.numeric, heads.binary, heads.categorical
    return (
        gaussian_nll(x.index_select(1, numeric), logits.index_select(1, numeric), model.numeric_log_var)
        + bernoulli_nll(x.index_select(1, binary), logits.index_select(1, binary))
        + categorical_nll(x.index_select(1, categorical), logits.index_select(1, categorical), heads)
    )


def elbo_terms(model: TableVAE, x: Tensor, noise: Tensor) -> Terms:
    """Both terms at z = mean + noise * exp(log_var / 2), means over the rows.

    Args:
        model: the network.
        x: rows in the model's space, shape (rows, dims).
        noise: standard normal draws, shape (rows, latents); the caller draws them, so that a seed decides all.
    """
    mean, log_var = model.encode(x)
    logits = model.decode_logits(mean + noise * (0.5 * log_var).exp())
    return Terms(reconstruction_nll(model, x, logits).mean(), kl_to_prior(mean, log_var).sum(1).mean())
