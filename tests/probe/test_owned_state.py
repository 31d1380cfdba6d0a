"""What a forward does to generators, lists and dictionaries of its own model is undone."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.probe import untouched


class Hoarder(nn.Module):
    """Keeps what it sees and draws from generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.p = nn.Linear(4, 4), nn.Linear(2, 4)
        self.torchs, self.numpys, self.pythons = torch.Generator(), np.random.default_rng(3), random.Random(5)
        self.old = np.random.RandomState(7)
        self.seen: list[int] = [1]
        self.last: deque[int] = deque([1, 2], maxlen=2)
        self.cache: dict[str, int] = {"calls": 0}
        self.sizes: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        self.last.append(len(x))
        self.cache["calls"] += 1
        self.cache[str(len(self.cache))] = 1
        self.sizes.add(len(x))
        self.numpys.random()
        self.pythons.random()
        self.old.rand()
        mean, log_std = self.q(x).chunk(2, 1)
        back: Tensor = self.p(mean + log_std.exp() * torch.randn(mean.shape, generator=self.torchs))
        return back


def state(model: Hoarder) -> tuple[object, ...]:
    own = (model.seen, model.last, model.cache, model.sizes)
    drawn = (
        model.torchs.get_state().tolist(),
        str(model.numpys.bit_generator.state),
        model.pythons.getstate(),
        str(model.old.get_state()),
    )
    return (*(id(each) for each in own), *(str(each) for each in own), *drawn)


@pytest.mark.parametrize("fails", [False, True])
def test_generators_and_containers_are_as_before(fails: bool) -> None:
    model = Hoarder()
    before = state(model)
    try:
        with untouched(model):
            model(torch.randn(5, 4))
            assert state(model) != before
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert state(model) == before


def test_an_inspection_leaves_them() -> None:
    model = Hoarder()
    with torch.no_grad():
        model.p.weight.copy_(torch.linalg.pinv(model.q.weight[:2]))
        model.p.bias.zero_()
        model.q.bias.zero_()
    before = state(model)
    found = cp.inspect(model, np.random.default_rng(0).normal(size=(60, 4)))
    assert found.latents == 2
    assert state(model) == before
