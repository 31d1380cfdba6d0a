"""Which rows and units levels 3 and 4 are run on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.interventions.candidates import candidates
from circuitprobe.interventions.paths import side_sites
from circuitprobe.interventions.senders import decoder_side, recorder, sender_of
from circuitprobe.levels import budget
from circuitprobe.levels.budget import FEWEST_ROWS, FEWEST_UNITS, plan
from circuitprobe.types import Site


class Vae(nn.Module):
    """Latent 0 moves the output through units 2 and 5 of 8 only; unit 7 moves most and is read by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
        with torch.no_grad():
            for layer in (self.decoder[0], self.decoder[2]):
                layer.weight.zero_()
                layer.bias.zero_()
            self.decoder[0].weight[[2, 5, 7], 0] = torch.tensor([0.5, -0.3, 4.0])
            self.decoder[2].weight[:, 2] = 1.0
            self.decoder[2].weight[1, 5] = 2.0

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


def prepared() -> object:
    x = np.random.default_rng(0).normal(size=(40, 3))
    vae = cp.wrap(
        Vae().double(), encode=lambda m, x: (x[:, :2], torch.zeros_like(x[:, :2])), decode=lambda m, z: m.decode(z)
    )
    return cp.interventions.prepared(vae, x)


def test_candidates_are_the_units_that_reach_the_output() -> None:
    with prepared() as ready:  # type: ignore[attr-defined]
        side = decoder_side(ready)
        sites = side_sites(ready, "decoder", None)
        sender = sender_of(side, 0, sites, recorder(side, sites))
        assert candidates(sender, sites[0], 2, seed=0).tolist() == [2, 5]
        assert candidates(sender, sites[0], 99, seed=0).tolist() == list(range(8))


def test_a_small_network_is_patched_whole_and_a_dear_one_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with prepared() as ready:  # type: ignore[attr-defined]
        small = plan(ready, [("decoder", Site("decoder.1", units=8))], 2, None, None, 0)
        assert small.patched.tolist() == small.treated.tolist() == list(range(40))
        assert small.units >= 8
        monkeypatch.setattr(budget, "ROW_WORK", 1.0)
        monkeypatch.setattr(budget, "UNIT_WORK", 1.0)
        dear = plan(ready, [("decoder", Site("decoder.1", units=10**4))], 2, None, None, 0)
        assert len(dear.patched) == FEWEST_ROWS
        assert dear.units == FEWEST_UNITS
        assert sorted(set(dear.patched.tolist())) == dear.patched.tolist()
        asked = plan(ready, [("decoder", Site("decoder.1", units=8))], 2, 5, 3, 0)
        assert (len(asked.patched), len(asked.treated), asked.units) == (5, 5, 3)
