"""The gradient steps: shuffled batches, warm-up, rounds with a look at the rows held out, early stopping, the best weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.reference_models.losses import LogEntry, StepLosses, Sums, check_finite
from circuitprobe.reference_models.objectives import Context, draw_codes, elbo_terms
from circuitprobe.reference_models.objectives.factor_vae import (
    HIDDEN_IMAGE,
    HIDDEN_TABLE,
    LEARNING_RATE,
    MOMENTS,
    discriminator,
    discriminator_loss,
    permutations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.reference_models.architectures import ReferenceVAE
    from circuitprobe.reference_models.objectives import Modality, Objective
    from circuitprobe.reference_models.training_rows import TrainingPart

WARM_UP = 0.4
"""Share of the steps over which the weights of KL and regulariser grow from 0 (Sonderby et al. 2016). Without it latents that
the decoder does not use yet are switched off early: in 2,000 steps on adult 7 were active instead of 8 at beta 1 and 4
instead of 6 at beta 2, and the validation ELBO was 0.1 and 0.4 nats lower."""

REPORT_EVERY = 10
"""Steps between two looks at the losses: often enough for a progress bar, seldom enough not to stall an accelerator."""

ROUNDS, LONGEST_ROUND = 40, 1000
"""A round is a fortieth of the steps, at most 1,000: after each the rows held out are scored and a training can be gone on with."""

STATE = frozenset({"step", "first", "model", "optimiser", "noise"})
"""What a snapshot's state holds whatever the objective."""

ORDER, SECOND_ORDER, NOISE, VALIDATION, ADVERSARY = range(5)
"""Streams of random numbers, each drawn from (seed, stream, epoch)."""


class TrainingProgress(Protocol):
    """What is told while training runs."""

    def start(self, total_steps: int, done: int = 0, batch: int = 1) -> None:
        """Training begins or goes on, and takes this many steps in all, of ``batch`` rows each."""

    def advance(self, steps: int, losses: StepLosses) -> None:
        """This many more steps are done; ``losses`` are their means."""

    def close(self) -> None:
        """Training has ended, by itself or by an error."""


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast.

    Attributes:
        steps: gradient steps at most.
        batch: rows per step.
        lr: learning rate of Adam.
        seed: of row order and noise.
        patience: rounds without a better validation loss after which training stops; 0 for never.
    """

    steps: int
    batch: int
    lr: float
    seed: int
    patience: int = 0


@dataclass(frozen=True)
class Snapshot:
    """Everything that a training needs to go on, as it was after a round.

    Attributes:
        state: tensors, numbers, lists and dictionaries only; what ``Trainer.restore`` takes.
        best: the weights with the smallest validation loss.
        best_step: when that was.
        log: one entry per round.
    """

    state: dict[str, Any]
    best: dict[str, Tensor]
    best_step: int
    log: tuple[LogEntry, ...]


class Trainer:
    """Trains a network in place, round by round.

    Args:
        model: on the device of the parts.
        objective: what is minimised.
        train: rows that gradients come from.
        validation: rows held out.
        settings: how long and how fast.
        modality: decides how large a discriminator is.
    """

    def __init__(
        self,
        model: ReferenceVAE,
        objective: Objective,
        train: TrainingPart,
        validation: TrainingPart,
        settings: LoopSettings,
        modality: Modality = "table",
    ) -> None:
        # Channels last: a tenth to a third faster on a CPU, and the layout that tensor cores want.
        self.layout = torch.channels_last if modality == "image" else torch.contiguous_format
        self.model = model.to(memory_format=torch.channels_last) if modality == "image" else model  # type: ignore[call-overload]
        self.objective, self.settings = objective, settings
        self.train, self.validation = train, validation
        self.device = next(model.parameters()).device
        self.latents = model.config.latents
        self.batch = min(settings.batch, len(train))
        self.per_epoch = len(train) // self.batch
        self.round_steps = min(max(1, settings.steps // ROUNDS), LONGEST_ROUND)
        self.warm_steps = max(1, round(WARM_UP * settings.steps))
        fused = self.device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=fused)
        self.adversary: nn.Module | None = None
        self.adversary_optimiser: torch.optim.Adam | None = None
        if objective.adversarial:
            hidden = HIDDEN_TABLE if modality == "table" else HIDDEN_IMAGE
            seed = int(_seed(settings.seed, ADVERSARY))
            self.adversary = discriminator(self.latents, hidden, seed).to(self.device)
            self.adversary_optimiser = torch.optim.Adam(
                self.adversary.parameters(), lr=LEARNING_RATE, betas=MOMENTS, fused=fused
            )
        self.noise = _generator(settings.seed, NOISE)
        self.step = 0
        self.log: list[LogEntry] = []
        self.best: dict[str, Tensor] = {}
        self.best_step = 0
        self.first: float | None = None
        self._orders: dict[int, tuple[int, Tensor]] = {}

    @property
    def context(self) -> Context:
        """What the regulariser may need."""
        return Context(len(self.train), self.adversary)

    @property
    def ended(self) -> str:
        """``steps`` when all are done, ``early`` when the validation loss has not improved for long enough, else ""."""
        if self.step >= self.settings.steps:
            return "steps"
        worse = sum(entry.step > self.best_step for entry in self.log)
        return "early" if self.settings.patience and worse >= self.settings.patience else ""

    def run(
        self, progress: TrainingProgress | None = None, after_round: Callable[[Trainer], None] | None = None
    ) -> None:
        """Train to the end; the model then has the best weights.

        Args:
            progress: is told of every few steps.
            after_round: called after each round.

        Raises:
            ModelError: a loss is not finite, or has run away.
        """
        if progress is not None:
            progress.start(self.settings.steps, self.step, self.batch)
        try:
            self.model.train()
            while not self.ended:
                self._round(progress)
                if after_round is not None:
                    after_round(self)
            self.model.load_state_dict(self.best)
        finally:
            if progress is not None:
                progress.close()

    def snapshot(self) -> Snapshot:
        """A copy of everything, for ``restore``."""
        state: dict[str, Any] = {
            "step": self.step,
            "first": self.first,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "noise": self.noise.get_state(),
        }
        if self.adversary is not None and self.adversary_optimiser is not None:
            state["discriminator"] = self.adversary.state_dict()
            state["discriminator_optimiser"] = self.adversary_optimiser.state_dict()
        return Snapshot(_on_cpu(state), dict(self.best), self.best_step, tuple(self.log))

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of the same training: the end is the same as without the pause."""
        state = snapshot.state
        self.model.load_state_dict(state["model"])
        _load_optimiser(self.optimiser, state["optimiser"])
        self.noise.set_state(state["noise"])
        if self.adversary is not None and self.adversary_optimiser is not None:
            self.adversary.load_state_dict(state["discriminator"])
            _load_optimiser(self.adversary_optimiser, state["discriminator_optimiser"])
        self.step, self.first = state["step"], state["first"]
        self.log, self.best, self.best_step = list(snapshot.log), dict(snapshot.best), snapshot.best_step

    def _round(self, progress: TrainingProgress | None) -> None:
        end = min(self.step + self.round_steps, self.settings.steps)
        whole, latest = Sums(self.device), Sums(self.device)
        while self.step < end:
            terms = self._gradient_step()
            for sums in (whole, latest):
                sums.add(terms, self.batch)
            if latest.steps == REPORT_EVERY or self.step == end:
                losses = latest.losses(self.objective)
                check_finite(losses.total, "loss", self.step, self.first)
                self.first = losses.total if self.first is None else self.first
                if progress is not None:
                    progress.advance(latest.steps, losses)
                latest = Sums(self.device)
        means, held_out = whole.losses(self.objective), self._validation_losses()
        check_finite(held_out.total, "validation loss", self.step)
        elbo = held_out.reconstruction + held_out.kl
        self.log.append(
            LogEntry(
                self.step, self.step / self.per_epoch, **asdict(means), validation=held_out.total, validation_elbo=elbo
            )
        )
        self._keep_best()

    def _keep_best(self) -> None:
        """The latest weights while the objective still changes, then those with the smallest validation loss.

        FactorVAE's objective changes as long as its discriminator learns: at first the total correlation is underestimated, and the
        smallest loss would be an early one.
        """
        since = [entry for entry in self.log if entry.step >= self.warm_steps]
        if self.objective.adversarial or not since or since[-1].validation <= min(entry.validation for entry in since):
            self.best = _on_cpu(dict(self.model.state_dict()))
            self.best_step = self.step

    def _gradient_step(self) -> tuple[Tensor, Tensor, Tensor]:
        x = self._take(ORDER)
        codes = draw_codes(self.model, x, self._draw_noise(len(x)))
        terms = elbo_terms(self.model, x, codes)
        regulariser = self.objective.regulariser(codes, self.context)
        self.optimiser.zero_grad()
        warm = min(1.0, self.step / self.warm_steps)
        self.objective.total(terms, regulariser, warm).backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        if self.adversary is not None and self.adversary_optimiser is not None:
            with torch.no_grad():
                second = self._take(SECOND_ORDER)
                other = draw_codes(self.model, second, self._draw_noise(len(second))).z
            order = permutations(len(second), self.latents, self.noise).to(self.device)
            self.adversary_optimiser.zero_grad()
            discriminator_loss(self.adversary, codes.z, other, order).backward()  # type: ignore[no-untyped-call]
            self.adversary_optimiser.step()
        self.step += 1
        return terms.reconstruction, terms.kl, regulariser

    def _take(self, stream: int) -> Tensor:
        epoch, place = divmod(self.step, self.per_epoch)
        if self._orders.get(stream, (-1, None))[0] != epoch:
            generator = _generator(self.settings.seed, stream, epoch)
            self._orders[stream] = epoch, torch.randperm(len(self.train), generator=generator)
        index = self._orders[stream][1][place * self.batch : (place + 1) * self.batch]
        return self.train.take(index).contiguous(memory_format=self.layout)

    def _draw_noise(self, rows: int) -> Tensor:
        # Drawn on the CPU: the same seed gives the same noise on every device.
        return torch.randn(rows, self.latents, generator=self.noise).to(self.device)

    @torch.no_grad()
    def _validation_losses(self) -> StepLosses:
        """The objective on the rows held out, in batches of about the training's: a regulariser depends on their size."""
        generator, sums = _generator(self.settings.seed, VALIDATION), Sums(self.device)
        rows = torch.arange(len(self.validation))
        for index in rows.tensor_split(max(1, len(rows) // self.batch)):
            x = self.validation.take(index).contiguous(memory_format=self.layout)
            codes = draw_codes(self.model, x, torch.randn(len(x), self.latents, generator=generator).to(self.device))
            terms = elbo_terms(self.model, x, codes)
            sums.add((terms.reconstruction, terms.kl, self.objective.regulariser(codes, self.context)), len(x))
        return sums.losses(self.objective)


def _seed(seed: int, stream: int, epoch: int = 0) -> int:
    return int(np.random.SeedSequence([seed, stream, epoch]).generate_state(1, np.uint64)[0] >> 1)


def _generator(seed: int, stream: int, epoch: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(seed, stream, epoch))


def _load_optimiser(optimiser: torch.optim.Adam, state: dict[str, Any]) -> None:
    """Load moments in the memory layout of their parameters: the fused steps pair them by place in memory.

    A copy is loaded: the optimiser keeps some tensors that it is given, and counts steps in them in place.
    """
    optimiser.load_state_dict(copy.deepcopy(state))
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def _on_cpu(value: Any) -> Any:  # noqa: ANN401 - a tree of dictionaries and lists
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return copy.copy(value)


@contextmanager
def threads_of(modality: Modality) -> Iterator[None]:
    """One thread for torch on the CPU where tables are trained on; images take what torch takes.

    Networks as small as those of tables gain nothing from a second thread, lose up to tenfold where the cores are busy, and with
    one thread the weights do not depend on how many cores there are.
    """
    threads = torch.get_num_threads()
    if modality == "table":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
