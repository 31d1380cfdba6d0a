"""Which way a patch takes on networks as people build them: a self-check that refuses a sound shortcut costs hours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp


class Vae(nn.Module):
    def __init__(self, encoder: nn.Module, width: int, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.mean, self.log_var, self.decoder = encoder, nn.Linear(width, 3), nn.Linear(width, 3), decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        return self.mean(h), self.log_var(h) - 3

    def decode(self, z: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(z)
        return decoded

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


def images(scale: float) -> tuple[Vae, np.ndarray]:
    """Channels 1, 8, 16 down to 4 x 4 and back; the larger the scale, the more pixels a sigmoid has driven to 0 or 1."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU(), nn.Flatten())
    decoder = nn.Sequential(
        nn.Linear(3, 32),
        nn.ReLU(),
        nn.Linear(32, 256),
        nn.ReLU(),
        nn.Unflatten(1, (16, 4, 4)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Sigmoid(),
    )
    vae = Vae(encoder, 256, decoder).eval()
    x = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoder[7].weight *= scale / vae.decoder[:8](vae.encode(x)[0]).std()
    return vae, x.numpy()


@pytest.mark.parametrize("scale", [1.0, 30.0, 60.0])
def test_images(scale: float) -> None:
    """A layer that alone reads a site takes the update, whatever the sigmoid does in the end; two heads read encoder.3."""
    vae, x = images(scale)
    sites = cp.inspect(vae, x).to_frame("sites").query("chosen").set_index(["half", "name"])
    assert sites.way.to_dict() == {
        ("encoder", "encoder.1"): "substitution",
        ("encoder", "encoder.3"): "stubs",
        ("decoder", "decoder.1"): "substitution",
        ("decoder", "decoder.3"): "substitution",
        ("decoder", "decoder.6"): "substitution",
    }


def test_figures_on_images_are_those_of_whole_runs() -> None:
    """The nnsight backend runs the whole network for every intervention."""
    vae, x = images(30.0)
    options: dict[str, Any] = {"sites": ["decoder:*.3", "decoder:*.6", "encoder:*.3"], "sources": 1}
    fast, whole = (cp.interventions.activations(vae, x[:12], backend=b, **options) for b in ("hooks", "nnsight"))
    assert fast.strength.max() > 0.01
    np.testing.assert_allclose(fast.strength, whole.strength, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(fast.changes, whole.changes, rtol=2e-3, atol=1e-6)


def test_tables_of_columns_on_different_scales() -> None:
    """Amounts in the millions, shares, and a probability that a sigmoid keeps near 0."""
    torch.manual_seed(0)

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
            self.out = nn.Linear(16, 3)

        def forward(self, z: Tensor) -> Tensor:
            o = self.out(self.net(z))
            return torch.cat([3e6 + 1e6 * o[:, :1], o[:, 1:2].tanh(), (9 * o[:, 2:] - 25).sigmoid()], 1)

    vae = Vae(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), 8, Heads()).eval()
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    sites = cp.inspect(vae, x).to_frame("sites").query("chosen").set_index("name")
    assert sites.way.to_dict() == {
        "encoder.1": "substitution",
        "decoder.net.1": "substitution",
        "decoder.net.3": "substitution",
    }
