"""A reference model with what a checkpoint keeps of its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from circuitprobe.reference_models.training_loop import WARM_UP, LoopSettings

if TYPE_CHECKING:
    from circuitprobe.reference_models.architectures import ReferenceVAE
    from circuitprobe.reference_models.losses import LogEntry
    from circuitprobe.reference_models.objectives import Objective
    from circuitprobe.types import TableEncoding


@dataclass(frozen=True)
class Origin:
    """What a model was trained on.

    Attributes:
        encoding: how a table becomes the network's inputs; None for images.
        source: short name of the table or the images.
        target: the target column, no feature; None where there is none.
        ignored: other columns that are no feature.
        rows: rows that gradients came from.
        validation_rows: rows held out.
        digest: a hash over the rows.
    """

    encoding: TableEncoding | None
    source: str
    target: str | None
    ignored: tuple[str, ...]
    rows: int
    validation_rows: int
    digest: str


@dataclass(frozen=True)
class Plan:
    """What decides a training, beside the rows: two trainings with equal plans and rows end with the same weights.

    Attributes:
        objective: what is minimised.
        loop: steps, batch, learning rate, seed, patience.
    """

    objective: Objective
    loop: LoopSettings

    def to_dict(self) -> dict[str, object]:
        """Hyperparameters as str, int, float only."""
        strength = self.objective.strength
        return {**asdict(self.loop), **({strength[0]: strength[1]} if strength else {}), "warm_up": WARM_UP}


@dataclass(frozen=True)
class TrainedModel:
    """A reference model in eval mode on the CPU.

    Attributes:
        model: the network, with its best weights.
        origin: what it was trained on.
        plan: how.
        log: losses per round.
        best_step: after which step the validation loss was smallest; from then the weights are.
        ended: ``steps`` when all were done, ``early`` when the validation loss had stopped improving, ``interrupted``.
    """

    model: ReferenceVAE
    origin: Origin
    plan: Plan
    log: tuple[LogEntry, ...]
    best_step: int
    ended: str

    def training_dict(self) -> dict[str, Any]:
        """Hyperparameters and log as str, int, float, list and dict only, for a checkpoint."""
        return {
            **self.plan.to_dict(),
            "rows": self.origin.rows,
            "validation_rows": self.origin.validation_rows,
            "digest": self.origin.digest,
            "best_step": self.best_step,
            "ended": self.ended,
            "log": [asdict(entry) for entry in self.log],
        }
