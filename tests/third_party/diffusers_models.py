"""Tiny diffusers autoencoders on images of 16 x 16, trained for seconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def images(count: int = 96) -> Tensor:
    """Soft grey blobs, intensities between 0 and 1, shape (count, 1, 16, 16)."""
    noise = torch.rand(4, count, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    grid = torch.linspace(0, 1, 16)
    far = (grid.reshape(1, 1, 1, 16) - noise[0]) ** 2 + (grid.reshape(1, 1, 16, 1) - noise[1]) ** 2
    return (-far / (0.02 + 0.05 * noise[2])).exp() * noise[3]


def make_kl() -> Any:
    """What ``--factory diffusers_models:make_kl`` runs."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(8, 8),
        latent_channels=2,
        norm_num_groups=4,
        sample_size=16,
        mid_block_add_attention=False,
    )


def make_vq() -> Any:
    """A codebook of 16 vectors."""
    from diffusers import VQModel

    torch.manual_seed(0)
    return VQModel(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(8, 8),
        latent_channels=2,
        norm_num_groups=4,
        sample_size=16,
        num_vq_embeddings=16,
        mid_block_add_attention=False,
    )


def train(model: Any, x: Tensor, steps: int = 120) -> nn.Module:
    """Adam on the squared error of images in [-1, 1], as diffusers' own trainers give them."""
    torch.manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    model.train()
    for _ in range(steps):
        batch = 2 * x[torch.randint(len(x), (24,))] - 1
        optimiser.zero_grad()
        if type(model).__name__ == "VQModel":
            told = model(batch)
            loss = (told.sample - batch).square().mean() + 0.1 * told.commit_loss.mean()
        else:
            code = model.encode(batch).latent_dist
            loss = (model.decode(code.sample()).sample - batch).square().mean() + 1e-4 * code.kl().mean()
        loss.backward()
        optimiser.step()
    trained: nn.Module = model.eval()
    return trained
