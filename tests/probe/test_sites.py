"""Which modules of a decoder count as hidden layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from circuitprobe.probe import hidden_sites


def names(model: nn.Module, latents: int = 4) -> list[str]:
    return [site.name for site in hidden_sites(model, model, torch.randn(2, latents))]


def test_activation_modules_of_an_mlp() -> None:
    model = nn.Sequential(
        nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 3)
    )
    assert names(model.eval()) == ["1", "4"]
    assert [site.units for site in hidden_sites(model, model, torch.randn(2, 4))] == [5, 6]


def test_linear_decoder_has_none_and_output_activation_is_not_hidden() -> None:
    assert names(nn.Sequential(nn.Linear(4, 3), nn.Sigmoid())) == []


def test_functional_activation_leaves_the_linear_module() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(z)))

    assert names(Functional()) == ["a"]


def test_parallel_heads_are_output_even_through_functional_steps() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.act = nn.Linear(4, 5), nn.ReLU()
            self.one, self.two, self.three = nn.Linear(5, 1), nn.Linear(5, 2), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            h = self.act(self.trunk(z)) * 1.0
            return torch.cat([self.one(h), self.two(h).softmax(1), self.three(h)], 1)

    assert names(Heads()) == ["act"]


def test_skip_connection_and_shared_module() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.act, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            h = self.act(self.first(z))
            h = h + self.act(self.again(h))
            return self.last(h)

    assert names(Skip()) == ["act", "act#1"]


def test_in_place_activation() -> None:
    assert names(nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 3))) == ["1"]


def test_convolution_units_are_channels() -> None:
    model = nn.Sequential(
        nn.Unflatten(1, (4, 1, 1)), nn.ConvTranspose2d(4, 6, 4), nn.ReLU(), nn.ConvTranspose2d(6, 1, 4)
    )
    (site,) = hidden_sites(model, model, torch.randn(2, 4))
    assert (site.name, site.unit_axis, site.units) == ("2", 1, 6)


def test_recurrent_output_is_a_tuple() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(self.rnn(z[:, None, :].expand(-1, 7, -1))[0])[:, -1]

    model = Recurrent()
    (site,) = hidden_sites(model, model, torch.randn(2, 4))
    assert (site.name, site.unit_axis, site.units) == ("rnn[0]", 2, 5)


def test_torchscript_has_no_sites_and_no_hooks_are_left() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    assert hidden_sites(torch.jit.trace(model, torch.randn(2, 4)), model, torch.randn(2, 4)) == ()
    hidden_sites(model, model, torch.randn(2, 4))
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parametrized_layers_are_layers_and_steps_in_place_are_borne() -> None:
    weight_norm = nn.utils.parametrizations.weight_norm
    model = nn.Sequential(
        nn.LeakyReLU(inplace=True), weight_norm(nn.Linear(4, 5)), nn.ReLU(), weight_norm(nn.Linear(5, 3))
    )
    assert names(model) == ["2"]
