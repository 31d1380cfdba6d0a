"""VAEs on small images whose reconstruction is exact under one way of giving them the images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 8


class Exact(nn.Module):
    """Gives back the images it gets, if they come in the range and shape that it wants.

    Its code is the mean of each of four quarters, and the decoder paints the quarters: images of four even quarters come
    back as they are. What comes in another range is distorted, as by a network that has never seen it.

    Args:
        takes: what the encoder subtracts and divides by: (0, 1) for intensities in [0, 1], (-1, 2) for [-1, 1], (0, 255).
        gives: scale and offset of the decoder's output.
        shape: of one row.
        logits: the decoder gives logits.
    """

    def __init__(
        self,
        takes: tuple[float, float] = (0.0, 1.0),
        gives: tuple[float, float] = (1.0, 0.0),
        shape: tuple[int, ...] = (1, SIDE, SIDE),
        *,
        channels_last: bool = False,
        logits: bool = False,
    ) -> None:
        super().__init__()
        self.takes, self.gives, self.shape = takes, gives, shape
        self.channels_last, self.logits = channels_last, logits
        self.unused = nn.Parameter(torch.ones(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1:] != self.shape:
            raise ValueError(f"expected {self.shape}")
        unit = (x - self.takes[0]) / self.takes[1]
        # what is far outside, a trained network does not follow
        unit = torch.sin((unit * 255).round() / 255 * torch.pi / 2) ** 2
        maps = self._maps(unit)
        quarters = nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)
        mean, log_var = quarters * self.unused, torch.full_like(quarters, -6.0)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        channels = z.shape[1] // 4
        unit = torch.asin(z.clamp(0, 1).sqrt()) * 2 / torch.pi
        maps = unit.reshape(len(z), channels, 2, 2)
        maps = maps.repeat_interleave(SIDE // 2, 2).repeat_interleave(SIDE // 2, 3)
        if self.logits:
            return maps.clamp(1e-4, 1 - 1e-4).logit()
        flat = maps.permute(0, 2, 3, 1) if self.channels_last else maps
        return (flat * self.gives[0] + self.gives[1]).reshape(len(z), *self.shape)

    def _maps(self, unit: Tensor) -> Tensor:
        if self.channels_last:
            return unit.reshape(len(unit), SIDE, SIDE, -1).permute(0, 3, 1, 2)
        return unit.reshape(len(unit), -1, SIDE, SIDE)


class Conv(nn.Module):
    """A small convolutional VAE, not trained."""

    def __init__(self, channels: int = 1, side: int = 16, latents: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 6, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * (side // 2) ** 2, 2 * latents)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latents, 6 * (side // 2) ** 2),
            nn.ReLU(),
            nn.Unflatten(1, (6, side // 2, side // 2)),
            nn.ConvTranspose2d(6, channels, 4, 2, 1),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)
