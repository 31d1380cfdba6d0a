"""Odd networks against the slow reference, to 1e-6 in float64, and left as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp

from . import comparing
from .odd_networks import COLUMNS, ODD, OddVAE, chain
from .two_ways import Case, Package, Reference, close
from .vaes import wrap

ROWS = 7
TOLERANCE = 1e-6
LEVELS = comparing.LEVELS


def odd_case(name: str, **options: Any) -> Case:
    rng = np.random.default_rng(3)
    odd = ODD[name]
    sources = np.stack([np.roll(np.arange(ROWS), 1), np.roll(np.arange(ROWS), 3)])
    x = rng.normal(size=(ROWS, COLUMNS))
    return Case(
        odd.build(),
        x,
        sources,
        (*odd.encoder_sites, *odd.decoder_sites),
        groups={"first": ["x0", "x2"], "second": ["x1", "x3"]},
        options=options,
    )


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("level", LEVELS)
def test_against_the_reference(name: str, level: str) -> None:
    case = odd_case(name)
    comparing.one_level(case, level, TOLERANCE)


@pytest.mark.parametrize("name", ODD)
def test_a_path_of_two_steps(name: str) -> None:
    """From the second latent through the first and the last site, where there are two."""
    case = odd_case(name)
    names = [spot.name for spot in case.at("decoder")]
    ends = [f"{names[0]}:1"] + ([f"{names[-1]}:2"] if len(names) > 1 else [])
    steps = ("z1", *ends)
    found, expected = Package().path(case, steps), Reference().path(case, steps)
    close(found.changes, expected.changes, TOLERANCE)
    close(found.strength_rows, expected.strength_rows, TOLERANCE)
    close(found.strength, expected.strength, TOLERANCE)


@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 3}, {"chunk": 100}, {"memory": 2**16}], ids=str)
@pytest.mark.parametrize("name", ["residual", "shared module", "convolutions", "attention", "in place"])
def test_how_it_is_cut_changes_nothing(name: str, options: dict[str, int]) -> None:
    comparing.activations(odd_case(name, **options), TOLERANCE)
    comparing.paths(odd_case(name, **options), "decoder", TOLERANCE)
    comparing.unit_mediation(odd_case(name, **options), TOLERANCE)


def run_level(level: str, vae: Any, x: Any) -> Any:
    """One level with its default sites."""
    half, _, name = level.rpartition(" ")
    return getattr(cp.interventions, name)(vae, x, **({"side": half} if half else {}))


def picture(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that a run could leave a trace in."""
    return {
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "storage": {name: tensor.data_ptr() for name, tensor in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in model.modules()
        ],
        "gradients": [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        "classes": [type(module) for module in model.modules()],
        "random": torch.get_rng_state(),
    }


def assert_unchanged(before: dict[str, Any], model: nn.Module) -> None:
    after = picture(model)
    for name, tensor in before.pop("state").items():
        assert torch.equal(tensor, after["state"][name]), name
    assert torch.equal(before.pop("random"), after["random"])
    for key, value in before.items():
        assert after[key] == value, key
    assert not any("forward" in module.__dict__ for module in model.modules())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["shared module", "dropout", "batch norm", "LSTM", "in place", "tied"])
def test_the_model_is_left_as_it_was(name: str, level: str) -> None:
    case = odd_case(name)
    case.model.decoder.eval()  # type: ignore[union-attr]
    before = picture(case.model)
    run_level(level, wrap(case.model), case.x)
    assert_unchanged(before, case.model)
    assert torch.is_grad_enabled()


class Failing(nn.Module):
    """Passes everything on and fails at its n-th call."""

    def __init__(self, fails_at: int, calls: list[int]) -> None:
        super().__init__()
        self.fails_at, self.calls = fails_at, calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(1)
        if len(self.calls) == self.fails_at:
            raise RuntimeError("out of order")
        return x


def broken_at(number: int, where: str, calls: list[int]) -> OddVAE:
    """Fails at one run of the first module of its encoder, of its decoder, or of either; the same weights each time."""
    torch.manual_seed(0)
    broken = Failing(number, calls)
    trunk = nn.Sequential(broken if where != "decoder" else nn.Identity(), nn.Linear(COLUMNS, 6), nn.Tanh())
    decoder = nn.Sequential(broken if where != "encoder" else nn.Identity(), chain(nn.ReLU(), nn.Dropout()))
    model = OddVAE(decoder, trunk).double()
    model.train()
    return model


@pytest.mark.parametrize("where", ["encoder", "decoder", "either"])
@pytest.mark.parametrize("level", LEVELS)
def test_the_model_is_left_as_it_was_after_a_forward_fails(level: str, where: str) -> None:
    """The fifth forward fails, or a later one: the error comes out, or it hit a trial and every number is right.

    Either way no trace is left.
    """
    x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    calls: list[int] = []
    healthy, came_out = run_level(level, wrap(broken_at(0, where, [])), x), 0
    for number in (5, 6, 9, 13, 18, 25):
        calls.clear()
        model = broken_at(number, where, calls)
        before = picture(model)
        try:
            found = run_level(level, wrap(model), x)
        except (RuntimeError, cp.ModelError) as error:
            came_out += 1
            assert "out of order" in f"{error} {error.__cause__}"
        else:
            for name in ("shift", "strength", "te", "nie"):
                if hasattr(healthy, name):
                    close(getattr(found, name), getattr(healthy, name))
        assert_unchanged(before, model)
    assert came_out, "what this test is about"
