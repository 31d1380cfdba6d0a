"""What a training reports: losses of the latest steps, the log of its rounds, and the stop where a loss is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from circuitprobe.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.reference_models.objectives import Objective

RUNAWAY = 1e3
"""A loss so many times the first one, or 1 nat where that is smaller, is no training any more."""


@dataclass(frozen=True)
class StepLosses:
    """Means over the rows of the latest steps, in nats per row; ``total`` is the objective with its weights whole."""

    reconstruction: float
    kl: float
    regulariser: float
    total: float


@dataclass(frozen=True)
class LogEntry:
    """Means over the rows of one round of steps, in nats per row.

    Attributes:
        step: gradient steps done.
        epoch: passes over the training rows done, with fractions.
        reconstruction: -log p(x|z).
        kl: KL( q(z|x) || N(0, I) ).
        regulariser: the objective's own, before its weight; 0 where it has none.
        total: the objective with its weights whole, also during warm-up.
        validation: the same for the rows held out after the round, at the same noise each time; FactorVAE's also changes with
            its discriminator.
        validation_elbo: their reconstruction + KL, the negative ELBO, which is the same figure for every architecture.
    """

    step: int
    epoch: float
    reconstruction: float
    kl: float
    regulariser: float
    total: float
    validation: float
    validation_elbo: float


class Sums:
    """Sums of the losses over rows, kept on the device so that no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, device=device)
        self.rows = 0
        self.steps = 0

    def add(self, terms: tuple[Tensor, Tensor, Tensor], rows: int) -> None:
        """Add the means of a batch: reconstruction, KL, regulariser."""
        self.sums += torch.stack(terms).detach() * rows
        self.rows += rows
        self.steps += 1

    def losses(self, objective: Objective) -> StepLosses:
        """Means over all rows added."""
        reconstruction, kl, regulariser = (self.sums / self.rows).tolist()
        return StepLosses(reconstruction, kl, regulariser, objective.value(reconstruction, kl, regulariser))


def check_finite(value: float, what: str, step: int, first: float | None = None) -> None:
    """Stop a training that has diverged.

    Args:
        value: a loss.
        what: its name.
        step: gradient steps done.
        first: the loss that training began with.

    Raises:
        ModelError: the loss is nan or infinite, or has run away.
    """
    if math.isfinite(value) and (first is None or abs(value) <= RUNAWAY * max(abs(first), 1.0)):
        return
    began = "" if first is None or not math.isfinite(value) else f", after {first:.4g} at the start"
    raise ModelError(
        f"training diverged: the {what} is {value:.4g} at step {step:,}{began}",
        expected="a finite loss that falls",
        fix="a learning rate ten times smaller (`--lr`), a weaker regulariser, or a look at columns with extreme values",
    )
