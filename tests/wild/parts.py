"""What the strangers are made of."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

WIDTH, LATENTS = 6, 3
Truth = tuple[Tensor, Tensor]


def mlp(*sizes: int, last: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(before, after), nn.Tanh()]
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers, *([last] if last else []))
