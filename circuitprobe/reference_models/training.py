"""Training a reference model on a table: every random draw comes from one seed, nothing is written until the end."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from circuitprobe.adapters.data import TableSchema
from circuitprobe.adapters.models import resolve_device
from circuitprobe.errors import UsageError
from circuitprobe.reference_models.architectures import ArchitectureConfig, TableVAE, blocks_of, build
from circuitprobe.reference_models.checkpoint import save_checkpoint
from circuitprobe.reference_models.objectives import objective_for
from circuitprobe.reference_models.training_loop import WARM_UP, EpochLosses, LoopSettings, fit
from circuitprobe.reference_models.training_rows import TrainingRows, read_training_rows
from circuitprobe.report.files import check_writable

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from circuitprobe.reference_models.objectives import Objective
    from circuitprobe.reference_models.training_loop import TrainingProgress
    from circuitprobe.types import TableEncoding

EPOCHS = 30
MIN_STEPS = 2000
"""Without epochs or steps a table is passed over 30 times, and a small one as often as 2,000 steps need."""

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainedModel:
    """A reference model in eval mode on the CPU, with what a checkpoint keeps of its origin.

    Attributes:
        model: the network.
        encoding: how a table becomes its inputs.
        log: losses per epoch.
        beta: weight of the KL term.
        loop: steps, batch, learning rate and seed.
        rows: rows that gradients came from.
        validation_rows: rows held out.
        source: short name of the table.
        target: the target column, no feature; None where there is none.
        ignored: other columns that are no feature.
    """

    model: TableVAE
    encoding: TableEncoding
    log: tuple[EpochLosses, ...]
    beta: float
    loop: LoopSettings
    rows: int
    validation_rows: int
    source: str
    target: str | None
    ignored: tuple[str, ...]

    def training_dict(self) -> dict[str, object]:
        """Hyperparameters and log as str, int, float, list and dict only, for a checkpoint."""
        return {
            **asdict(self.loop),
            "beta": self.beta,
            "warm_up": WARM_UP,
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "log": [asdict(entry) for entry in self.log],
        }


def train(
    source: str | Path | pd.DataFrame,
    *,
    arch: str = "vae",
    epochs: int | None = None,
    steps: int | None = None,
    beta: float | None = None,
    latents: int = 10,
    hidden: tuple[int, ...] = (128, 128),
    batch: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    target: str | None = None,
    schema: TableSchema | str | Path | None = None,
    rows: int | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    progress: TrainingProgress | None = None,
) -> TrainedModel:
    """Train a reference model on a table.

    The same arguments give the same weights bit for bit on one machine; the global random state is not touched.

    Args:
        source: a file, a data frame or a benchmark's name.
        arch: ``vae`` or ``beta-vae``.
        epochs: passes over the table; without it and ``steps``, 30 and at least 2,000 steps.
        steps: gradient steps instead of epochs.
        beta: weight of the KL term, for ``beta-vae`` only.
        latents: d.
        hidden: units of each hidden layer of the encoder; the decoder mirrors them.
        batch: rows per gradient step.
        lr: learning rate of Adam.
        seed: of every random draw.
        target: the column to keep out of the features; a benchmark knows its own.
        schema: overrides what is inferred; numeric columns are standardised unless it gives center and scale.
        rows: train on this many rows, drawn by the seed; all of them where None.
        device: ``cpu``, ``cuda`` or another device of torch; ``auto`` takes a GPU where there is one.
        out: where to save the checkpoint; nothing is written unless training ends well.
        progress: is told of every few steps.

    Raises:
        UsageError: unknown architecture or device, a beta where none applies, or a figure out of range.
        DataError: the table cannot be used.
        ModelError: the loss is not finite any more.
    """
    objective = objective_for(arch, beta)
    _check_positive(epochs=epochs, steps=steps, latents=latents, batch=batch, lr=lr, rows=rows)
    _check_choices(epochs, steps, hidden)
    place = torch.device(resolve_device(device))
    if out is not None:
        check_writable(out, [source] if isinstance(source, str | Path) else [])
    schema = TableSchema.load(schema) if isinstance(schema, str | Path) else schema
    data = read_training_rows(source, target=target, schema=schema, rows=rows, seed=seed)
    config = ArchitectureConfig(arch, latents, tuple(hidden), blocks_of(data.encoding))
    loop = LoopSettings(steps or _default_steps(len(data.x), batch, epochs), batch, lr, seed)
    trained = train_rows(data, config, objective, loop, place, progress)
    if out is not None:
        save_checkpoint(Path(out), trained)
    return trained


def train_rows(
    data: TrainingRows,
    config: ArchitectureConfig,
    objective: Objective,
    loop: LoopSettings,
    device: torch.device,
    progress: TrainingProgress | None = None,
) -> TrainedModel:
    """Train on rows that are encoded already.

    Args:
        data: the rows.
        config: the network.
        objective: what is minimised.
        loop: how long and how fast.
        device: where the steps run.
        progress: is told of every few steps.

    Raises:
        ModelError: the loss is not finite any more.
    """
    train_index, validation_index = split_rows(len(data.x), loop.seed)
    model = build(config, loop.seed).to(device)
    train_x, validation_x = data.x[train_index].to(device), data.x[validation_index].to(device)
    log = fit(model, objective, train_x, validation_x, loop, progress)
    return TrainedModel(
        model=model.cpu().eval(),
        encoding=data.encoding,
        log=log,
        beta=objective.beta,
        loop=loop,
        rows=len(train_index),
        validation_rows=len(validation_index),
        source=data.source,
        target=data.target,
        ignored=data.ignored,
    )


def split_rows(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Training and validation rows: a random tenth, at least one row, is held out.

    Args:
        rows: of the table.
        seed: of the draw.

    Returns:
        Two disjoint ascending index tensors that together hold every row once.
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    held_out = max(1, round(VALIDATION_SHARE * rows))
    return order[held_out:].sort().values, order[:held_out].sort().values


def _default_steps(rows: int, batch: int, epochs: int | None) -> int:
    training_rows = rows - max(1, round(VALIDATION_SHARE * rows))
    per_epoch = math.ceil(training_rows / batch)
    return per_epoch * (epochs or max(EPOCHS, math.ceil(MIN_STEPS / per_epoch)))


def _check_positive(**figures: float | None) -> None:
    for name, value in figures.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"{name} is {value:g}",
                expected="a positive number",
                fix=f"leave {name} out: its default is a good start",
            )


def _check_choices(epochs: int | None, steps: int | None, hidden: tuple[int, ...]) -> None:
    if epochs is not None and steps is not None:
        raise UsageError(
            f"both epochs ({epochs}) and steps ({steps}) are given",
            expected="one of the two: each says how long to train",
            fix="leave out `--epochs` or `--steps`",
        )
    if not hidden:
        raise UsageError("no hidden layer is given", expected="at least one", fix="hidden=(128, 128), the default")
    _check_positive(**{f"hidden[{i}]": units for i, units in enumerate(hidden)})
