"""Whether a recognised model is what its author means."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models import ProbedVAE, wrap
from circuitprobe.probe import untouched


def resolved(model: nn.Module, x: Tensor, **options: object) -> ProbedVAE:
    """As an audit does it."""
    vae = replace(wrap(model, **options), row_shape=tuple(x.shape[1:]) if x.ndim > 2 else ())  # type: ignore[arg-type]
    with untouched(model):
        return vae.resolved(x.flatten(1))


def agrees(vae: ProbedVAE, author: nn.Module, x: Tensor) -> None:
    """Mean, spread and decoder are the author's, to rounding."""
    with untouched(author), untouched(vae.model):
        posterior, (mean, std) = vae.encode(x.flatten(1)), author.truth(x)
        assert torch.allclose(posterior.mean, mean.flatten(1), atol=1e-5)
        assert posterior.log_var is not None
        assert torch.allclose((posterior.log_var / 2).exp(), std.flatten(1), rtol=1e-4, atol=1e-7)
        z = torch.randn(mean.shape, generator=torch.Generator().manual_seed(3), dtype=mean.dtype)
        assert torch.allclose(vae.decode(z.flatten(1)), author.author_decode(z).flatten(1), atol=1e-5)
