"""Strangers whose rows or codes have a shape: images, signals, ladders, conditions, codebooks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from parts import LATENTS, WIDTH, Truth, mlp
from torch import Tensor, nn


class ConvTrunk(nn.Module):
    """encode is a convolutional trunk; the heads hang in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU())
        self.heads = nn.Linear(32, 2 * LATENTS)
        self.fc = nn.Linear(LATENTS, 32)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.heads(self.encode(x).flatten(1)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.author_decode(z), z

    def truth(self, x: Tensor) -> Truth:
        mean, log_var = self.heads(self.encode(x).flatten(1)).chunk(2, 1)
        return mean, (log_var / 2).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decode(self.fc(z).view(-1, 8, 2, 2))
        return image


class SpatialCode(nn.Module):
    """The code is a map of 2 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 4, 4, 2, 1))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(2, 8, 4, 2, 1), nn.SiLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> dict[str, Any]:
        mean, log_var = self.down(x).chunk(2, 1)
        return {"sample": self.up(mean + (0.5 * log_var).exp() * torch.randn_like(mean)), "moments": (mean, log_var)}

    def truth(self, x: Tensor) -> Truth:
        mean, log_var = self.down(x).chunk(2, 1)
        return mean, (0.5 * log_var).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.up(z)
        return image


class FlattensItself(nn.Module):
    """An MLP that takes images and flattens them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.p = mlp(64, 24, 2 * LATENTS), mlp(LATENTS, 24, 64, last=nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.q(torch.flatten(x, start_dim=1)).chunk(2, 1)
        back = self.p(mean + torch.randn_like(mean) * (0.5 * log_var).exp())
        return back.view_as(x), mean, log_var

    def truth(self, x: Tensor) -> Truth:
        mean, log_var = self.q(x.flatten(1)).chunk(2, 1)
        return mean, (0.5 * log_var).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.p(z)
        return rows


class ChannelAxis(nn.Module):
    """A table row is a signal of one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3, padding=1)
        self.heads, self.back = nn.Linear(4 * WIDTH, 2 * LATENTS), mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return self.back(mean + std * torch.randn_like(std)).unsqueeze(1)

    def truth(self, x: Tensor) -> Truth:
        if x.ndim != 3:
            raise ValueError(f"expected 3D input (rows, 1, length), got {x.ndim}D")
        mean, log_var = self.heads(torch.relu(self.conv(x)).flatten(1)).chunk(2, 1)
        return mean, (0.5 * log_var).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.back(z)
        return rows


class Ladder(nn.Module):
    """Two groups of latents, the second from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.h1, self.q1 = mlp(WIDTH, 16, last=nn.Tanh()), nn.Linear(16, 4)
        self.q2, self.out = nn.Linear(18, 6), mlp(5, 16, WIDTH)

    def forward(self, x: Tensor) -> tuple[Tensor, float]:
        h = self.h1(x)
        m1, s1 = self.q1(h).chunk(2, 1)
        z1 = m1 + s1.exp() * torch.randn_like(m1)
        m2, s2 = self.q2(torch.cat([h, z1], 1)).chunk(2, 1)
        z2 = m2 + s2.exp() * torch.randn_like(m2)
        return self.out(torch.cat([z1, z2], 1)), 0.0

    def truth(self, x: Tensor) -> Truth:
        h = self.h1(x)
        m1, s1 = self.q1(h).chunk(2, 1)
        m2, s2 = self.q2(torch.cat([h, m1], 1)).chunk(2, 1)
        return torch.cat([m1, m2], 1), torch.cat([s1, s2], 1).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.out(z)
        return rows


class Conditional(nn.Module):
    """The last two columns condition both halves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(WIDTH, 16, 2 * LATENTS), mlp(LATENTS + 2, 16, WIDTH - 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        mean, log_var = self.encoder(torch.cat([x, y], 1)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(torch.cat([z, y], 1))

    def truth(self, x: Tensor) -> Truth:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, (0.5 * log_var).exp()


class Quantised(nn.Module):
    """Four places, each with one of 8 entries of a codebook."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = mlp(WIDTH, 16, 8), mlp(8, 16, WIDTH)
        self.codebook = nn.Embedding(8, 2)

    def indices(self, x: Tensor) -> Tensor:
        flat = self.enc(x).reshape(-1, 2)
        return torch.cdist(flat, self.codebook.weight).argmin(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.enc(x)
        q = self.codebook(self.indices(x)).reshape(h.shape)
        straight = h + (q - h).detach()
        return self.dec(straight), F.mse_loss(h, q.detach()) + 0.25 * F.mse_loss(q, h.detach())

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.dec(self.codebook(z.long()).reshape(len(z), -1))
        return rows
