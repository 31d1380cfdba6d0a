"""Training a reference model on a table or on images: every random draw comes from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from circuitprobe.adapters.data import TableSchema
from circuitprobe.adapters.models import resolve_device
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.reference_models.architectures import build
from circuitprobe.reference_models.keeping import Identity, Keeper, best_of, partial_path, resumable
from circuitprobe.reference_models.objectives import Modality, objective_for
from circuitprobe.reference_models.trained import Origin, Plan, TrainedModel
from circuitprobe.reference_models.training_images import is_image_source, read_training_images, refuse_table_options
from circuitprobe.reference_models.training_loop import LoopSettings, Snapshot, Trainer, threads_of
from circuitprobe.reference_models.training_rows import read_training_rows
from circuitprobe.report.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from torch import Tensor

    from circuitprobe.reference_models.training_loop import TrainingProgress
    from circuitprobe.reference_models.training_rows import TrainingData

EPOCHS = 30
MIN_STEPS = 2000
"""Without epochs or steps a table is passed over 30 times, and a small one as often as 2,000 steps need."""

IMAGE_STEPS = 10_000
"""Without epochs or steps images get so many steps: 640,000 images at the default batch."""

HIDDEN = (128, 128)
PATIENCE = 10

VALIDATION_SHARE = 0.1
MOST_VALIDATION_IMAGES = 1024
"""A tenth of dSprites would take longer to score than a round takes to train."""


@dataclass(frozen=True)
class Rates:
    """Defaults of a modality.

    Attributes:
        batch: rows per step.
        lr: learning rate of Adam.
    """

    batch: int
    lr: float


RATES: dict[Modality, Rates] = {"table": Rates(256, 1e-3), "image": Rates(64, 5e-4)}
"""Images: the batch of Locatello et al. 2019 and the learning rate of Burgess et al. 2018; with the 1e-4 of the former a training
needs hundreds of thousands of steps."""


def train(
    source: str | Path | pd.DataFrame,
    *,
    arch: str = "vae",
    epochs: int | None = None,
    steps: int | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    lambda_od: float | None = None,
    latents: int = 10,
    hidden: tuple[int, ...] | None = None,
    batch: int | None = None,
    lr: float | None = None,
    patience: int = PATIENCE,
    seed: int = 0,
    target: str | None = None,
    schema: TableSchema | str | Path | None = None,
    ignore: str | Sequence[str] = (),
    array: str | None = None,
    rows: int | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    resume: bool = False,
    progress: TrainingProgress | None = None,
) -> TrainedModel:
    """Train a reference model on a table or on images.

    The same arguments give the same weights bit for bit on one machine, also when the training was interrupted and resumed;
    the global random state is not touched. A tenth of the rows (at most 1,024 images) is held out; the weights kept are those
    with the smallest objective on them after warm-up.

    Args:
        source: a table (CSV, Parquet), a data frame, images (.npz, .npy, .pt, a folder of pictures) or a benchmark's name.
        arch: ``vae``, ``beta-vae``, ``factor-vae``, ``beta-tcvae`` or ``dip-vae-ii``.
        epochs: passes over the rows; without it and ``steps`` 30 and at least 2,000 steps for a table, 10,000 steps for images.
        steps: gradient steps instead of epochs.
        beta: weight of the KL term of ``beta-vae``, of the total correlation of ``beta-tcvae``.
        gamma: weight of the total correlation of ``factor-vae``.
        lambda_od: weight of the moments of ``dip-vae-ii``.
        latents: d.
        hidden: units of each hidden layer of a table's encoder, default (128, 128); the decoder mirrors them.
        batch: rows per gradient step; default 256 for tables, 64 for images.
        lr: learning rate of Adam; default 1e-3 for tables, 5e-4 for images.
        patience: a round is a fortieth of the steps, at most 1,000; training stops after so many without a better validation
            loss, 0: never; FactorVAE, whose loss moves with its discriminator, does all steps.
        seed: of every random draw.
        target: the column to keep out of the features; a benchmark knows its own.
        schema: overrides what is inferred; numeric columns are standardised unless it gives center and scale.
        ignore: further columns to keep out of the features.
        array: which array of an .npz or .pt file holds the images, where several could.
        rows: train on this many rows, drawn by the seed; all of them where None (512 MiB of images from a file).
        device: ``cpu``, ``cuda`` or another device of torch; ``auto`` takes a GPU where there is one.
        out: where the checkpoint goes. Ctrl-C leaves the best so far there, a crash leaves ``OUT.partial``.
        resume: go on with what an earlier run of the same training left; begin where there is nothing.
        progress: is told of every few steps.

    Raises:
        UsageError: unknown architecture or device, a hyperparameter where none applies, or a figure out of range.
        DataError: the rows cannot be used.
        ModelError: the loss is not finite any more, or has run away.
        TrainingInterrupted: ctrl-C; a KeyboardInterrupt that says what was kept.
    """
    modality: Modality = "image" if is_image_source(source) else "table"
    objective = objective_for(arch, modality, beta=beta, gamma=gamma, lambda_od=lambda_od)
    _check_positive(epochs=epochs, steps=steps, latents=latents, batch=batch, lr=lr, rows=rows)
    _check_choices(epochs, steps, hidden, patience, batch, objective.least_batch)
    place = torch.device(resolve_device(device))
    if out is not None:
        _check_places(Path(out), source, schema)
    if resume and out is None:
        raise UsageError("resume without out", expected="the checkpoint to go on with", fix="out=..., or no resume")
    left_out = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    data = _read(source, modality, target, schema, left_out, hidden, rows, seed, array)
    rates = RATES[modality]
    batch = batch or rates.batch
    loop = LoopSettings(
        steps or default_steps(len(data), modality, batch, epochs), batch, lr or rates.lr, seed, patience
    )
    plan = Plan(objective, loop)
    return train_rows(
        data, arch, latents, hidden or HIDDEN, plan, place, Path(out) if out else None, progress, resume=resume
    )


def _check_places(out: Path, *inputs: object) -> None:
    read = [given for given in inputs if isinstance(given, str | Path)]
    for place in (out, partial_path(out)):
        check_writable(place, read)


def _read(
    source: str | Path | pd.DataFrame,
    modality: Modality,
    target: str | None,
    schema: TableSchema | str | Path | None,
    ignore: tuple[str, ...],
    hidden: tuple[int, ...] | None,
    rows: int | None,
    seed: int,
    array: str | None,
) -> TrainingData:
    if modality == "image" and isinstance(source, str | Path):
        refuse_table_options(source, target=target, schema=schema, ignore=ignore or None, hidden=hidden)
        return read_training_images(source, rows=rows, seed=seed, array=array)
    if array is not None:
        raise UsageError(
            f"--array {array} with a table", expected="a file of arrays (.npz, .pt)", fix="leave out --array"
        )
    schema = TableSchema.load(schema) if isinstance(schema, str | Path) else schema
    return read_training_rows(source, target=target, schema=schema, ignore=ignore, rows=rows, seed=seed)


def train_rows(
    data: TrainingData,
    arch: str,
    latents: int,
    hidden: tuple[int, ...],
    plan: Plan,
    device: torch.device,
    out: Path | None = None,
    progress: TrainingProgress | None = None,
    *,
    resume: bool = False,
) -> TrainedModel:
    """Train on rows that are in the model's space already.

    Args:
        data: the rows.
        arch: spelling of the architecture.
        latents: d.
        hidden: of a table's network.
        plan: objective and loop.
        device: where the steps run.
        out: where the checkpoint goes.
        progress: is told of every few steps.
        resume: go on with what is at ``out``.

    Raises:
        ModelError: the loss is not finite any more, or has run away.
        TrainingInterrupted: ctrl-C.
    """
    config = data.config(arch, latents, hidden)
    train_index, validation_index = split_rows(len(data), plan.loop.seed, data.modality)
    origin = Origin(
        data.encoding, data.source, data.target, data.ignored, len(train_index), len(validation_index), data.digest()
    )
    identity = Identity(config, plan, origin)
    left = resumable(out, identity) if resume and out is not None else None
    if isinstance(left, TrainedModel):
        return left
    keeper = Keeper(out, identity)
    with threads_of(data.modality):
        trainer = Trainer(
            build(config, plan.loop.seed).to(device), plan.objective, data.part(train_index, device),
            data.part(validation_index, device), plan.loop, data.modality,
        )  # fmt: skip
        if isinstance(left, Snapshot):
            trainer.restore(left)
            keeper.latest = left
        try:
            trainer.run(progress, keeper.after_round)
            trained = best_of(trainer.snapshot(), identity, trainer.ended)
            keeper.finished(trained)
        except KeyboardInterrupt:
            raise keeper.interrupted() from None
        except ModelError:
            keeper.discard()
            raise
    return trained


def split_rows(rows: int, seed: int, modality: Modality = "table") -> tuple[Tensor, Tensor]:
    """Training and validation rows: a random tenth, at least one row and at most 1,024 images, is held out.

    Args:
        rows: of the whole.
        seed: of the draw.
        modality: tables or images.

    Returns:
        Two disjoint ascending index tensors that together hold every row once.
    """
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    held_out = _held_out(rows, modality)
    return order[held_out:].sort().values, order[:held_out].sort().values


def _held_out(rows: int, modality: Modality) -> int:
    share = max(1, round(VALIDATION_SHARE * rows))
    return share if modality == "table" else min(share, MOST_VALIDATION_IMAGES)


def default_steps(rows: int, modality: Modality, batch: int, epochs: int | None) -> int:
    """Gradient steps of a training that is not told how many.

    Args:
        rows: of the whole, with those held out.
        modality: tables or images.
        batch: rows per step.
        epochs: passes over the rows; None for the default.
    """
    training_rows = rows - _held_out(rows, modality)
    per_epoch = training_rows // min(batch, training_rows)
    if epochs is not None:
        return per_epoch * epochs
    return IMAGE_STEPS if modality == "image" else per_epoch * max(EPOCHS, math.ceil(MIN_STEPS / per_epoch))


def _check_positive(**figures: float | None) -> None:
    for name, value in figures.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"{name} is {value:g}",
                expected="a positive number",
                fix=f"leave {name} out: its default is a good start",
            )


def _check_choices(
    epochs: int | None, steps: int | None, hidden: tuple[int, ...] | None, patience: int, batch: int | None, least: int
) -> None:
    if epochs is not None and steps is not None:
        raise UsageError(
            f"both epochs ({epochs}) and steps ({steps}) are given",
            expected="one of the two: each says how long to train",
            fix="leave out `--epochs` or `--steps`",
        )
    if patience < 0:
        raise UsageError(f"patience is {patience}", expected="rounds, or 0 for never", fix="leave out --patience")
    if batch is not None and batch < least:
        raise UsageError(
            f"batch is {batch}",
            expected=f"at least {least} rows: the objective compares the codes of a batch",
            fix="leave batch out: its default is a good start",
        )
    if hidden is None:
        return
    if not hidden:
        raise UsageError("no hidden layer is given", expected="at least one", fix="hidden=(128, 128), the default")
    _check_positive(**{f"hidden[{i}]": units for i, units in enumerate(hidden)})
