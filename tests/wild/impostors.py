"""Models that are no VAEs, or none that can be told: none may be taken for one."""

from __future__ import annotations

import strangers
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from strangers import LATENTS, WIDTH, mlp
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """A code without a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(WIDTH, 16, LATENTS), mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class NoisyAutoencoder(Autoencoder):
    """A code with noise of fixed size."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        return self.decoder(z + 0.1 * torch.randn_like(z))


class DenoisingAutoencoder(Autoencoder):
    """Noise on the input."""

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x + 0.2 * torch.randn_like(x)))


class DropoutAutoencoder(nn.Module):
    """Random, but not normally."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(mlp(WIDTH, 16, LATENTS), nn.Dropout(0.3))
        self.decoder = mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Classifier(nn.Module):
    """Two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(WIDTH, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)))


class NoisyClassifier(nn.Module):
    """A stochastic hidden layer with mean and spread, and as many classes as columns."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = mlp(WIDTH, 16, 8), nn.Linear(4, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_std = self.body(x).chunk(2, 1)
        return F.log_softmax(self.head(mean + log_std.exp() * torch.randn_like(mean)), 1)


class Generator(nn.Module):
    """Draws its own code and never looks at the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(torch.randn(len(x), LATENTS))


class GeneratorOfNoise(nn.Module):
    """A GAN's generator: its input is a code as wide as the rows happen to be."""

    def __init__(self) -> None:
        super().__init__()
        self.main = mlp(WIDTH, 16, WIDTH)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z)


class Shuffling(strangers.TwoSequentials):
    """Shuffles its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[torch.randperm(len(x))])


class Reversing(strangers.TwoSequentials):
    """Turns its batch round, without any randomness."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(0))


class Standardising(strangers.TwoSequentials):
    """Standardises each batch by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - x.mean(0)) / x.std(0))


class SkipConnection(strangers.TwoSequentials):
    """The decoder sees the rows as well."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.5 * x


class Denoiser(nn.Module):
    """A diffusion model: noises its input and predicts the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(WIDTH, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(0.8 * x + 0.6 * torch.randn_like(x))


class BayesianNetwork(nn.Module):
    """Noise on weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mu, self.rho = (
            nn.Parameter(torch.randn(WIDTH, WIDTH) * 0.3),
            nn.Parameter(torch.full((WIDTH, WIDTH), -3.0)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.mu + F.softplus(self.rho) * torch.randn_like(self.mu))


class FullCovariance(nn.Module):
    """A posterior that is not diagonal."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.l, self.p = mlp(WIDTH, 16, LATENTS), nn.Linear(WIDTH, LATENTS * LATENTS), mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        factor = self.l(x).view(-1, LATENTS, LATENTS).tril()
        eps = torch.randn(len(x), LATENTS, 1)
        return self.p(self.q(x) + (factor @ eps).squeeze(2))


class GumbelCode(nn.Module):
    """A categorical code, relaxed."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.p = mlp(WIDTH, 16, 5), mlp(5, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.p(F.gumbel_softmax(self.q(x), tau=0.5))


class MisleadingEncode(strangers.Textbook):
    """encode returns two tensors that forward does not sample from."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(WIDTH, 2 * LATENTS)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.other(x).chunk(2, 1)
        return a, b

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


class TwoOutputs(strangers.TwoSequentials):
    """Two outputs as wide as the rows, neither better than the other at giving them back."""

    def __init__(self) -> None:
        super().__init__()
        self.second = mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        a, b = self.inference(x).chunk(2, dim=1)
        z = a + b.exp() * torch.randn_like(a)
        return self.generation(z), self.second(z)


class NamesOnly(strangers.NoForward):
    """Nothing says what encode returns: no sampling, no names."""

    reparameterize = None  # type: ignore[assignment]


class WantsCondition(strangers.Conditional):
    """Without --condition."""


IMPOSTORS = [
    Autoencoder, NoisyAutoencoder, DenoisingAutoencoder, DropoutAutoencoder, Classifier, NoisyClassifier, Generator,
    GeneratorOfNoise, Shuffling, Reversing, Standardising, SkipConnection, Denoiser, BayesianNetwork, FullCovariance, GumbelCode,
    MisleadingEncode, TwoOutputs, NamesOnly, WantsCondition,
]  # fmt: skip
