"""The two VAEs that everything is timed on, with seeded weights, and rows for them.

Weights are drawn once per seed (He), then every layer is rescaled on the rows themselves so that its outputs have a
standard deviation of 1: latents then matter, and about half of the units are off on any row, as in a trained ReLU net.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LATENTS = 10
SIDE = 64


class BenchVAE(nn.Module):
    """A plain VAE: a trunk with two heads, and a decoder that is one ``nn.Sequential``."""

    def __init__(self, trunk: nn.Sequential, width: int, decoder: nn.Sequential) -> None:
        super().__init__()
        self.trunk = trunk
        self.mean = nn.Linear(width, LATENTS)
        self.log_var = nn.Linear(width, LATENTS)
        self.decoder = decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (rows, dims) -> mean and log-variance, each (rows, 10)."""
        hidden = self.trunk(x)
        return self.mean(hidden), self.log_var(hidden) - 3.0

    def decode(self, z: Tensor) -> Tensor:
        """Codes (rows, 10) -> decoder output (rows, dims)."""
        output: Tensor = self.decoder(z)
        return output

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction at the mean."""
        return self.decode(self.encode(x)[0])


def mlp_vae(width: int = 256, dims: int = 64) -> BenchVAE:
    """Encoder 64-256-256-(10, 10), decoder 10-256-256-64, ReLU between, linear output."""
    trunk = nn.Sequential(nn.Linear(dims, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    decoder = nn.Sequential(
        nn.Linear(LATENTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dims)
    )
    return _settled(BenchVAE(trunk, width, decoder), table(512, dims))


def conv_vae() -> BenchVAE:
    """The standard VAE for 64 x 64 images: four 4 x 4 convolutions of stride 2, fully connected 256, and its mirror image."""
    channels = (1, 32, 32, 64, 64)
    trunk = nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        *_chain(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(channels)),
        nn.Flatten(),
        *_chain([nn.Linear(1024, 256)]),
    )
    decoder = nn.Sequential(
        *_chain([nn.Linear(LATENTS, 256), nn.Linear(256, 1024)]),
        nn.Unflatten(1, (64, 4, 4)),
        *_chain(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in ((64, 64), (64, 32), (32, 32))),
        nn.ConvTranspose2d(32, 1, 4, 2, 1),
        nn.Sigmoid(),
        nn.Flatten(),
    )
    return _settled(BenchVAE(trunk, 256, decoder), images(32))


def _chain(layers: Iterator[nn.Module] | list[nn.Module]) -> list[nn.Module]:
    return [module for layer in layers for module in (layer, nn.ReLU())]


def table(rows: int, dims: int = 64) -> Tensor:
    """Random rows (rows, dims): 10 causes, mixed, through tanh, with noise."""
    draw = torch.Generator().manual_seed(1)
    mixing = torch.randn(LATENTS, dims, generator=draw)
    causes = torch.randn(rows, LATENTS, generator=draw)
    return torch.tanh(causes @ mixing / 2) + 0.1 * torch.randn(rows, dims, generator=draw)


def images(rows: int) -> Tensor:
    """Random images (rows, 4096) in [0, 1]: one bright ellipse each, of random place, size and brightness."""
    draw = torch.Generator().manual_seed(2)
    place, size = 0.2 + 0.6 * torch.rand(rows, 2, generator=draw), 0.05 + 0.2 * torch.rand(rows, 2, generator=draw)
    bright = 0.3 + 0.7 * torch.rand(rows, 1, 1, generator=draw)
    axis = torch.arange(SIDE) / SIDE
    near = [((axis - place[:, k : k + 1]) / size[:, k : k + 1]).square() for k in (0, 1)]
    return (bright * torch.exp(-((near[0][:, :, None] + near[1][:, None, :]) ** 2))).flatten(1)


@torch.no_grad()
def _settled(vae: BenchVAE, x: Tensor, seed: int = 0) -> BenchVAE:
    """Seeded weights under which every layer's output varies with standard deviation 1 over units and rows."""
    draw = torch.Generator().manual_seed(seed)
    hidden = _scaled(vae.trunk, x, draw)
    code = _scaled(nn.Sequential(vae.mean), hidden, draw)
    _scaled(nn.Sequential(vae.log_var), hidden, draw)
    _scaled(vae.decoder, code, draw)
    return vae.eval()


def _scaled(layers: nn.Sequential, x: Tensor, draw: torch.Generator) -> Tensor:
    for layer in layers:
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=draw))
            assert layer.bias is not None
            layer.bias.zero_()
            output = layer(x)
            layer.weight /= output.std(dim=0).mean()
            channels = output.transpose(0, 1).flatten(1) / output.std(dim=0).mean()
            layer.bias.copy_(0.3 * torch.randn(layer.bias.shape, generator=draw) - channels.mean(dim=1))
        x = layer(x)
    return x
