"""Networks as people write them: each is a VAE of 3 latents over 4 columns in float64, with the sites that are patched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from .two_ways import spots

if TYPE_CHECKING:
    from collections.abc import Callable

    from .intervention_reference import Spot

LATENTS, COLUMNS, HIDDEN = 3, 4, 5


class OddVAE(nn.Module):
    """An encoder with a hidden layer and two heads, and whatever decoder is given."""

    def __init__(self, decoder: nn.Module, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.trunk = trunk or nn.Sequential(nn.Linear(COLUMNS, 6), nn.Tanh())
        self.mean, self.log_var = nn.Linear(6, LATENTS), nn.Linear(6, LATENTS)
        self.decoder = decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.mean(hidden), self.log_var(hidden) - 2

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z)
        return out


class Residual(nn.Module):
    """x + f(x), the sum written as an operator."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class InPlaceSum(Residual):
    """The same, the sum written into the branch's own output."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += x
        return functional.relu_(out)


class Dense(nn.Module):
    """Every layer reads everything before it, z included."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(LATENTS, HIDDEN), nn.Linear(LATENTS + HIDDEN, HIDDEN)
        self.act_one, self.act_two = nn.ReLU(), nn.ELU()
        self.out = nn.Linear(LATENTS + 2 * HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        first = self.act_one(self.one(z))
        second = self.act_two(self.two(torch.cat([z, first], 1)))
        out: Tensor = self.out(torch.cat([z, first, second], 1))
        return out


class Twice(nn.Module):
    """A layer and an activation that each run three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.act = nn.Linear(LATENTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        self.out = nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.act(self.first(z))
        hidden = self.act(self.shared(hidden)) + 0.5 * hidden
        hidden = self.act(self.shared(hidden))
        out: Tensor = self.out(hidden)
        return out


class Recurrent(nn.Module):
    """An LSTM over four steps; its output is (sequence, (h, c)), and both are read."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(LATENTS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        steps = torch.arange(1.0, 5.0, dtype=z.dtype)[:, None]
        sequence, (last, _) = self.rnn(z[:, None, :] * steps)
        out: Tensor = self.out(sequence.mean(dim=1) + last[0])
        return out


class Pair(nn.Module):
    """A module of one's own that returns two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(LATENTS, 2 * HIDDEN)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.weight(z).chunk(2, dim=1)
        return torch.relu(left), torch.sigmoid(right)


class Gated(nn.Module):
    """Reads both tensors of a ``Pair``."""

    def __init__(self) -> None:
        super().__init__()
        self.pair, self.out = Pair(), nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        value, gate = self.pair(z)
        out: Tensor = self.out(value * gate)
        return out


class Functional(nn.Module):
    """Activations that are no modules, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(LATENTS, 6), nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        hidden = functional.leaky_relu(self.one(z), 0.2)
        hidden = torch.relu_(self.two(hidden))
        return functional.softplus(self.out(hidden))


class Convolutional(nn.Module):
    """Linear, reshaped by hand to 2 x 2 maps, two convolutions, flattened by hand, cut to the columns."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.act0 = nn.Linear(LATENTS, 12), nn.ReLU()
        self.up, self.act1 = nn.ConvTranspose2d(3, 4, 2), nn.ReLU(inplace=True)
        self.out = nn.Conv2d(4, 1, 2)

    def forward(self, z: Tensor) -> Tensor:
        maps = self.act0(self.project(z)).reshape(len(z), 3, 2, 2)
        out: Tensor = torch.sigmoid(self.out(self.act1(self.up(maps)))).flatten(1)
        return out


class ByPosition(nn.Module):
    """The code cut into positions, each taken through a layer as a row of its own, and put together again."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.act0 = nn.Linear(1, 3), nn.Tanh()
        self.join, self.act1 = nn.Linear(3 * LATENTS, HIDDEN), nn.Tanh()
        self.out = nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        positions = self.act0(self.each(z.reshape(-1, 1))).reshape(len(z), -1)
        out: Tensor = self.out(self.act1(self.join(positions)))
        return out


class Tied(nn.Module):
    """The last layer multiplies by the first one's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(LATENTS, HIDDEN), nn.ReLU()
        self.second = nn.Linear(HIDDEN, LATENTS)
        self.second.weight = nn.Parameter(self.first.weight.detach().T.clone())
        self.third, self.again = nn.Linear(LATENTS, HIDDEN), nn.ReLU()
        self.third.weight = self.first.weight
        self.out = nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        middle = torch.tanh(self.second(self.act(self.first(z))))
        hidden = self.again(self.third(middle))
        out: Tensor = self.out(hidden) + functional.linear(hidden, self.second.weight).sum(1, keepdim=True)
        return out


class Attention(nn.Module):
    """Two heads over three tokens, one per latent."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.act = nn.Linear(2, 4), nn.GELU()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.feed, self.act2 = nn.LayerNorm(4), nn.Linear(4, HIDDEN), nn.GELU()
        self.out = nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        place = torch.arange(LATENTS, dtype=z.dtype).expand_as(z)
        tokens = self.act(self.embed(torch.stack([z, place], 2)))
        mixed, _ = self.attention(tokens, tokens, tokens)
        hidden = self.act2(self.feed(self.norm(tokens + mixed)))
        out: Tensor = self.out(hidden.mean(1))
        return out


class ByHalves(nn.Module):
    """A layer's two halves go different ways, one of them by a view that is written into."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(LATENTS, 6), nn.ReLU()
        self.out = nn.Linear(6, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.act(self.first(z))
        hidden[:, 3:].mul_(hidden[:, :3])
        out: Tensor = self.out(hidden)
        return out


class Switching(nn.Module):
    """Control flow on values: rows whose hidden sum is large are halved."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.out = nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, COLUMNS)

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.act(self.first(z))
        large = hidden.sum(1, keepdim=True) > 1.0
        if bool(large.any()):
            hidden = torch.where(large, hidden / 2, hidden)
        out: Tensor = self.out(hidden)
        return out


def chain(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(LATENTS, HIDDEN), *parts, nn.Linear(HIDDEN, COLUMNS))


def warmed(model: nn.Module) -> nn.Module:
    """Batch norm with statistics of its own, left in training mode."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
                module.weight.normal_()
    return model.train()


@dataclass(frozen=True)
class Odd:
    """A decoder and its sites; ``trunk`` and ``encoder`` where the encoder is the odd one."""

    decoder: Callable[[], nn.Module]
    decoder_sites: tuple[Spot, ...]
    trunk: Callable[[], nn.Module] | None = None
    encoder_sites: tuple[Spot, ...] = spots("trunk.1", half="encoder")

    def build(self) -> nn.Module:
        """Weights from a fixed seed, in training mode: it is the package that must see to eval mode."""
        generator = torch.get_rng_state()
        torch.manual_seed(7)
        model = OddVAE(self.decoder(), self.trunk() if self.trunk else None).double()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(2)  # fresh layers hardly pass anything on
        warmed(model)
        torch.set_rng_state(generator)
        return model


def prefixed(*names: str, axis: int = -1) -> tuple[Spot, ...]:
    return spots(*(f"decoder.{name}" for name in names), axis=axis)


ODD: dict[str, Odd] = {
    "residual": Odd(
        lambda: chain(nn.ReLU(), Residual(nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU()))),
        prefixed("1", "2.body.1"),
    ),
    "sum in place": Odd(
        lambda: chain(nn.Tanh(), InPlaceSum(nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU()))),
        prefixed("1", "2.body.1"),
    ),
    "dense": Odd(Dense, prefixed("act_one", "act_two")),
    "shared module": Odd(Twice, prefixed("act", "act#1", "shared#1", "act#2")),
    "dropout": Odd(lambda: chain(nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5)), prefixed("2", "3")),
    "batch norm": Odd(
        lambda: chain(nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.BatchNorm1d(HIDDEN)), prefixed("1", "2", "3")
    ),
    "LSTM": Odd(Recurrent, prefixed("rnn[0]")),
    "tuple of one's own": Odd(Gated, prefixed("pair.weight")),
    "in place": Odd(
        lambda: chain(nn.ReLU(inplace=True), nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.3, inplace=True)),
        prefixed("1", "2", "3"),
    ),
    "functional": Odd(Functional, prefixed("one", "two")),
    "convolutions": Odd(Convolutional, (*prefixed("act0"), *prefixed("up", "act1", axis=1))),
    "positions as rows": Odd(ByPosition, prefixed("act1")),
    "tied": Odd(Tied, prefixed("act", "again")),
    "smooth": Odd(
        lambda: chain(nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.Sigmoid(), nn.LayerNorm(HIDDEN), nn.Tanh()),
        prefixed("1", "3", "4", "5"),
    ),
    "softmax inside": Odd(
        lambda: nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.Softmax(dim=1), nn.Linear(HIDDEN, COLUMNS)), prefixed("1")
    ),
    "attention": Odd(Attention, prefixed("act", "norm", "act2")),
    "views": Odd(ByHalves, prefixed("first", "act")),
    "control flow": Odd(Switching, prefixed("act")),
    "weight norm": Odd(
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(LATENTS, HIDDEN)),
            nn.ReLU(),
            nn.utils.parametrizations.weight_norm(nn.Linear(HIDDEN, COLUMNS)),
        ),
        prefixed("1"),
    ),
    "linear": Odd(lambda: chain(nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)), prefixed("0", "1", "2")),
    "odd encoder": Odd(
        lambda: chain(nn.ReLU()),
        prefixed("1"),
        trunk=lambda: nn.Sequential(
            nn.Linear(COLUMNS, 6),
            nn.BatchNorm1d(6),
            nn.ReLU(inplace=True),
            Residual(nn.Sequential(nn.Linear(6, 6), nn.ReLU())),
            nn.Dropout(0.4),
        ),
        encoder_sites=spots("trunk.2", "trunk.3.body.1", half="encoder"),
    ),
}
