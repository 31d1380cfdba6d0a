"""Networks small enough to be run by hand, on the four rows (-1, -1), (-1, 1), (1, -1), (1, 1), with mu(x) = x.

``REVERSED`` makes row j's source row 3 - j, its negative: every latent and every column changes sign. All columns have
standard deviation 1, so output changes are what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .two_ways import Case, spots
from .vaes import PaperVAE, linear, signs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .vaes import Matrix

REVERSED = [[3, 2, 1, 0]]
ROWS = signs(2)


class Skip(nn.Module):
    """The body's output plus ``weight`` z that goes round it."""

    def __init__(self, body: nn.Module, weight: Matrix) -> None:
        super().__init__()
        self.body = body
        self.weight = nn.Buffer(torch.tensor(np.asarray(weight, dtype=float)))

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.body(z) + z @ self.weight.T
        return out


class Reused(nn.Module):
    """D(z) = a + b, a = relu(z), b = relu(2 - 3 a), both by the same module: a = 0 1, b = 2 0 at z = -1, 1."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, z: Tensor) -> Tensor:
        first = self.act(z)
        out: Tensor = first + self.act(2 - 3 * first)
        return out


class Product(nn.Module):
    """D(z) = (z_0 z_1, z_1)."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([z[:, 0] * z[:, 1], z[:, 1]], dim=1)


class TwoHeads(nn.Module):
    """mu(x) and log sigma^2(x) from a layer each."""

    def __init__(self, mean: nn.Module, log_var: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.mean, self.log_var, self.decoder = mean, log_var, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), self.log_var(x)

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z)
        return out


def layers(*weights: Matrix, bias: Sequence[Sequence[float] | None] | None = None) -> nn.Sequential:
    """Linear, ReLU, linear, ReLU, ..., linear: the hidden sites are 1, 3, ..."""
    chain: list[nn.Module] = []
    for weight, shift in zip(weights, bias or [None] * len(weights), strict=True):
        chain += [linear(weight, shift), nn.ReLU()]
    return nn.Sequential(*chain[:-1])


def identity_case(decoder: nn.Module, *sites: str, width: int = 2, **options: Any) -> Case:
    """Identity encoder of 2 (or 1) latents with sigma 0.2 in front of a decoder."""
    model = PaperVAE(linear(np.eye(width)), [0.2] * width, decoder)
    rows, sources = (ROWS, REVERSED) if width == 2 else (signs(1), [[1, 0]])
    return Case(model, rows, sources, spots(*sites), **options)


def kinked() -> nn.Sequential:
    """Units u = relu(z_0), relu(-z_0), relu(z_0 + z_1), relu(z_0 - 9) = 0; D = (3 u_0 - u_1 + 5 u_3, 2 u_2 + 5 u_3).

    Row by row: u_0 = 0 0 1 1, u_1 = 1 1 0 0, u_2 = 0 0 0 2. With z_0 negated: u_0 = 1 1 0 0, u_1 = 0 0 1 1, u_2 = 0 2 0 0.
    With z_1 negated: u_0 and u_1 stay, u_2 = 0 0 2 0. With both negated: u_2 = 2 0 0 0.
    """
    hear = [[1, 0], [-1, 0], [1, 1], [1, 0]]
    return layers(hear, [[3, -1, 0, 5], [0, 0, 2, 5]], bias=[[0, 0, 0, -9], None])


def kinked_case(skip: float | None = None, **options: Any) -> Case:
    """``kinked``, or with ``skip`` z_0 added to D_0 past the layer."""
    if skip is None:
        return identity_case(kinked(), "decoder.1", **options)
    return identity_case(Skip(kinked(), [[skip, 0], [0, 0]]), "decoder.body.1", **options)


def both_needed() -> Case:
    """One latent, units h = (z, z) without activation, D = relu(h_0 + h_1 - 1): 0 at z = -1, 1 at z = 1."""
    return identity_case(
        nn.Sequential(linear([[1], [1]]), linear([[1, 1]], [-1.0]), nn.ReLU(), linear([[1]])), "decoder.0", width=1
    )


def two_steps() -> Case:
    """Layer 1: a = relu(z_0), relu(-z_0), relu(z_1). Layer 2: b = relu(a_0 + 2 a_1), relu(a_0 - a_2). D = (b_0, 2 b_1).

    Rows: a = (0 1 0) (0 1 1) (1 0 0) (1 0 1), b = (2 0) (2 0) (1 1) (1 0).
    """
    return identity_case(
        layers([[1, 0], [-1, 0], [0, 1]], [[1, 2, 0], [1, 0, -1]], [[1, 0], [0, 2]]), "decoder.1", "decoder.3"
    )
