"""A random nonlinear VAE over two numeric columns, a flag and a categorical column of three, with random rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import circuitprobe as cp
from circuitprobe.types import Decode, Feature, FeatureKind, Link

from .vaes import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array = np.ndarray[Any, Any]

WIDTH, LATENTS = 6, 3
GROUPS = {"amounts": ["income", "age"], "labels": ["flag", "kind"]}


def features() -> tuple[Feature, ...]:
    return (
        Feature("income", FeatureKind.NUMERIC, (0,), Decode((0,))),
        Feature("age", FeatureKind.NUMERIC, (1,), Decode((1,))),
        Feature("flag", FeatureKind.BINARY, (2,), Decode((2,), Link.SIGMOID), ("no", "yes")),
        Feature("kind", FeatureKind.CATEGORICAL, (3, 4, 5), Decode((3, 4, 5), Link.SOFTMAX), ("A", "B", "C")),
    )


def random_rows(rng: np.random.Generator, count: int) -> Array:
    """Correlated rows; every category and both flags occur."""
    common = rng.normal(size=count)
    kind = rng.integers(3, size=count)
    kind[:3] = [0, 1, 2]
    flag = (common + rng.normal(size=count) > 0).astype(float)
    flag[:2] = [0, 1]
    income = 3 * common + rng.normal(size=count) + 5
    age = 0.5 * rng.normal(size=count) + kind
    return np.column_stack([income, age, flag, np.eye(3)[kind]])


class RandomVAE(nn.Module):
    """Encoder 6-8-(3, 3) with tanh; decoder 3-5-tanh-4-ReLU-6, outputs before sigmoid and softmax."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, gain: float = 1.0) -> nn.Linear:
            weight = gain * rng.normal(size=(outputs, inputs)) / np.sqrt(inputs)
            return linear(weight, list(0.3 * rng.normal(size=outputs)))

        self.trunk = nn.Sequential(layer(WIDTH, 8, 0.5), nn.Tanh())
        self.mean = layer(8, LATENTS, 2.0)
        self.log_var = layer(8, LATENTS)
        self.decoder = nn.Sequential(
            layer(LATENTS, 5, 1.5), nn.Tanh(), layer(5, 4, 2.0), nn.ReLU(), layer(4, WIDTH, 2.0)
        )

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.trunk(x)
        return self.mean(hidden), self.log_var(hidden) - 1

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.decoder(z)
        return out


@dataclass(frozen=True)
class Rewiring:
    """The same VAE seen differently: latents in another order or sign, columns in another order or unit.

    Attributes:
        latents: position i holds original latent ``latents[i]``.
        signs: factor 1 or -1 per position.
        dims: dimension j holds original dimension ``dims[j]``.
        units: factor per original dimension, what one original unit becomes.
        extra: latents added behind that carry the first dimensions of x and that the decoder does not read.
    """

    latents: Sequence[int] = range(LATENTS)
    signs: Sequence[float] = (1.0,) * LATENTS
    dims: Sequence[int] = range(WIDTH)
    units: Sequence[float] = (1.0,) * WIDTH
    extra: int = 0

    def rows(self, x: Array) -> Array:
        moved: Array = (x * np.array(self.units))[:, list(self.dims)]
        return moved

    def wrap(self, module: RandomVAE) -> Any:
        order, sign = list(self.latents), torch.tensor(self.signs, dtype=torch.float64)
        dims, units = list(self.dims), torch.tensor(self.units, dtype=torch.float64)
        back_dims, back_latents = list(np.argsort(dims)), list(np.argsort(order))

        def encode(m: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = m.encode(x[:, back_dims] / units)
            mean, log_var = mean[:, order] * sign, log_var[:, order]
            added = x[:, : self.extra]
            return torch.cat([mean, added], 1), torch.cat([log_var, torch.full_like(added, -1.0)], 1)

        def decode(m: Any, z: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = m.decode((z[:, :LATENTS] * sign)[:, back_latents]) * units
            return out[:, dims]

        return cp.wrap(module, encode=encode, decode=decode)

    def features(self) -> tuple[Feature, ...]:
        """Features in the order in which their first dimension appears."""
        where = {dim: position for position, dim in enumerate(self.dims)}
        moved = []
        for feature in features():
            dims = tuple(where[dim] for dim in feature.dims)
            moved.append(
                Feature(feature.name, feature.kind, dims, Decode(dims, feature.decode.link), feature.categories)
            )
        return tuple(sorted(moved, key=lambda feature: min(feature.dims)))
