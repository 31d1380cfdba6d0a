"""A model comes out of ``untouched`` as it went in, on every way out."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from circuitprobe.probe import capture, untouched
from circuitprobe.types import Site


class Untidy(nn.Module):
    """A forward that changes whatever it can reach."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("total", torch.zeros(1))
        self.note = "as built"

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.total = self.total + x.sum()
        self.note = "changed"
        self.left_behind = x
        torch.rand(2)
        np.random.rand()  # noqa: NPY002 - the model's habit under test
        random.random()
        self.layer.weight.requires_grad_(False)
        self.train()
        self.layer.register_forward_hook(lambda *_: None)
        return self.drop(self.norm(self.layer(x)))


def picture(model: nn.Module) -> dict[str, object]:
    return {
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "buffers": {name: id(tensor) for name, tensor in model.named_buffers()},
        "training": [module.training for module in model.modules()],
        "grads": [parameter.requires_grad for parameter in model.parameters()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "attributes": [sorted(module.__dict__) for module in model.modules()],
        "note": getattr(model, "note", None),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),  # noqa: NPY002
        "python": random.getstate(),
    }


def assert_same(before: object, after: object) -> None:
    if isinstance(before, Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, np.ndarray):
        assert np.array_equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    else:
        assert before == after


@pytest.mark.parametrize("how", ["normally", "by an error", "by ctrl-C"])
def test_model_and_generators_are_as_before(how: str) -> None:
    model = Untidy()
    model.norm.eval()  # a mixed state must come back mixed
    before = picture(model)
    stop = {"by an error": ValueError, "by ctrl-C": KeyboardInterrupt}.get(how)
    try:
        with untouched(model):
            model(torch.ones(4, 3))
            assert not torch.is_grad_enabled()
            if stop:
                raise stop
    except (ValueError, KeyboardInterrupt) as error:
        assert stop is type(error)
    assert_same(before, picture(model))
    assert torch.is_grad_enabled()


def test_inside_the_model_is_in_eval_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(2, 2))
    with untouched(model):
        assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.modules())


def test_users_own_hooks_survive_and_run() -> None:
    model, seen = nn.Linear(2, 2), []
    model.register_forward_hook(lambda *_: seen.append(1))
    with untouched(model):
        model(torch.ones(1, 2))
    model(torch.ones(1, 2))
    assert len(seen) == 2


def test_capture_clones_and_leaves_no_hook_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    linear, relu = Site("0", units=2), Site("1", units=2)
    with pytest.raises(RuntimeError, match="inside"), capture(model, [linear, relu]) as recording:
        out = model(torch.tensor([[1.0, -1.0]]))
        assert torch.equal(recording.tensors[relu], out)
        # the in-place ReLU must not have changed what was recorded before it
        assert torch.equal(recording.tensors[linear].clamp(min=0), out)
        assert recording.tensors[linear].data_ptr() != out.data_ptr()
        raise RuntimeError("inside")
    assert not any(module._forward_hooks for module in model.modules())


def test_capture_tells_calls_of_one_module_apart() -> None:
    shared = nn.Linear(2, 2)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = shared

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(torch.tanh(self.shared(x)))

    model, x = Twice(), torch.ones(1, 2)
    first, second = Site("shared", units=2), Site("shared", units=2, call=1)
    with capture(model, [first, second]) as recording:
        for _ in range(2):
            recording.clear()
            out = model(x)
        assert torch.equal(recording.tensors[first], shared(x))
        assert torch.equal(recording.tensors[second], out)
