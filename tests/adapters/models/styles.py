"""VAEs in the styles that people write, all the same: mean = first two inputs, variance 1/4, decoder doubles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

LOG_VAR = math.log(0.25)


def halves() -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    """Mean head, log-variance head and decoder with known weights."""
    mean, log_var, decoder = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(2, 3)
    with torch.no_grad():
        for layer in (mean, log_var, decoder):
            layer.weight.zero_()
            layer.bias.zero_()
        mean.weight[0, 0] = mean.weight[1, 1] = 1.0
        log_var.bias.fill_(LOG_VAR)
        decoder.weight[0, 0] = decoder.weight[1, 1] = 2.0
    return mean, log_var, decoder


class Base(nn.Module):
    """Known halves; subclasses show them in their own style."""

    def __init__(self) -> None:
        super().__init__()
        self.m, self.v, self.d = halves()

    def decode(self, z: Tensor) -> Tensor:
        return self.d(z)


class TupleStyle(Base):
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.m(x), self.v(x)

    def reparameterize(self, m: Tensor, v: Tensor) -> Tensor:
        return m + torch.randn_like(m) * torch.exp(v / 2)


class DictStyle(Base):
    def encode(self, x: Tensor) -> dict[str, Tensor]:
        return {"logvar": self.v(x), "mu": self.m(x), "hidden": x}


class StdDictStyle(Base):
    def encode(self, x: Tensor) -> dict[str, Tensor]:
        return {"loc": self.m(x), "scale": (0.5 * self.v(x)).exp()}


class Named(NamedTuple):
    z: Tensor
    log_var: Tensor
    mean: Tensor


class NamedTupleStyle(Base):
    def encode(self, x: Tensor) -> Named:
        return Named(self.m(x) + torch.randn(len(x), 2), self.v(x), self.m(x))


@dataclass
class Output:
    embedding: Tensor
    log_covariance: Tensor


class DataclassStyle(Base):
    def encode(self, x: Tensor) -> Output:
        return Output(self.m(x), self.v(x))


class DistributionStyle(Base):
    def encode(self, x: Tensor) -> torch.distributions.Distribution:
        return torch.distributions.Normal(self.m(x), (0.5 * self.v(x)).exp())


class SampleFirstStyle(Base):
    """(z, mean, log_var), z drawn inside."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.m(x), self.v(x)
        return mean + torch.randn_like(mean) * (0.5 * log_var).exp(), mean, log_var


class Pair(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)


class ModuleStyle(nn.Module):
    """Modules encoder and decoder, no methods."""

    def __init__(self) -> None:
        super().__init__()
        mean, log_var, self.decoder = halves()
        self.encoder = Pair(mean, log_var)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x)
        return self.decoder(mean + torch.randn_like(mean) * torch.exp(log_var / 2))


class HeadsStyle(nn.Module):
    """A trunk called encoder, heads beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Identity()
        self.fc_mu, self.fc_logvar, self.decoder = halves()


class DecoderTupleStyle(TupleStyle):
    """decode returns (reconstruction, widths)."""

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.d(z), torch.ones(7)


class StdStyle(Base):
    """(mean, standard deviation) by position, and nothing that says so."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.m(x), (0.5 * self.v(x)).exp()


class SwappedStyle(Base):
    """(log_var, mean) by position."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.v(x), self.m(x)


class Autoencoder(Base):
    def encode(self, x: Tensor) -> Tensor:
        return self.m(x)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)))


def make() -> nn.Module:
    """A factory without arguments."""
    return TupleStyle()


def make_other() -> nn.Module:
    """A model that the weights do not fit."""
    return Classifier()


def broken() -> nn.Module:
    """A factory that fails."""
    raise RuntimeError("no licence")
