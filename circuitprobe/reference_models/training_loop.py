"""The gradient steps: shuffled batches, KL warm-up, losses per epoch, a stop where the loss is not finite."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from circuitprobe.errors import ModelError
from circuitprobe.reference_models.objectives import elbo_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.reference_models.architectures import TableVAE
    from circuitprobe.reference_models.objectives import Objective

WARM_UP = 0.4
"""Share of the steps over which the KL weight grows from 0 to beta (Sonderby et al. 2016). Without it latents that the
decoder does not use yet are switched off early: in 2,000 steps on adult 7 were active instead of 8 at beta 1 and 4
instead of 6 at beta 2, and the validation ELBO was 0.1 and 0.4 nats lower."""

REPORT_EVERY = 10
"""Steps between two looks at the losses: often enough for a progress bar, seldom enough not to stall an accelerator."""

VALIDATION_CHUNK = 8192


@dataclass(frozen=True)
class StepLosses:
    """Means over the rows of the latest steps, in nats per row; ``total`` is reconstruction + beta KL."""

    reconstruction: float
    kl: float
    total: float


@dataclass(frozen=True)
class EpochLosses:
    """Means over the rows of one epoch, in nats per row.

    Attributes:
        epoch: counted from 1.
        reconstruction: -log p(x|z).
        kl: KL( q(z|x) || N(0, I) ).
        total: reconstruction + beta KL: the objective with beta whole, also during warm-up.
        validation: negative ELBO of the validation rows after the epoch, at the same noise each time.
    """

    epoch: int
    reconstruction: float
    kl: float
    total: float
    validation: float


class TrainingProgress(Protocol):
    """What is told while training runs."""

    def start(self, total_steps: int) -> None:
        """Training begins and takes this many steps."""

    def advance(self, steps: int, losses: StepLosses) -> None:
        """This many more steps are done; ``losses`` are their means."""

    def close(self) -> None:
        """Training has ended, by itself or by an error."""


class _Sums:
    """Sums of the losses over rows, kept on the device so that no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)
        self.rows = 0
        self.steps = 0

    def add(self, terms: tuple[Tensor, Tensor], rows: int) -> None:
        self.sums += torch.stack(terms).detach() * rows
        self.rows += rows
        self.steps += 1

    def losses(self, beta: float) -> StepLosses:
        reconstruction, kl = (self.sums / self.rows).tolist()
        return StepLosses(reconstruction, kl, reconstruction + beta * kl)


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        steps: gradient steps in all.
        batch: rows per step.
        lr: learning rate of Adam.
        seed: of row order and noise.
    """

    steps: int
    batch: int
    lr: float
    seed: int


def fit(
    model: TableVAE,
    objective: Objective,
    train_x: Tensor,
    validation_x: Tensor,
    settings: LoopSettings,
    progress: TrainingProgress | None = None,
) -> tuple[EpochLosses, ...]:
    """Train a network in place.

    Args:
        model: on the same device as the rows.
        objective: what is minimised.
        train_x: shape (rows, dims).
        validation_x: shape (validation rows, dims); no gradient comes from it.
        settings: how long and how fast.
        progress: is told of every few steps.

    Returns:
        Losses per epoch; the last epoch may be a part of one.

    Raises:
        ModelError: a loss is not finite.
    """
    if progress is not None:
        progress.start(settings.steps)
    try:
        with _one_thread():
            return _epochs(model, objective, train_x, validation_x, settings, progress)
    finally:
        if progress is not None:
            progress.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch on the CPU.

    Networks this small gain nothing from a second one, lose up to tenfold where the cores are busy, and with one thread the
    weights do not depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _epochs(
    model: TableVAE,
    objective: Objective,
    train_x: Tensor,
    validation_x: Tensor,
    settings: LoopSettings,
    progress: TrainingProgress | None,
) -> tuple[EpochLosses, ...]:
    generator = torch.Generator().manual_seed(settings.seed)
    validation_noise = _noise(len(validation_x), model.config.latents, generator, validation_x.device)
    fused = train_x.device.type in ("cpu", "cuda")
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
    warm_steps = max(1, round(WARM_UP * settings.steps))
    model.train()
    log: list[EpochLosses] = []
    done = 0
    while done < settings.steps:
        epoch, latest = _Sums(train_x.device), _Sums(train_x.device)
        order = torch.randperm(len(train_x), generator=generator).to(train_x.device)
        for index in torch.split(order, settings.batch)[: settings.steps - done]:
            x = train_x.index_select(0, index)
            terms = elbo_terms(model, x, _noise(len(x), model.config.latents, generator, x.device))
            optimiser.zero_grad()
            objective.total(terms, min(1.0, done / warm_steps)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            done += 1
            for sums in (epoch, latest):
                sums.add((terms.reconstruction, terms.kl), len(x))
            if latest.steps == REPORT_EVERY:
                latest = _report(latest, objective.beta, len(log) + 1, progress)
        if latest.steps:
            _report(latest, objective.beta, len(log) + 1, progress)
        means = epoch.losses(objective.beta)
        validation = negative_elbo(model, validation_x, validation_noise)
        _check_finite(validation, "validation loss", len(log) + 1)
        log.append(EpochLosses(len(log) + 1, means.reconstruction, means.kl, means.total, validation))
    return tuple(log)


def _noise(rows: int, latents: int, generator: torch.Generator, device: torch.device) -> Tensor:
    # Drawn on the CPU: the same seed gives the same noise on every device.
    return torch.randn(rows, latents, generator=generator).to(device)


def _report(latest: _Sums, beta: float, epoch: int, progress: TrainingProgress | None) -> _Sums:
    losses = latest.losses(beta)
    _check_finite(losses.total, "loss", epoch)
    if progress is not None:
        progress.advance(latest.steps, losses)
    return _Sums(latest.sums.device)


def _check_finite(value: float, what: str, epoch: int) -> None:
    if not math.isfinite(value):
        raise ModelError(
            f"training diverged: the {what} is {value:g} in epoch {epoch}",
            expected="a finite loss in every epoch",
            fix="a learning rate ten times smaller, a smaller beta, or a look at columns with extreme values",
        )


@torch.no_grad()
def negative_elbo(model: TableVAE, x: Tensor, noise: Tensor) -> float:
    """Reconstruction + KL at the given noise, mean over the rows, in nats.

    Args:
        model: the network.
        x: shape (rows, dims).
        noise: shape (rows, latents).
    """
    total = 0.0
    for rows, draws in zip(torch.split(x, VALIDATION_CHUNK), torch.split(noise, VALIDATION_CHUNK), strict=True):
        terms = elbo_terms(model, rows, draws)
        total += float(terms.reconstruction + terms.kl) * len(rows)
    return total / len(x)
