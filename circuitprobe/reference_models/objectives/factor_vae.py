"""FactorVAE: the total correlation by a discriminator (Kim and Mnih 2018, arXiv 1802.05983)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from circuitprobe.reference_models.objectives.objective import Objective, Strength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from circuitprobe.reference_models.objectives.terms import Codes, Context

GAMMA = Strength(table=5.0, image=35.0)
"""Kim and Mnih use 35 on dSprites, Locatello et al. 2019 sweep 10 to 100. For tables ours: at 5 every table keeps as
many active latents as with a VAE (benchmarks/REFERENCE_MODELS.md)."""

HIDDEN_IMAGE = (1000,) * 5
"""Six layers of 1,000 units, leaky ReLU of slope 0.2 (Kim and Mnih, appendix A)."""
HIDDEN_TABLE = (128, 128)
"""As wide as the encoder of a table: six layers of 1,000 would take thirty times the arithmetic of the VAE itself."""

SLOPE = 0.2
LEARNING_RATE, MOMENTS = 1e-4, (0.5, 0.9)
"""Of the discriminator's Adam (Kim and Mnih, appendix A)."""

FROM_AGGREGATE, PERMUTED = 0, 1


@dataclass(frozen=True)
class FactorVAE(Objective):
    """reconstruction + KL + gamma TC, TC = mean over rows of D_0(z) - D_1(z), D the logits of the discriminator.

    The optimal discriminator's difference of logits is log q(z) / prod_j q(z_j), the density ratio whose mean is TC.
    """

    def regulariser(self, codes: Codes, context: Context) -> Tensor:
        """TC as the discriminator sees it; its own weights get no gradient from here."""
        if context.discriminator is None:
            raise ValueError("the regulariser of FactorVAE needs a discriminator")
        return estimated_total_correlation(context.discriminator, codes.z)


def factor_vae(gamma: float) -> Objective:
    """The objective at a gamma."""
    return FactorVAE(
        "factor-vae",
        weight=gamma,
        regulariser_name="total correlation",
        strength=("gamma", gamma),
        adversarial=True,
        least_batch=2,
    )


def discriminator(latents: int, hidden: Sequence[int], seed: int) -> nn.Sequential:
    """An untrained discriminator: codes (rows, latents) to logits (rows, 2), column 0 for the aggregate posterior.

    Args:
        latents: d.
        hidden: units of each hidden layer.
        seed: of its weights; the global random state stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((latents, *hidden)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
        return nn.Sequential(*layers, nn.Linear(hidden[-1], 2))


def estimated_total_correlation(network: nn.Module, z: Tensor) -> Tensor:
    """Mean over rows of D_0(z) - D_1(z), a scalar in nats; gradients reach z and not the discriminator's weights."""
    frozen = {name: parameter.detach() for name, parameter in network.named_parameters()}
    logits: Tensor = torch.func.functional_call(network, frozen, (z,))
    return (logits[:, FROM_AGGREGATE] - logits[:, PERMUTED]).mean()


def discriminator_loss(network: nn.Module, z: Tensor, other: Tensor, order: Tensor) -> Tensor:
    """Cross-entropy of telling codes from permuted ones, half from each, a scalar in nats.

    Args:
        network: the discriminator.
        z: codes of one batch, shape (rows, latents); the encoder gets no gradient from here.
        other: codes of a second, independent batch, shape (rows, latents).
        order: ``permutations``: one permutation of the second batch's rows per latent, shape (rows, latents).
    """
    permuted = other.detach().gather(0, order)
    real = network(z.detach())
    false = network(permuted)
    ours, theirs = (
        logits.new_full((len(logits),), label, dtype=torch.long)
        for logits, label in ((real, FROM_AGGREGATE), (false, PERMUTED))
    )
    return 0.5 * (cross_entropy(real, ours) + cross_entropy(false, theirs))


def permutations(rows: int, latents: int, generator: torch.Generator) -> Tensor:
    """An independent permutation of the rows for each latent, shape (rows, latents)."""
    return torch.stack([torch.randperm(rows, generator=generator) for _ in range(latents)], 1)
