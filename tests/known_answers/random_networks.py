"""Random architectures for hypothesis: encoder, decoder, rows, sources and how the work is cut, all from one draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from .intervention_reference import Spot
from .odd_networks import Residual
from .two_ways import Case

if TYPE_CHECKING:
    from collections.abc import Callable

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.1),
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}
LINKS: dict[str, Callable[[], list[nn.Module]]] = {
    "none": list,
    "sigmoid": lambda: [nn.Sigmoid()],
    "softmax": lambda: [nn.Softmax(dim=1)],
}


@dataclass(frozen=True)
class Layer:
    """One hidden layer: its width and what stands behind the weights; ``residual`` keeps the width before it."""

    width: int
    activation: str
    norm: str
    dropout: bool
    residual: bool
    chained: bool

    def build(self, before: int) -> tuple[list[nn.Module], int]:
        width = before if self.residual else self.width
        parts: list[nn.Module] = [nn.Linear(before, width)]
        if self.chained:
            parts.append(nn.Linear(width, width))
        if self.norm != "none":
            parts.append(nn.LayerNorm(width) if self.norm == "layer" else nn.BatchNorm1d(width))
        parts.append(ACTIVATIONS[self.activation]())
        if self.dropout:
            parts.append(nn.Dropout(0.3))
        return ([Residual(nn.Sequential(*parts))] if self.residual else parts), width


class Maps(nn.Module):
    """(rows, channels * 4) -> (rows, channels, 2, 2), no module of torch's."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1, 2, 2)


class Flat(nn.Module):
    """(rows, ...) -> (rows, everything)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class RandomNetwork(nn.Module):
    """A trunk with two heads, and a decoder."""

    def __init__(self, trunk: nn.Sequential, heads: tuple[nn.Module, nn.Module], decoder: nn.Sequential) -> None:
        super().__init__()
        self.trunk, self.mean, self.log_var, self.decoder = trunk, *heads, decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.mean(hidden), torch.tanh(self.log_var(hidden)) - 2

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z)
        return out


@st.composite
def layers(draw: st.DrawFn, *, most: int) -> list[Layer]:
    """One to ``most`` hidden layers."""
    return [
        Layer(
            width=draw(st.integers(1, 12)),
            activation=draw(st.sampled_from(sorted(ACTIVATIONS))),
            norm=draw(st.sampled_from(["none", "none", "layer", "batch"])),
            dropout=draw(st.booleans()),
            residual=draw(st.sampled_from([False, False, True])),
            chained=draw(st.sampled_from([False, False, True])),
        )
        for _ in range(draw(st.integers(1, most)))
    ]


def stacked(hidden: list[Layer], before: int) -> tuple[list[nn.Module], int]:
    parts: list[nn.Module] = []
    for layer in hidden:
        added, before = layer.build(before)
        parts += added
    return parts, before


def convolutions(draw: st.DrawFn, latents: int) -> tuple[list[nn.Module], int]:
    """Linear to 2 x 2 maps, up to 3 x 3, another convolution; 9 or 4 columns come out."""
    first, second = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    activation = st.sampled_from(sorted(ACTIVATIONS)).map(ACTIVATIONS.__getitem__)
    parts: list[nn.Module] = [nn.Linear(latents, 4 * first), draw(activation)(), Maps()]
    parts += [nn.ConvTranspose2d(first, second, 2), draw(activation)()]
    if draw(st.booleans()):
        parts.insert(4, nn.BatchNorm2d(second))
    padded = draw(st.booleans())
    parts += [nn.Conv2d(second, 1, 3 if padded else 2, padding=int(padded)), Flat()]
    return parts, 9 if padded else 4


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Weights of a size that passes signals on, and batch statistics that are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (1.6 / fan**0.5))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def leaves(model: nn.Module, half: str, under: str) -> list[Spot]:
    """Every leaf that has units, in the order in which it runs; channels where the maps are."""
    spots, maps = [], False
    for name, module in model.get_submodule(under).named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | Maps):
            maps = True
        if isinstance(module, Maps | Flat):
            maps = maps and not isinstance(module, Flat)
            continue
        if not list(module.children()):
            spots.append(Spot(half, f"{under}.{name}", axis=1 if maps else -1))
    return spots


@st.composite
def cases(draw: st.DrawFn, dtype: torch.dtype) -> Case:
    """A random model with rows, sources, sites and settings."""
    latents, seed = draw(st.integers(1, 4)), draw(st.integers(0, 10**6))
    if draw(st.sampled_from([False, False, True])):
        parts, columns = convolutions(draw, latents)
    else:
        columns = draw(st.integers(2, 5))
        parts, width = stacked(draw(layers(most=4)), latents)
        parts.append(nn.Linear(width, columns))
    parts += LINKS[draw(st.sampled_from(sorted(LINKS)))]()
    trunk, width = stacked(draw(layers(most=2)), columns)
    heads = (nn.Linear(width, latents), nn.Linear(width, latents))
    model = randomised(RandomNetwork(nn.Sequential(*trunk), heads, nn.Sequential(*parts)), seed).to(dtype)
    model.train(draw(st.booleans()))
    rows, rng = draw(st.integers(3, 20)), np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32).astype(np.float64)
    for column in range(columns):
        if draw(st.sampled_from([False, False, False, True])):
            x[:, column] = np.arange(rows) % 2
    return Case(
        model,
        x,
        rng.integers(rows, size=(draw(st.integers(1, 2)), rows)),
        tuple(chosen_sites(draw, model)),
        groups=draw(st.sampled_from([None, {"all": [f"x{j}" for j in range(columns)]}, halves(columns)])),
        options={
            "chunk": draw(st.none() | st.integers(1, 25)),
            "memory": draw(st.sampled_from([2**17, 2**20, 2**30])),
        },
    )


def halves(columns: int) -> dict[str, list[str]]:
    return {"even": [f"x{j}" for j in range(0, columns, 2)], "odd": [f"x{j}" for j in range(1, columns, 2)]}


def chosen_sites(draw: st.DrawFn, model: Any) -> list[Spot]:
    """Up to three places of the decoder and two of the encoder, in the order in which they run."""
    chosen: list[Spot] = []
    for half, under, most in (("encoder", "trunk", 2), ("decoder", "decoder", 3)):
        found = leaves(model, half, under)
        picked = draw(st.sets(st.sampled_from(range(len(found))), min_size=1, max_size=most))
        chosen += [found[number] for number in sorted(picked)]
    return chosen
