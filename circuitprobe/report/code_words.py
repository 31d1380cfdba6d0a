"""What a model's code is, in words, and what is undefined because of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitprobe.report.inspection import Inspection
    from circuitprobe.report.model import LatentReport, ModelReport


def code_words(model: ModelReport | Inspection) -> str:
    """What the code is, where it is not simply a column per latent."""
    parts = []
    if model.code_shape:
        parts.append(f"shape {' x '.join(map(str, model.code_shape))}")
    if model.code_columns is not None and model.code_columns != model.latents:
        parts.append(f"{model.code_columns:,} columns in {model.latents:,} latents, each moved as a whole")
    if model.codes is not None:
        parts.append(f"indices into a codebook of {model.codes:,}")
    if model.condition_width:
        parts.append(
            f"the last {model.condition_width:,} dimensions of a row condition both halves and are not touched"
        )
    if model.prior_only:
        parts.append(f"drawn from N(0, I), as there is no encoder: {model.prior_only}")
    return "; ".join(parts)


def code_warnings(model: ModelReport, latents: Sequence[LatentReport]) -> list[tuple[str, str]]:
    """What is undefined because of what the code is."""
    if model.prior_only is not None:
        told = "KL is undefined, and every latent that has any effect counts as active"
        return [("prior_only", f"no encoder ({model.prior_only}): codes were drawn from N(0, I); {told}")]
    if model.codes is not None:
        told = "KL and information are undefined, and every latent that uses more than one index counts as active"
        return [("discrete_code", f"the code is indices into a codebook of {model.codes:,}: {told}")]
    if all(latent.kl.value is None for latent in latents):
        told = "KL is undefined, every latent that varies counts as active"
        return [("no_variance", f"the encoder states no variance: {told}")]
    return []
