"""Data for the strangers, and a minute of school for each."""

from __future__ import annotations

import strangers
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from torch import Tensor, nn


def table(rows: int = 400) -> Tensor:
    """Six columns of three factors."""
    generator = torch.Generator().manual_seed(1)
    factors, loadings = torch.randn(rows, 3, generator=generator), torch.randn(3, 6, generator=generator)
    return factors @ loadings * 0.7 + 0.05 * torch.randn(rows, 6, generator=generator)


def images(rows: int = 300) -> Tensor:
    """Blobs of 8 x 8, shape (rows, 1, 8, 8)."""
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(rows, 2, generator=generator) * 6 + 1
    size = torch.rand(rows, generator=generator) * 1.5 + 0.8
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    distance = (y - centre[:, 0, None, None]) ** 2 + (x - centre[:, 1, None, None]) ** 2
    return torch.exp(-distance / (2 * size[:, None, None] ** 2))[:, None]


def rows_for(kind: type[nn.Module]) -> Tensor:
    """What a stranger was made for, as it takes it."""
    if kind in strangers.IMAGES:
        return images()
    x = table().double() if kind is strangers.Double else table()
    if kind is strangers.Logits:
        return torch.sigmoid(x)
    return x[:, None] if kind is strangers.ChannelAxis else x


def schooled(kind: type[nn.Module], x: Tensor, steps: int = 300) -> nn.Module:
    """A stranger trained by its author's own halves, left in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind()
        model.train()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(steps):
            mean, std = model.truth(x)
            back = model.author_decode(mean + std * torch.randn_like(mean)).reshape(x.shape)
            kl = (0.5 * (mean**2 + std**2 - 1) - std.log()).flatten(1).sum(1).mean()
            loss = 4 * ((back - x) ** 2).flatten(1).sum(1).mean() + 0.1 * kl
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model


def schooled_by_forward(model: nn.Module, x: Tensor, *more: Tensor, steps: int = 300) -> nn.Module:
    """A model trained on what its forward gives back, plus what it calls a loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(steps):
            output = model(x, *more)
            back, extra = output if isinstance(output, tuple) else (output, 0.0)
            loss = F.mse_loss(back.reshape(x.shape), x) + (
                extra if not isinstance(extra, Tensor) or extra.ndim == 0 else 0.0
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model
