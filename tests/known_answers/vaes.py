"""Hand-solved variational autoencoders in float64, and the rows they are audited on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import circuitprobe as cp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.report.audit_report import AuditReport

    Matrix = Sequence[Sequence[float]] | np.ndarray[Any, Any]


def signs(latents: int, repeats: int = 1) -> np.ndarray[Any, Any]:
    """All combinations of -1 and 1, shape (repeats * 2 ** latents, latents): mean 0, variance 1, uncorrelated."""
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=latents)))
    return np.tile(corners, (repeats, 1))


def linear(weight: Matrix, bias: Sequence[float] | None = None) -> nn.Linear:
    """A linear layer x -> W x + b in float64."""
    matrix = torch.tensor(np.asarray(weight, dtype=float))
    layer = nn.Linear(matrix.shape[1], matrix.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(matrix)
        layer.bias.copy_(torch.zeros(matrix.shape[0]) if bias is None else torch.tensor(bias))
    return layer


class PaperVAE(nn.Module):
    """mu(x) = A x + a, sigma constant, D whatever module is given.

    Args:
        mean: the layer x -> mu.
        sigma: posterior standard deviation per latent.
        decoder: the module z -> output.
    """

    def __init__(self, mean: nn.Module, sigma: Sequence[float], decoder: nn.Module) -> None:
        super().__init__()
        self.mean = mean
        self.decoder = decoder
        self.log_sigma = nn.Buffer(torch.tensor(np.log(np.asarray(sigma, dtype=float))))

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.mean(x)
        return mean, (2 * self.log_sigma).expand_as(mean)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        decoded: torch.Tensor = self.decoder(z)
        return decoded

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_var = self.encode(x)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return self.decode(z), mean, log_var


def wrap(module: nn.Module, *, variance: bool = True) -> Any:
    """Hand the module over with its two callables; without variance the encoder states mu alone."""

    def encode(m: Any, x: torch.Tensor) -> Any:
        return m.encode(x) if variance else m.encode(x)[0]

    def decode(m: Any, z: torch.Tensor) -> Any:
        return m.decode(z)

    return cp.wrap(module, encode=encode, decode=decode)


def audit(module: nn.Module, x: np.ndarray[Any, Any], *, variance: bool = True, **options: Any) -> AuditReport:
    """Audit with settings that keep a test short; options override them."""
    settings: dict[str, Any] = {"twin": False, "resamples": 50, "permutations": 60} | options
    report: AuditReport = cp.audit(wrap(module, variance=variance), x, **settings)
    return report
