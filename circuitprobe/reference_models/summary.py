"""What a finished training says, and the command that comes next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from circuitprobe.reference_models.config import ImageConfig

if TYPE_CHECKING:
    from circuitprobe.reference_models.config import Config
    from circuitprobe.reference_models.trained import TrainedModel


def training_summary(trained: TrainedModel, data: str, out: str, pace: str = "", array: str | None = None) -> str:
    """What was trained, how well it ended, how fast where ``pace`` says so, what to type next: a line each."""
    origin, config = trained.origin, trained.model.config
    options = f" --target {shlex.quote(origin.target)}" if origin.target else ""
    options += f" --array {shlex.quote(array)}" if array else ""
    left = dict.fromkeys(name for name in (*origin.ignored, origin.target) if name and origin.encoding is not None)
    what = f"{len(origin.encoding.columns)} columns" if origin.encoding else _size(config)
    return "\n".join(
        (
            f"{out}: {config.name} of {config.latents} latent{'s' if config.latents > 1 else ''}, trained on "
            f"{origin.rows:,} rows of {origin.source}, {what}" + (f", without {', '.join(left)}" if left else ""),
            _course(trained),
            *((pace,) if pace else ("nothing was left to do: the training had ended",)),
            f"next: circuitprobe audit {_typed(out)} {_typed(data)}{options}",
        )
    )


def _typed(path: str) -> str:
    """A path as it is typed: one that begins with a hyphen would be taken for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _course(trained: TrainedModel) -> str:
    by_step = {entry.step: entry for entry in trained.log}
    first, best = trained.log[0], by_step[trained.best_step]
    early = f"; stopped early at step {trained.log[-1].step:,}" if trained.ended == "early" else ""
    measure = "negative ELBO" if trained.plan.objective.is_elbo else "objective"
    return (
        f"validation loss {first.validation:.2f} after step {first.step:,}, {best.validation:.2f} after step {best.step:,}, whose "
        f"weights were kept ({measure}, nats per row; {trained.origin.validation_rows:,} rows held out{early})"
    )


def _size(config: Config) -> str:
    if not isinstance(config, ImageConfig):
        return ""
    channels, height, width = config.shape
    return f"{height} x {width} pixels" + (f" of {channels} channels" if channels > 1 else "")
