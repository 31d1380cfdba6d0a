"""What rounding can do to an output: known answers, and networks on which it must not pass for a fault, nor a fault for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

import circuitprobe as cp
from benchmarks.rounding import engine_of, judged, kernel_differences
from benchmarks.rounding_models import Leaking
from circuitprobe.probe.rounding import FLOOR_UNITS, rounding_limit

EPS = torch.finfo(torch.float32).eps


def limit_of(net: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return rounding_limit(lambda: net(x), net)


def largest(net: nn.Module, x: Tensor) -> Tensor:
    """The largest value of each column."""
    with torch.no_grad():
        return net(x).abs().flatten(1).amax(0)


class Of(nn.Module):
    """A function as a network."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.function(x)
        return out


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_terms_that_cancel_round_as_the_terms_do(size: float) -> None:
    """What is left of a x - a x is the rounding of numbers of the size of a."""
    net = nn.Linear(2, 1)
    nn.init.zeros_(net.bias)
    net.weight.data = torch.tensor([[size, -size]])
    x = torch.ones(64, 2)
    assert bool((net(x) == 0).all())
    assert 0.5 * EPS * size < float(limit_of(net, x)) < 40 * EPS * size


def test_a_row_that_alone_reaches_a_saturated_column_has_draws_enough() -> None:
    """All other rows are 0 to rounding: their draws say nothing of this one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 40), nn.Sigmoid())
    nn.init.constant_(net[0].bias, -15.0)
    net[0].weight.data.abs_()
    alone = torch.randn(1, 8)
    many = torch.cat([torch.full((63, 8), -20.0), alone])
    assert bool((net(many)[:-1] < 1e-3 * net(alone)).all())
    assert bool((limit_of(net, many) > 0.25 * limit_of(net, alone)).all())


@pytest.mark.parametrize(("dtype", "eps"), [(torch.float32, EPS), (torch.float64, torch.finfo(torch.float64).eps)])
def test_limit_follows_the_dtype(dtype: torch.dtype, eps: float) -> None:
    net = nn.Linear(30, 3).to(dtype)
    x = torch.randn(16, 30, dtype=dtype, generator=torch.Generator().manual_seed(0))
    ratio = limit_of(net, x) / largest(net, x)
    assert bool((ratio > 4 * eps).all())
    assert bool((ratio < 400 * eps).all())


def test_limit_grows_with_the_fan_in() -> None:
    """Terms of random sign: the sum grows as the root of their number, and so does what is lost of it."""
    generator = torch.Generator().manual_seed(0)
    limits = []
    for fan_in in (10, 1000):
        net = nn.Linear(fan_in, 50, bias=False)
        net.weight.data = torch.randn(50, fan_in, generator=generator)
        limits.append(float(limit_of(net, torch.randn(64, fan_in, generator=generator)).mean()))
    assert 30 < limits[1] / limits[0] < 300


@pytest.mark.parametrize(("offset", "low", "high"), [(-1e4, 0.05, 40.0), (-9e3, 0.0, 1e-2)])
def test_a_sigmoid_passes_on_the_rounding_of_its_argument_where_it_is_steep(
    offset: float, low: float, high: float
) -> None:
    """sigmoid(1e4 a + 1e4 b + offset): steep where the sum is 0, flat where it is 1,000. In units of EPS * 1e4."""
    net = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    net[0].weight.data, net[0].bias.data = torch.full((1, 2), 1e4), torch.tensor([offset])
    beyond = limit_of(net, torch.full((16, 2), 0.5)) / (1e4 * EPS)
    assert low < float(beyond) < high


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, [2, 0, 1]],
        lambda x: torch.cat([x, -x], 1) * 3.0 + 1.0,
        lambda x: (x * 4).round() / 4,
        lambda x: (torch.arange(float(len(x))) % 5)[:, None] + x,
        lambda x: x.clamp(-1, 1).relu().max(1, keepdim=True).values,
    ],
)
def test_what_is_moved_or_rounded_once_is_the_same_in_every_kernel(function: Any) -> None:
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    net = Of(function)
    torch.testing.assert_close(limit_of(net, x), FLOOR_UNITS * EPS * largest(net, x))


def test_draws_of_the_network_do_not_pass_for_rounding() -> None:
    net = Of(lambda x: x + torch.randn_like(x))
    x = torch.zeros(16, 3)
    before = torch.random.get_rng_state()
    assert float(limit_of(net, x).max()) < 100 * EPS
    assert torch.equal(before, torch.random.get_rng_state())
    assert not engine_of(net, x).independent


def test_weights_are_not_touched() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    limit_of(net, torch.randn(16, 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


class Unwatched(torch.Tensor):
    """A tensor of a class that does not let its operations be watched."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils._python_dispatch import _get_current_dispatch_mode

        if _get_current_dispatch_mode() is not None:
            raise NotImplementedError
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_network_that_cannot_be_watched_is_judged_by_its_result() -> None:
    net = Of(lambda x: (x.as_subclass(Unwatched) * 2.0).as_subclass(Tensor))
    x = torch.randn(16, 3)
    torch.testing.assert_close(limit_of(net, x), 256 * EPS * largest(net, x))


@pytest.mark.parametrize("number", range(0, 64, 7))
def test_networks(number: int) -> None:
    """Every kind with every flaw: nothing sound is refused, and nothing that is off by one part in a thousand passes."""
    lines = list(judged(number))
    assert "+sound network" in lines
    assert [line for line in lines if not line.startswith("+")] == []
    assert kernel_differences(number) < 1


@pytest.mark.parametrize("amount", [1e-3, 1e-4])
def test_a_planted_dependence_is_found_in_a_wide_network(amount: float) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Linear(40, 900), nn.GELU(), nn.Linear(900, 900), nn.GELU(), nn.Linear(900, 30)).eval()
    x = torch.randn(8, 40)
    with torch.no_grad():
        assert engine_of(net, x).independent
        assert not engine_of(Leaking(net, amount, "the number of rows"), x).independent


class Vae(nn.Module):
    def __init__(self, columns: int, hidden: int, latents: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(columns, hidden), nn.Softplus())
        self.mu, self.log_var = nn.Linear(hidden, latents), nn.Linear(hidden, latents)
        self.out = nn.Sequential(nn.Linear(latents, hidden), nn.Softplus(), nn.Linear(hidden, columns))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mu(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.out(z)
        return out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, log_var = self.encode(x)
        return self.decode(mu + torch.randn_like(mu) * (log_var / 2).exp()), mu, log_var


@pytest.mark.parametrize(
    ("columns", "hidden", "latents", "rows"), [(12, 300, 5, 512), (33, 96, 12, 640), (6, 700, 3, 257)]
)
def test_a_collapsed_latent_whose_terms_cancel_is_no_dependence(
    columns: int, hidden: int, latents: int, rows: int
) -> None:
    """The mean of the last latent is a sum of large terms that is all but 0 in every row."""
    torch.manual_seed(columns)
    model = Vae(columns, hidden, latents).eval()
    x = np.random.default_rng(1).normal(size=(rows + 100, columns)).astype(np.float32)
    with torch.no_grad():
        h = model.body(torch.as_tensor(x)).double().numpy()
        least = np.linalg.svd(np.c_[h, np.ones(len(h))], full_matrices=False)[2][-1]
        model.mu.weight[-1], model.mu.bias[-1] = torch.as_tensor(50 * least[:-1]).float(), float(50 * least[-1])
        model.log_var.weight[-1], model.log_var.bias[-1] = 0.0, 0.0
    for seed in (0, 1, 2):
        report = cp.audit(model, x, levels=(2,), rows=rows, seed=seed)
        assert "rows_depend" not in {warning.code for warning in report.warnings}
