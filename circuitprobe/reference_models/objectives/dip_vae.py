"""DIP-VAE-II: the covariance of the aggregate posterior is drawn to the identity (Kumar et al. 2018, arXiv 1711.00848)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from circuitprobe.reference_models.objectives.objective import Objective, Strength

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.objectives.terms import Codes, Context

LAMBDA = Strength(table=5.0, image=5.0)
"""lambda_od, with lambda_d = lambda_od as in Kumar et al.'s variant II and Locatello et al. 2019, who sweep 1 to 50."""


@dataclass(frozen=True)
class DIPVAEII(Objective):
    """reconstruction + KL + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2, lambda_d = lambda_od."""

    def regulariser(self, codes: Codes, context: Context) -> Tensor:  # noqa: ARG002 - the batch says all
        """Both sums, before lambda."""
        return moment_penalty(aggregate_covariance(codes))


def dip_vae_ii(lambda_od: float) -> Objective:
    """The objective at lambda_od = lambda_d."""
    return DIPVAEII(
        "dip-vae-ii", weight=lambda_od, regulariser_name="moment penalty", strength=("lambda", lambda_od), least_batch=2
    )


def aggregate_covariance(codes: Codes) -> Tensor:
    """C = Cov_x(mu) + E_x[ diag sigma^2 ] over a batch, shape (latents, latents).

    The covariance of z under the aggregate posterior, by the law of total covariance; divisor: rows. (sigma^2 is averaged
    over rows for each latent: a single number in place of the diagonal would let one latent's variance stand in for another's.)
    """
    centred = codes.mean - codes.mean.mean(0)
    return centred.t() @ centred / len(centred) + torch.diag(codes.log_var.exp().mean(0))


def moment_penalty(covariance: Tensor) -> Tensor:
    """sum_{i != j} C_ij^2 + sum_i (C_ii - 1)^2, a scalar: the squared Frobenius distance of C to the identity."""
    return (covariance - torch.eye(len(covariance)).to(covariance)).square().sum()
