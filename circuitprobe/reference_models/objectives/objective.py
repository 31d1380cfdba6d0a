"""What an objective is: the negative ELBO with a weighted KL term and, for some, a weighted regulariser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.objectives.terms import Codes, Context, Terms


@dataclass(frozen=True)
class Strength:
    """Default of an objective's one hyperparameter.

    Attributes:
        table: for tables.
        image: for images, from the literature.
    """

    table: float
    image: float


@dataclass(frozen=True)
class Objective:
    """reconstruction + kl_weight KL + weight regulariser, in nats per row: sums over features, means over the batch.

    Attributes:
        name: spelling of the architecture.
        kl_weight: weight of KL( q(z|x) || N(0, I) ).
        weight: weight of the regulariser.
        regulariser_name: what the regulariser measures; "" where there is none.
        strength: the hyperparameter's name and value as a user types them; None for a plain VAE.
        adversarial: a discriminator is trained beside the network, so that the objective's value moves with it: two of its
            values at different times cannot be compared.
        least_batch: rows that a batch must have for the regulariser to be defined.
    """

    name: str
    kl_weight: float = 1.0
    weight: float = 0.0
    regulariser_name: str = ""
    strength: tuple[str, float] | None = None
    adversarial: bool = False
    least_batch: int = 1

    def regulariser(self, codes: Codes, context: Context) -> Tensor:  # noqa: ARG002 - others read it
        """Its value on a batch before weighting, a scalar in nats; 0 where there is none."""
        return codes.z.new_zeros(())

    def total(self, terms: Terms, regulariser: Tensor, warm: float = 1.0) -> Tensor:
        """The loss, a scalar in nats per row; ``warm`` in [0, 1] is the share of both weights that counts in warm-up."""
        return terms.reconstruction + warm * (self.kl_weight * terms.kl + self.weight * regulariser)

    def value(self, reconstruction: float, kl: float, regulariser: float) -> float:
        """The loss with its weights whole, from means that are already numbers."""
        return reconstruction + self.kl_weight * kl + self.weight * regulariser

    @property
    def is_elbo(self) -> bool:
        """Whether it is the negative ELBO and nothing else."""
        return self.kl_weight == 1.0 and self.weight == 0.0
