"""beta-TCVAE: KL + (beta - 1) total correlation of the aggregate posterior (Chen et al. 2018, arXiv 1802.04942)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from circuitprobe.reference_models.objectives.objective import Objective, Strength

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.objectives.terms import Codes, Context

BETA = Strength(table=3.0, image=6.0)
"""Chen et al. use 6 on dSprites, Locatello et al. 2019 sweep 1 to 10. For tables ours: at 3 every table keeps 6
active latents or more (benchmarks/REFERENCE_MODELS.md)."""


@dataclass(frozen=True)
class BetaTCVAE(Objective):
    """reconstruction + KL + (beta - 1) TC.

    The decomposition KL = I(x; z) + TC + sum_j KL( q(z_j) || p(z_j) ) with weights 1, beta, 1; the KL itself is taken in closed
    form, which has the same mean and less variance than the three sampled parts.
    """

    def regulariser(self, codes: Codes, context: Context) -> Tensor:
        """TC estimated from the batch by minibatch-stratified sampling."""
        return total_correlation(codes, context.rows)


def beta_tcvae(beta: float) -> Objective:
    """The objective at a beta; 1 is a VAE."""
    return BetaTCVAE(
        "beta-tcvae", weight=beta - 1.0, regulariser_name="total correlation", strength=("beta", beta), least_batch=2
    )


def stratified_log_weights(batch: int, rows: int) -> Tensor:
    """Log weights with which q(z_i | x_j) enters the estimate of q(z_i), row i summing to 1 (Chen et al., appendix C.2).

    With M = batch - 1: 1/N for the row that z_i came from (the diagonal), 1/M for M - 1 others, and (N - M) / (N M) for one
    more, which stands for all rows outside the batch. A batch is a random draw without replacement, so which one that is does
    not matter; here it is the next one, cyclically. (Public code that strides by the batch size puts 1/N into column 0.)

    Args:
        batch: rows of the batch, at least 2.
        rows: N, training rows, at least ``batch``.

    Returns:
        shape (batch, batch), float64.
    """
    others = batch - 1
    weights = torch.full((batch, batch), 1.0 / others, dtype=torch.float64)
    place = torch.arange(batch)
    weights[place, (place + 1) % batch] = (rows - others) / (rows * others)
    weights[place, place] = 1.0 / rows
    return weights.log()


def total_correlation(codes: Codes, rows: int) -> Tensor:
    """TC = mean_i [ log q(z_i) - sum_j log q(z_ij) ], each density estimated from the batch.

    Args:
        codes: of a batch of at least 2 rows.
        rows: N.

    Returns:
        A scalar, nats.
    """
    batch = len(codes.z)
    log_weights = stratified_log_weights(batch, rows).to(codes.z)
    # axes: latent, z of row i, posterior of row j; sums then run along memory
    z, mean, log_var = (part.t().contiguous() for part in (codes.z, codes.mean, codes.log_var))
    squared = ((z[:, :, None] - mean[:, None]) * (-0.5 * log_var).exp()[:, None]).square()
    log_density = -0.5 * squared - 0.5 * (log_var + math.log(2 * math.pi))[:, None]
    joint = (log_weights + log_density.sum(0)).logsumexp(1)
    marginals = (log_weights + log_density).logsumexp(2)
    return (joint - marginals.sum(0)).mean()
