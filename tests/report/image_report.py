"""An audit of a small VAE on small images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.report import AuditReport

SIDE = 16


class Blobs(nn.Module):
    """z0 is the brightness of the upper half, z1 that of the lower one, z2 that of the left."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        halves = [x[:, 0, : SIDE // 2], x[:, 0, SIDE // 2 :], x[:, 0, :, : SIDE // 2]]
        mean = torch.stack([half.mean((1, 2)) for half in halves], 1) * self.scale
        log_var = torch.full_like(mean, -4.0)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        image = torch.zeros(len(z), 1, SIDE, SIDE)
        image[:, 0, : SIDE // 2] += z[:, 0, None, None]
        image[:, 0, SIDE // 2 :] += z[:, 1, None, None]
        image[:, 0, :, : SIDE // 2] += 0.1 * z[:, 2, None, None]
        return image


def image_report() -> AuditReport:
    """Levels 1 and 2 on 60 images of two even halves."""
    bright = np.random.default_rng(0).integers(0, 200, (60, 2)).astype(np.uint8)
    images = np.repeat(bright, SIDE // 2, axis=1)[:, :, None] * np.ones((1, 1, SIDE), np.uint8)
    return cp.audit(Blobs(), images, levels=(1, 2), resamples=50, permutations=20, twin=False)
