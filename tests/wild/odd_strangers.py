"""VAEs with more noise than that of the code, or with something between the code and its decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from strangers import LATENTS, WIDTH, Textbook, Truth, TwoSequentials, mlp
from torch import Tensor, nn
from torch.distributions import Normal, RelaxedBernoulli, SigmoidTransform, TransformedDistribution


class Plain(TwoSequentials):
    """The halves of the others here: two networks, and a sample of the posterior."""

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return mean + std * torch.randn_like(mean)

    def forward(self, x: Tensor) -> object:  # type: ignore[override]
        return self.generation(self.sampled(x))


class TwoViews(Plain):
    """A second view of the row has a code and an output of its own, which does not give the row back."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.generation(self.sampled(x)), 3 * self.generation(self.sampled(x.flip(1))).flip(1)


class Speckle(Plain):
    """Noise in proportion to the input, before the encoder."""

    def forward(self, x: Tensor) -> Tensor:
        return self.generation(self.sampled(x * (1 + 0.1 * torch.randn_like(x))))


class Compared(Plain):
    """A batch of the prior is compared with all means of the batch."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, _ = self.truth(x)
        prior = torch.randn_like(mean)
        return self.generation(self.sampled(x)), torch.exp(-(mean[:, None] - prior).square().sum(2)).mean()


class NoisyDecode(Textbook):
    """decode samples the rows from p(x|z)."""

    def mean_rows(self, z: Tensor) -> Tensor:
        return self.fc4(F.relu(self.fc3(z)))

    def decode(self, z: Tensor) -> Tensor:
        rows = self.mean_rows(z)
        return rows + 0.2 * torch.randn_like(rows)

    def author_decode(self, z: Tensor) -> Tensor:
        return self.mean_rows(z)


class NoisyLayer(Textbook):
    """Noise in proportion to a hidden layer of the decoder; what is called encode says which sample is the code."""

    def decode(self, z: Tensor) -> Tensor:
        hidden = F.relu(self.fc3(z))
        return self.fc4(hidden * (1 + 0.2 * torch.randn_like(hidden)))

    def author_decode(self, z: Tensor) -> Tensor:
        return self.fc4(F.relu(self.fc3(z)))


class ClampsFarOut(Textbook):
    """Forward clamps codes that no row has."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar).clamp_(-5, 5)), mu, logvar

    def author_decode(self, z: Tensor) -> Tensor:
        return self.decode(z.clamp(-5, 5))


class WritesInto(Plain):
    """Samples into a tensor made for it."""

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        z = torch.empty_like(mean)
        torch.normal(mean, std, out=z)
        return z


class Momentless(Plain):
    """Returns distributions that have no mean beside the rows."""

    def forward(self, x: Tensor) -> tuple[Tensor, TransformedDistribution, RelaxedBernoulli]:
        rows = self.generation(self.sampled(x))
        squashed = TransformedDistribution(Normal(rows, 1.0), [SigmoidTransform()])
        return rows, squashed, RelaxedBernoulli(torch.tensor(0.5), logits=rows)


class Standardised(nn.BatchNorm1d):
    """Batch normalisation by another name."""


class SamplesInTrainingOnly(nn.Module):
    """Normalises its batch in training mode, in which alone it samples."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Sequential(nn.Linear(WIDTH, 16), Standardised(16), nn.ReLU(), nn.Linear(16, 2 * LATENTS))
        self.p = mlp(LATENTS, 16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return self.p(mean + std * torch.randn_like(std) if self.training else mean)

    def truth(self, x: Tensor) -> Truth:
        mean, log_var = self.q(x).chunk(2, 1)
        return mean, (0.5 * log_var).exp()

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.p(z)
        return rows


class LossAlone(Textbook):
    """Forward returns a loss; noise on the input."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        mu, logvar = self.encode(x + 0.1 * torch.randn_like(x))
        return F.mse_loss(self.decode(self.reparameterize(mu, logvar)), x)


class OneHotLookup(nn.Module):
    """Indices become a one-hot matrix, and that times the codebook the code; statistics are kept of how often."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = mlp(WIDTH, 16, 8), mlp(8, 16, WIDTH)
        self.codebook = nn.Embedding(8, 2)
        self.register_buffer("used", torch.zeros(8))

    def indices(self, x: Tensor) -> Tensor:
        entries = self.codebook.weight
        flat = self.enc(x).reshape(-1, 2)
        return (flat.square().sum(1, keepdim=True) + entries.square().sum(1) - 2 * flat @ entries.t()).min(1)[1]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h, indices = self.enc(x), self.indices(x)
        one_hot = torch.zeros(len(indices), 8).scatter_(1, indices[:, None], 1.0)
        self.used.mul_(0.9).add_(one_hot.sum(0), alpha=0.1)
        q = (one_hot @ self.codebook.weight).reshape(h.shape)
        return self.dec(h + (q - h).detach()), F.mse_loss(h, q.detach()) + 0.25 * F.mse_loss(q, h.detach())

    def author_decode(self, z: Tensor) -> Tensor:
        rows: Tensor = self.dec(self.codebook(z.long()).reshape(len(z), -1))
        return rows


ODD = [
    TwoViews, Speckle, Compared, NoisyDecode, NoisyLayer, ClampsFarOut, WritesInto, Momentless, SamplesInTrainingOnly, LossAlone,
]  # fmt: skip
