"""VAEs as strangers write them, no two alike: every style that recognition must prove or ask about.

Each class takes no argument; ``truth(x)`` gives what its author means by mean, standard deviation and reconstruction, so that
tests compare with the author and not with circuitprobe. Tables have 6 columns; images 1 x 8 x 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from parts import LATENTS, WIDTH, Truth, mlp
from shaped_strangers import ChannelAxis, Conditional, ConvTrunk, FlattensItself, Ladder, Quantised, SpatialCode
from torch import Tensor, nn
from torch.distributions import Independent, Normal


class Textbook(nn.Module):
    """The example everybody starts from."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(WIDTH, 16), nn.Linear(16, LATENTS), nn.Linear(16, LATENTS)
        self.fc3, self.fc4 = nn.Linear(LATENTS, 16), nn.Linear(16, WIDTH)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc21(h), self.fc22(h)

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)

    def decode(self, z: Tensor) -> Tensor:
        return self.fc4(F.relu(self.fc3(z)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar

    def truth(self, x: Tensor) -> Truth:
        mu, logvar = self.encode(x)
        return mu, torch.exp(0.5 * logvar)

    def author_decode(self, z: Tensor) -> Tensor:
        return self.decode(z)


class OldReparameterisation(Textbook):
    """In place, as in 2017."""

    def reparameterize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        std = logvar.mul(0.5).exp_()
        eps = std.data.new(std.size()).normal_()
        return eps.mul(std).add_(mu)


class TwoSequentials(nn.Module):
    """No encode, no decode, forward returns the rows alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inference, self.generation = mlp(WIDTH, 16, 2 * LATENTS), mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.inference(x).chunk(2, dim=1)
        return self.generation(a + b.exp() * torch.randn_like(a))

    def truth(self, x: Tensor) -> Truth:
        a, b = self.inference(x).chunk(2, dim=1)
        return a, b.exp()

    def author_decode(self, z: Tensor) -> Tensor:
        return self.generation(z)


class SoftplusStd(Textbook):
    """encode returns a standard deviation where everybody expects a log-variance."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc21(h), F.softplus(self.fc22(h))

    def reparameterize(self, mu: Tensor, std: Tensor) -> Tensor:
        return Normal(mu, std).rsample()

    def truth(self, x: Tensor) -> Truth:
        return self.encode(x)


class RawSoftplus(Textbook):
    """What encode returns becomes a standard deviation only in forward."""

    def reparameterize(self, mu: Tensor, rho: Tensor) -> Tensor:
        return mu + F.softplus(rho) * torch.randn(mu.shape)

    def truth(self, x: Tensor) -> Truth:
        mu, rho = self.encode(x)
        return mu, F.softplus(rho)


class Variance(Textbook):
    """A variance, by name of nothing."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc21(h), F.softplus(self.fc22(h)) + 1e-4

    def reparameterize(self, mu: Tensor, var: Tensor) -> Tensor:
        return torch.normal(mu, var.sqrt())

    def truth(self, x: Tensor) -> Truth:
        mu, var = self.encode(x)
        return mu, var.sqrt()


class Swapped(Textbook):
    """(log-variance, mean)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        return self.fc22(h), self.fc21(h)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logvar, mu = self.encode(x)
        return {"kl": (mu**2).mean(), "x_hat": self.decode(self.reparameterize(mu, logvar))}

    def truth(self, x: Tensor) -> Truth:
        logvar, mu = self.encode(x)
        return mu, torch.exp(0.5 * logvar)


class SampleFirst(Textbook):
    """encode samples inside and returns (z, mean, log-variance)."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        return self.reparameterize(mu, logvar), mu, logvar

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, mu, logvar = self.encode(x)
        return self.decode(z), mu, logvar

    def truth(self, x: Tensor) -> Truth:
        _, mu, logvar = self.encode(x)
        return mu, torch.exp(0.5 * logvar)


class LeftBehind(nn.Module):
    """Everything inline; what there is to know is left on the module."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(WIDTH, 16), nn.Linear(16, 2 * LATENTS), nn.Linear(LATENTS, 16)
        self.d = nn.Linear(16, WIDTH)
        self.mu = self.sigma = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.b(torch.tanh(self.a(x)))
        self.mu, self.sigma = out[:, :LATENTS], torch.exp(out[:, LATENTS:].clamp(-8, 4))
        z = self.mu + self.sigma * torch.randn_like(self.sigma)
        return self.d(torch.tanh(self.c(z)))

    def truth(self, x: Tensor) -> Truth:
        out = self.b(torch.tanh(self.a(x)))
        return out[:, :LATENTS], torch.exp(out[:, LATENTS:].clamp(-8, 4))

    def author_decode(self, z: Tensor) -> Tensor:
        return self.d(torch.tanh(self.c(z)))


class NormalisesInside(Textbook):
    """Takes raw rows: forward standardises them and undoes it; encode and decode live in between."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.full((WIDTH,), 0.7))
        self.register_buffer("scale", torch.full((WIDTH,), 2.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode((x - self.shift) / self.scale)
        return self.decode(self.reparameterize(mu, logvar)) * self.scale + self.shift, mu, logvar

    def truth(self, x: Tensor) -> Truth:
        mu, logvar = self.encode((x - self.shift) / self.scale)
        return mu, torch.exp(0.5 * logvar)

    def author_decode(self, z: Tensor) -> Tensor:
        return self.decode(z) * self.scale + self.shift


class Double(Textbook):
    """Double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.double()


class SamplesInTraining(nn.Module):
    """Samples in training mode only, with batch normalisation and dropout, and left in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.mean, self.log_sigma = nn.Linear(16, LATENTS), nn.Linear(16, LATENTS)
        self.decoder = nn.Sequential(nn.Linear(LATENTS, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        z = self.mean(h)
        if self.training:
            z = z + torch.exp(self.log_sigma(h)) * torch.randn_like(z)
        return self.decoder(z)

    def truth(self, x: Tensor) -> Truth:
        h = self.encoder(x)
        return self.mean(h), torch.exp(self.log_sigma(h))

    def author_decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class Flagged(Textbook):
    """Samples when asked to."""

    def forward(self, x: Tensor, sample_posterior: bool = False) -> Tensor:  # type: ignore[override]
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar) if sample_posterior else mu)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(WIDTH, 16, 2 * LATENTS)

    def forward(self, x: Tensor) -> Independent:
        mean, raw = self.net(x).chunk(2, 1)
        return Independent(Normal(mean, F.softplus(raw) + 1e-3), 1)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(LATENTS, 16, WIDTH)

    def forward(self, z: Tensor) -> Independent:
        return Independent(Normal(self.net(z), 0.3), 1)


class Distributions(nn.Module):
    """Distribution objects all the way."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def forward(self, x: Tensor) -> tuple[Independent, Independent]:
        q = self.encoder(x)
        return self.decoder(q.rsample()), q

    def truth(self, x: Tensor) -> Truth:
        q = self.encoder(x)
        return q.mean, q.stddev

    def author_decode(self, z: Tensor) -> Tensor:
        mean: Tensor = self.decoder(z).mean
        return mean


@dataclass
class Result:
    loss: Tensor
    reconstruction: Tensor
    posterior: dict[str, Tensor]


class Sampling(nn.Module):
    """A layer that samples."""

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        mean, log_std = inputs
        return mean + log_std.exp() * torch.randn_like(mean)


class DataclassOut(nn.Module):
    """A dataclass of a dictionary; the sampling is a layer; the loss is computed inside."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.to_z, self.to_s = (
            mlp(WIDTH, 16, last=nn.Tanh()),
            nn.Linear(16, LATENTS),
            nn.Linear(16, LATENTS),
        )
        self.sampling, self.up = Sampling(), mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Result:
        h = self.trunk(x)
        mean, log_std = self.to_z(h), self.to_s(h)
        z = self.sampling((mean, log_std))
        back = self.up(z)
        q, p = Normal(mean, log_std.exp()), Normal(0.0, 1.0)
        kl = (q.log_prob(z) - p.log_prob(z)).sum(1).mean()
        return Result(F.mse_loss(back, x) + kl, back, {"loc": mean, "log_scale": log_std})

    def truth(self, x: Tensor) -> Truth:
        h = self.trunk(x)
        return self.to_z(h), self.to_s(h).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        return self.up(z)


class Logits(Textbook):
    """decode gives logits, forward probabilities."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return torch.sigmoid(self.decode(self.reparameterize(mu, logvar))), mu, logvar

    def author_decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decode(z))


class NoForward(Textbook):
    """Only encode, reparameterize and decode."""

    forward = nn.Module.forward  # type: ignore[assignment]


class NoForwardNamed(NoForward):
    """Nothing samples; the source says what is returned."""

    reparameterize = None  # type: ignore[assignment]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        return mu, logvar


__all__ = ["IMAGES", "LATENTS", "TABLES", "WIDTH", "Conditional", "Quantised", "Truth", "mlp"]

TABLES = [
    Textbook, OldReparameterisation, TwoSequentials, SoftplusStd, RawSoftplus, Variance, Swapped, SampleFirst, LeftBehind,
    NormalisesInside, Double, SamplesInTraining, Flagged, Distributions, DataclassOut, Logits, Ladder, ChannelAxis, NoForward,
    NoForwardNamed,
]  # fmt: skip
IMAGES = [ConvTrunk, SpatialCode, FlattensItself]
