"""Hidden layers of models that do not run, or not through, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from circuitprobe.probe import hidden_sites
from circuitprobe.probe.layers import _layers_by_running, find_layers

CODES = torch.linspace(-1.0, 1.0, 8).reshape(2, 4)


class Heads(nn.Module):
    """A skip connection, a module that runs twice, and three heads that are fed through ``step``."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.first, self.again, self.act = nn.Linear(4, 5), nn.Linear(5, 5), nn.Sigmoid()
        self.norm = nn.LayerNorm(5)
        self.one, self.two, self.three = nn.Linear(5, 1), nn.Linear(5, 2), nn.Linear(5, 3)
        self.step = step

    def forward(self, z: Tensor) -> Tensor:
        h = self.act(self.first(z))
        h = h + self.act(self.again(h))
        h = torch.relu(self.norm(h))
        if self.step == "numpy":
            h = torch.from_numpy(h.numpy() * 2)
        if self.step == "in place":
            h += 1  # relu keeps its result for the gradient
        return torch.cat([self.one(h), self.two(h).softmax(1), self.three(h)], 1)


@pytest.mark.parametrize("step", ["plain", "numpy", "in place"])
def test_same_layers_with_and_without_gradients(step: str) -> None:
    torch.manual_seed(0)
    model = Heads(step)
    assert [site.name for site in hidden_sites(model, model, CODES)] == ["act", "act#1"]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "model",
    [
        Heads("plain"),
        nn.Sequential(
            nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 6), nn.LayerNorm(6), nn.Linear(6, 3), nn.Sigmoid()
        ),
        nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.ConvTranspose2d(4, 6, 4), nn.ReLU(), nn.ConvTranspose2d(6, 1, 4)),
        nn.Sequential(nn.Linear(4, 3)),
    ],
    ids=["heads", "mlp", "convolutions", "linear"],
)
def test_running_finds_what_gradients_find(model: nn.Module) -> None:
    with torch.no_grad():
        assert _layers_by_running(model, model, CODES) == find_layers(model, model, CODES)


def test_without_gradients_draws_are_the_same_in_every_run() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.other = nn.Linear(4, 5), nn.Linear(4, 3)

        def forward(self, z: Tensor) -> Tensor:
            noise = torch.randn_like(z)
            return torch.cat([torch.from_numpy(self.head(z).numpy()), self.other(z + noise)], 1)

    model = Noisy()
    assert hidden_sites(model, model, CODES) == ()


def test_a_model_that_fails_without_gradients_too_says_why() -> None:
    class Broken(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            raise ZeroDivisionError("by design")

    with pytest.raises(ZeroDivisionError, match="by design"):
        hidden_sites(nn.Sequential(Broken()), Broken(), CODES)


def test_layers_that_no_gradient_reaches() -> None:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(8, 5), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(self.table(z.argmax(1)) * 2)

    model = Lookup()
    assert [(layer.output.name, layer.hidden, layer.reached) for layer in find_layers(model, model, CODES)] == [
        ("table", False, False),
        ("out", False, False),
    ]
