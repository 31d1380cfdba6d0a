"""Random and degenerate networks, by number, and faults of a stated size planted in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ROWS = 8
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.LeakyReLU, nn.Sigmoid)


@dataclass(frozen=True)
class Subject:
    """A network whose rows do not depend on each other.

    Attributes:
        name: its kind, and what makes it degenerate.
        net: in evaluation mode; rows (rows, width) to outputs (rows, ...).
        inputs: rows to run it on, shape (rows, width).
    """

    name: str
    net: nn.Module
    inputs: Tensor


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, ...)."""
        out: Tensor = x + self.body(x)
        return out


class Last(nn.Module):
    """The last step of a recurrent network over the row's numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(1, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, ...)."""
        out: Tensor = self.rnn(x[:, :, None])[0][:, -1]
        return out


class ByHand(nn.Module):
    """Attention, a sum of products and an exponential, with no module for any of them."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(width, 16)), nn.Parameter(torch.randn(width, out))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, ...)."""
        tokens = x[:, :, None] * self.left
        weights = (tokens @ tokens.transpose(1, 2) / 4).softmax(2)
        seen = (weights @ tokens).sum(2)
        return torch.einsum("nw,wo->no", seen, self.right) + (-(x * x).sum(1, keepdim=True)).exp()


def subject(number: int) -> Subject:
    """The network of a number: every kind with every flaw, of random sizes."""
    draw = torch.Generator().manual_seed(number)
    torch.manual_seed(number)
    kind, make = list(KINDS.items())[number % len(KINDS)]
    flaw, spoil = list(FLAWS.items())[number // len(KINDS) % len(FLAWS)]
    width = _one_of(draw, 2, 5, 10, 30)
    net = make(draw, width).eval()
    inputs = spoil(net, torch.randn(ROWS, width, generator=draw))
    return Subject(f"{kind}, {flaw}", net, inputs)


def _one_of(draw: torch.Generator, *choices: int) -> int:
    return choices[int(torch.randint(len(choices), (1,), generator=draw))]


def _activation(draw: torch.Generator) -> nn.Module:
    return ACTIVATIONS[_one_of(draw, *range(len(ACTIVATIONS)))]()


def _perceptron(draw: torch.Generator, width: int) -> nn.Module:
    hidden, layers = _one_of(draw, 4, 16, 64, 200, 400), []
    for _ in range(_one_of(draw, 1, 1, 2, 3, 6)):
        layers += [nn.Linear(width, hidden), _activation(draw)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, _one_of(draw, 1, 4, 20, 100)))


def _normalised(draw: torch.Generator, width: int) -> nn.Module:
    hidden, layers = _one_of(draw, 8, 64, 200), []
    for _ in range(_one_of(draw, 1, 2, 4)):
        batch = nn.BatchNorm1d(hidden)
        batch.running_mean = torch.randn(hidden, generator=draw)
        batch.running_var = torch.rand(hidden, generator=draw) + 0.05
        layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden) if _one_of(draw, 0, 1) else batch, _activation(draw)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, 6))


def _deep(draw: torch.Generator, width: int) -> nn.Module:
    hidden = _one_of(draw, 32, 128)
    blocks = [Residual(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), _activation(draw)) for _ in range(5)]
    return nn.Sequential(nn.Linear(width, hidden), *blocks, nn.Linear(hidden, 8))


def _maps(draw: torch.Generator, width: int) -> nn.Module:
    channels = _one_of(draw, 4, 8, 16)
    return nn.Sequential(
        nn.Linear(width, channels * 16), _activation(draw), nn.Unflatten(1, (channels, 4, 4)),
        nn.ConvTranspose2d(channels, channels, 4, 2, 1), nn.BatchNorm2d(channels), _activation(draw),
        nn.ConvTranspose2d(channels, _one_of(draw, 1, 3, 8), 4, 2, 1), nn.Flatten(),
    )  # fmt: skip


def _convolved(draw: torch.Generator, width: int) -> nn.Module:
    channels = _one_of(draw, 4, 8, 16)
    return nn.Sequential(
        nn.Linear(width, 144), nn.Unflatten(1, (1, 12, 12)), nn.Conv2d(1, channels, 3, 1, 1), _activation(draw),
        nn.Conv2d(channels, channels, 3, 1, 1), _activation(draw), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(channels * 36, 5),
    )  # fmt: skip


def _sequence(draw: torch.Generator, width: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, _one_of(draw, 1, 2, 4), 32, batch_first=True)
    return nn.Sequential(nn.Linear(width, 64), nn.Unflatten(1, (4, 16)), layer, nn.Flatten(), nn.Linear(64, 5))


def _recurrent(draw: torch.Generator, _width: int) -> nn.Module:
    hidden = _one_of(draw, 8, 32)
    return nn.Sequential(Last(hidden), nn.Linear(hidden, 20), _activation(draw), nn.Linear(20, 5))


def _by_hand(draw: torch.Generator, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 12), _activation(draw), ByHand(12, 5))


KINDS: dict[str, Callable[[torch.Generator, int], nn.Module]] = {
    "perceptron": _perceptron,
    "normalised": _normalised,
    "residual blocks": _deep,
    "transposed convolutions": _maps,
    "convolutions": _convolved,
    "attention": _sequence,
    "recurrent": _recurrent,
    "no modules": _by_hand,
}


def _linears(net: nn.Module) -> list[nn.Linear]:
    return [module for module in net.modules() if type(module) is nn.Linear]


def _none(_net: nn.Module, inputs: Tensor) -> Tensor:
    return inputs


@torch.no_grad()
def _saturated(net: nn.Module, inputs: Tensor) -> Tensor:
    """A sigmoid at the end, whose arguments are up to a hundred in size."""
    last = [module for module in net.modules() if hasattr(module, "weight") and not list(module.children())][-1]
    last.weight *= 60.0 / net(inputs).std().clamp(min=1e-3)
    if isinstance(net, nn.Sequential):
        net.append(nn.Sigmoid())
    return inputs


@torch.no_grad()
def _cancelling(net: nn.Module, inputs: Tensor) -> Tensor:
    """Columns whose terms cancel in every row: the weights are what is least of the layer's inputs."""
    last, seen = _linears(net)[-1], []
    hook = last.register_forward_pre_hook(lambda _module, given: seen.append(given[0].flatten(0, -2)))
    net(inputs)
    hook.remove()
    directions = torch.linalg.svd(seen[0].double(), full_matrices=True)[2]
    last.weight[0] = 4 * directions[-1].float()
    last.bias[0] = 0.0
    return inputs


@torch.no_grad()
def _collapsed(net: nn.Module, inputs: Tensor) -> Tensor:
    """Inputs that nothing listens to, and one unit in three that is dead."""
    _linears(net)[0].weight[:, 0] = 0.0
    _linears(net)[0].weight[::3] = 0.0
    return inputs


@torch.no_grad()
def _large(net: nn.Module, inputs: Tensor) -> Tensor:
    """A large offset goes in, and columns of very different sizes come out."""
    if isinstance(net[-1], nn.Linear):
        net[-1].weight *= torch.logspace(-3, 6, len(net[-1].weight))[:, None]
    return inputs + 100.0


@torch.no_grad()
def _tiny(net: nn.Module, inputs: Tensor) -> Tensor:
    for parameter in net.parameters():
        parameter.mul_(1e-2)
    return inputs * 1e-4


@torch.no_grad()
def _huge(net: nn.Module, inputs: Tensor) -> Tensor:
    _linears(net)[0].weight *= 1e3
    return inputs


def _same_rows(_net: nn.Module, inputs: Tensor) -> Tensor:
    return inputs[:1].expand(len(inputs), -1).clone()


FLAWS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "sound": _none,
    "saturated": _saturated,
    "columns that cancel": _cancelling,
    "dead inputs and units": _collapsed,
    "large offsets": _large,
    "tiny weights": _tiny,
    "huge weights": _huge,
    "equal rows": _same_rows,
}


class Leaking(nn.Module):
    """A network whose rows depend on each other.

    Args:
        net: the network.
        amount: of the dependence, over the largest value of each output column.
        how: what of the other rows arrives.
    """

    def __init__(self, net: nn.Module, amount: float, how: str) -> None:
        super().__init__()
        self.net, self.amount, self.how = net, amount, how

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, ...)."""
        out: Tensor = self.net(x)
        sizes = out.detach().abs().flatten(1).amax(0).view(out.shape[1:])
        return out + self.amount * sizes * LEAKS[self.how](x).view(-1, *[1] * (out.ndim - 1))


LEAKS: dict[str, Callable[[Tensor], Tensor]] = {
    "the number of rows": lambda x: torch.full_like(x[:, 0], float(len(x) % 7)),
    "the place in the batch": lambda x: torch.arange(len(x), dtype=x.dtype) % 5 / 2,
    "the row before": lambda x: (torch.arange(len(x), dtype=x.dtype) + x.mean(1)).roll(1) % 3,
}
