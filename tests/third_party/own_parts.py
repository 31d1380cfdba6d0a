"""A pythae model on small images, with an encoder and a decoder of its user's own."""

from __future__ import annotations

from typing import Any

import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn


class Encoder(BaseEncoder):
    """Two strided convolutions and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU(), nn.Flatten())
        self.mean, self.log_var = nn.Linear(128, 3), nn.Linear(128, 3)

    def forward(self, x: Tensor) -> Any:
        hidden = self.net(x)
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_var(hidden))


class Decoder(BaseDecoder):
    """The way back."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Linear(3, 128), nn.ReLU())
        self.net = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=self.net(self.wide(z).reshape(-1, 8, 4, 4)))


def make_images() -> nn.Module:
    """An untrained model on images of 16 x 16."""
    torch.manual_seed(0)
    return VAE(VAEConfig(input_dim=(1, 16, 16), latent_dim=3), encoder=Encoder(), decoder=Decoder())  # type: ignore[no-any-return]


def images(count: int = 120) -> Tensor:
    """Soft blobs at different places, between 0 and 1."""
    x, y, size = torch.rand(3, count, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    grid = torch.linspace(0, 1, 16)
    far = (grid.reshape(1, 1, 1, 16) - x) ** 2 + (grid.reshape(1, 1, 16, 1) - y) ** 2
    return (-far / (0.02 + 0.05 * size)).exp()


def trained_images() -> tuple[Any, Tensor]:
    """A model trained for a few seconds, and its images."""
    import pythae_models

    x = images()
    return pythae_models.train(make_images(), x, 300), x
