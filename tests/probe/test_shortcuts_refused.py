"""Networks on which a shortcut looks right on a few rows or units and is not: the engine must not take it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp


class Vae(nn.Module):
    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 6)
        self.dec = decoder


class TwoScales(nn.Module):
    """A probability, whose layer hears the site a second time, beside an income."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.small = nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 2)
        self.b, self.big = nn.Linear(7, 7), nn.Linear(7, 2)

    def forward(self, z: Tensor) -> Tensor:
        h = self.act(self.a(z))
        p = torch.sigmoid(self.small(h))
        return torch.cat([p, 50_000 + 20_000 * self.big(torch.relu(self.b(h)))], 1)


class Gate(nn.Module):
    """On one row in twenty the first layer is read again at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.h, self.second, self.o = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, z: Tensor) -> Tensor:
        a = self.h(self.first(z))
        return self.o(torch.relu(self.second(a)) + (z[:, :1] > 1.6).float() * 5 * a)


class Clamped(nn.Linear):
    """A linear layer by name: it does not let three of its inputs grow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x[:, :1], x[:, 1:4].clamp(max=0.1), x[:, 4:]], 1))


class OtherDtype(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Linear(3, 6).double(), nn.ReLU(), nn.Linear(6, 4).double()

    def forward(self, z: Tensor) -> Tensor:
        return self.b(self.act(self.a(z.double()))).float()


class Squeezed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).squeeze()


def clamped() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), Clamped(8, 6), nn.ReLU(), nn.Linear(6, 4))


def hooked() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
    net[2].register_forward_pre_hook(lambda _m, given: (given[0].index_fill(1, torch.tensor([2]), 0.3),))
    return net


def wrapped(decoder: nn.Module) -> tuple[cp.ProbedVAE, np.ndarray]:
    torch.manual_seed(3)
    for parameter in decoder.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.5, 0.5)
    model = Vae(decoder)
    x = np.random.default_rng(5).normal(size=(65, 4)).astype(np.float32)

    def encode(m: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        both = m.encoder(rows) * 2
        return both[:, :3], both[:, 3:] - 3

    return cp.wrap(model, encode=encode, decode=lambda m, z: m.dec(z)), x


@pytest.mark.parametrize("make", [TwoScales, Gate, clamped, hooked, OtherDtype, Squeezed])
def test_figures_are_those_of_whole_runs(make: Any) -> None:
    """The nnsight backend runs the whole network for every intervention."""
    vae, x = wrapped(make())
    options = {"memory": 8192} if make is Squeezed else {}
    fast = cp.interventions.activations(vae, x, sources=1, **options)
    whole = cp.interventions.activations(vae, x, sources=1, backend="nnsight")
    np.testing.assert_allclose(fast.strength, whole.strength, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(fast.changes, whole.changes, rtol=2e-3, atol=1e-6)


class LastRow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z - z[-1:])


class Sorted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, z: Tensor) -> Tensor:
        order = z[:, 0].argsort()
        return self.net(z[order])[order.argsort()]


def test_rows_that_hang_on_the_last_one_are_run_at_once_and_said() -> None:
    vae, x = wrapped(LastRow())
    report = cp.audit(vae, x, levels=(3,), resamples=20, permutations=10)
    assert "rows_depend" in {warning.code for warning in report.warnings}
    assert {site.way for site in report.activations.sites} == {"plain"}


def test_a_site_in_another_order_is_refused() -> None:
    vae, x = wrapped(Sorted())
    with pytest.raises(cp.ModelError, match="not in the order of the input's rows"):
        cp.interventions.activations(vae, x)
