"""What a finished training says, and the command that comes next."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitprobe.reference_models.training import TrainedModel


def training_summary(trained: TrainedModel, data: str, out: str) -> str:
    """Three lines: what was trained, how well it ended, what to type next."""
    first, last = trained.log[0], trained.log[-1]
    config = trained.model.config
    target = f" --target {shlex.quote(trained.target)}" if trained.target else ""
    left = [name for name in (*trained.ignored, trained.target) if name]
    return "\n".join(
        (
            f"{out}: {config.name} of {config.latents} latents, trained on {trained.rows:,} rows of {trained.source}, "
            f"{len(trained.encoding.columns)} columns"
            + (f", without {', '.join(dict.fromkeys(left))}" if left else ""),
            f"validation loss {first.validation:.2f} after epoch {first.epoch}, {last.validation:.2f} after epoch "
            f"{last.epoch} (negative ELBO, nats per row; {trained.validation_rows:,} rows held out)",
            f"next: circuitprobe audit {shlex.quote(out)} {shlex.quote(data)}{target}",
        )
    )
