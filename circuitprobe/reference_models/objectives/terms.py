"""The two parts of the negative ELBO that every objective shares, and what a regulariser is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitprobe.reference_models.likelihoods import kl_to_prior

if TYPE_CHECKING:
    from torch import Tensor, nn

    from circuitprobe.reference_models.architectures import ReferenceVAE


@dataclass(frozen=True)
class Codes:
    """The posterior of a batch and one draw from it.

    Attributes:
        mean: mu, shape (rows, latents).
        log_var: log sigma^2, shape (rows, latents).
        z: mean + noise * exp(log_var / 2), shape (rows, latents).
    """

    mean: Tensor
    log_var: Tensor
    z: Tensor


@dataclass(frozen=True)
class Terms:
    """Reconstruction and KL, scalars in nats per row; their sum bounds -log p(x) from above."""

    reconstruction: Tensor
    kl: Tensor


@dataclass(frozen=True)
class Context:
    """What a regulariser may need beside the codes of a batch.

    Attributes:
        rows: N, the number of training rows.
        discriminator: tells codes of the aggregate posterior from codes permuted per latent; FactorVAE's alone.
    """

    rows: int
    discriminator: nn.Module | None = None


def draw_codes(model: ReferenceVAE, x: Tensor, noise: Tensor) -> Codes:
    """The posterior of rows and z = mean + noise * exp(log_var / 2).

    Args:
        model: the network.
        x: rows in the model's space.
        noise: standard normal draws, shape (rows, latents); the caller draws them, so that a seed decides all.
    """
    mean, log_var = model.encode(x)
    return Codes(mean, log_var, mean + noise * (0.5 * log_var).exp())


def elbo_terms(model: ReferenceVAE, x: Tensor, codes: Codes) -> Terms:
    """Both terms at the codes' z: sums over features and latents, means over the rows."""
    reconstruction = model.reconstruction_nll(x, model.decode_logits(codes.z))
    return Terms(reconstruction.mean(), kl_to_prior(codes.mean, codes.log_var).sum(1).mean())
