"""Models whose mean and spread can be read off but would be wrong: each must be asked about."""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it
from odd_strangers import Plain
from strangers import LATENTS, WIDTH, Textbook, mlp
from torch import Tensor, nn
from torch.distributions import Bernoulli, LowRankMultivariateNormal, MultivariateNormal, StudentT


class LowRank(Plain):
    """Part of the spread comes from a second noise, through a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Linear(WIDTH, LATENTS * 2)

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return LowRankMultivariateNormal(mean, self.factor(x).view(-1, LATENTS, 2), std.square()).rsample()


class AddedNoise(Plain):
    """Noise of fixed size on top of that of the posterior."""

    def sampled(self, x: Tensor) -> Tensor:
        z = super().sampled(x)
        return z + 0.5 * torch.randn_like(z)


class Correlated(Plain):
    """The same noise again, one entry further."""

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        noise = torch.randn_like(mean)
        return mean + std * noise + 0.5 * noise.roll(1, 1)


class HeavyTails(Plain):
    """Student's t: affine in normal noise, but with a spread that is drawn."""

    def sampled(self, x: Tensor) -> Tensor:
        return StudentT(4.0, *self.truth(x)).rsample()


class DrawnSpread(Plain):
    """The spread is drawn from a log-normal distribution."""

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return mean + torch.randn(len(x), 1).exp() * std * torch.randn_like(mean)


class CentredOutput(Plain):
    """The reconstruction is centred on that of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        rows = self.generation(self.sampled(x))
        return rows - rows.mean(0)


class BatchSpread(Plain):
    """The spread is relative to that of the batch."""

    def sampled(self, x: Tensor) -> Tensor:
        mean, std = self.truth(x)
        return mean + std / std.mean(0) * torch.randn_like(mean)


class SamplesAveraged(Plain):
    """Five samples of one posterior, their reconstructions averaged."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (t[:, None].expand(-1, 5, -1) for t in self.truth(x))
        return self.generation(mean + std * torch.randn_like(mean)).mean(1)


class SamplesInALoop(Plain):
    """The same, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.generation(self.sampled(x)) for _ in range(4)]).mean(0)


class NoisyHidden(nn.Module):
    """Noise in proportion to a hidden layer of the decoder, and no names."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.up, self.out = mlp(WIDTH, 16, 2 * LATENTS), mlp(LATENTS, 16, last=nn.Tanh()), nn.Linear(16, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.q(x).chunk(2, 1)
        h = self.up(mean + (0.5 * log_var).exp() * torch.randn_like(mean))
        return self.out(h * (1 + 0.2 * torch.randn_like(h)))


class DropoutAlways(Plain):
    """Dropout on the code in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return self.generation(F.dropout(self.sampled(x), 0.2, training=True))


class ScaledLoss(Textbook):
    """Returns a loss alone; decode takes the code times a number."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        mu, logvar = self.encode(x)
        return F.mse_loss(self.decode(self.reparameterize(mu, logvar) / 0.18), x)


class OtherOrder(Plain):
    """The columns come back the other way round; whoever trains it turns them."""

    def forward(self, x: Tensor) -> Tensor:
        return self.generation(self.sampled(x)).flip(1)


class FewRowsFail(Plain):
    """Wants batches of 20."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 20:
            raise ValueError(f"batch of {len(x)}, at least 20 wanted")
        return self.generation(self.sampled(x))


class Leaves(Plain):
    """Ends the interpreter."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) < 20:
            sys.exit("too few rows")
        return self.generation(self.sampled(x))


class SpreadComputed(Textbook):
    """Without a sample to be seen; the name in the source is that of something else."""

    reparameterize = None  # type: ignore[assignment]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        return mu, torch.exp(0.5 * logvar)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.encode(x)[0]


class KeysOfNoMeaning(Textbook):
    """A dictionary, and nothing samples."""

    reparameterize = None  # type: ignore[assignment]

    def encode(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        h = F.relu(self.fc1(x))
        return {"a": self.fc21(h), "b": self.fc22(h)}

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.encode(x)["a"]


class LaplaceCode(Textbook):
    """Names of a normal posterior, noise of another."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.fc1(x))
        mu, log_scale = self.fc21(h), self.fc22(h)
        return mu, log_scale

    def reparameterize(self, mu: Tensor, log_scale: Tensor) -> Tensor:
        u = torch.rand_like(mu) - 0.5
        return mu - log_scale.exp() * u.sign() * torch.log1p(-2 * u.abs())


class BinaryCode(nn.Module):
    """The encoder returns a distribution, but of bits."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.decoder = mlp(WIDTH, 16, LATENTS), mlp(LATENTS, 16, WIDTH)

    def encode(self, x: Tensor) -> Bernoulli:
        return Bernoulli(logits=self.net(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x).logits


class CorrelatedCode(BinaryCode):
    """Or one of all entries together."""

    def encode(self, x: Tensor) -> MultivariateNormal:  # type: ignore[override]
        mean = self.net(x)
        return MultivariateNormal(mean, torch.eye(LATENTS) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x).mean


class LabelsByKeyword(Textbook):
    """Cannot be run without labels, which its signature does not say; encode of the rows alone is not what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.label = nn.Linear(2, WIDTH)

    def forward(self, x: Tensor, **more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return super().forward(x + self.label(more["labels"]))


class Halves(Plain):
    """Half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.to(torch.bfloat16)


ODD = {
    LowRank: "depends on other noise as well",
    AddedNoise: "still moves with other noise",
    Correlated: "still moves with the same noise",
    HeavyTails: "from run to run",
    DrawnSpread: "depends on other noise as well",
    CentredOutput: "with the codes beside it",
    BatchSpread: "the rows beside it",
    SamplesAveraged: "the same posterior 5 times",
    SamplesInALoop: "the same posterior 4 times",
    NoisyHidden: "tensors of 3 entries, and from those others of 16",
    DropoutAlways: "reconstruction of a code changes from run to run",
    ScaledLoss: "is not the code that it samples",
    OtherOrder: "columns in another order",
    FewRowsFail: "ValueError: batch of 16",
    Leaves: "SystemExit: too few rows",
    SpreadComputed: "nothing says which is what",
    KeysOfNoMeaning: "nothing says which is what",
    LaplaceCode: "no normal noise, only rand_like",
    BinaryCode: "Bernoulli distribution",
    CorrelatedCode: "MultivariateNormal distribution",
    LabelsByKeyword: "KeyError: 'labels'",
    Halves: "whose rounding hides that",
}
