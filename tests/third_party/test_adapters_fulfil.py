"""``cp.testing.check_adapter`` on trained models of other libraries, against the libraries' own draws."""

from __future__ import annotations

from typing import Any

import diffusers_models
import pytest
import pythae_models
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.testing import AdapterCheckError


def pythae_draw(model: Any, x: Tensor) -> Tensor:
    """What forward draws: z0 where Hamiltonian steps follow."""
    from pythae.data.datasets import DatasetOutput

    with torch.enable_grad():
        told = model(DatasetOutput(data=x))
    drawn: Tensor = told["z0"] if "z0" in told else told["z"]
    return drawn.detach()


def diffusers_draw(model: Any, x: Tensor) -> Tensor:
    drawn: Tensor = model.encode(2 * x - 1).latent_dist.sample()
    return drawn


@pytest.mark.parametrize("name", ["VAE", "BetaVAE", "HVAE", "VQVAE"])
def test_pythae(name: str) -> None:
    pytest.importorskip("pythae")
    model, rows = pythae_models.trained(name), pythae_models.table().to_numpy()
    result = cp.testing.check_adapter(model, rows, sample=pythae_draw)
    drawn = result["posterior is what the library draws from"]
    assert drawn.passed is (None if name == "VQVAE" else True)


def test_hvae_read_as_the_other_models_are_would_be_found() -> None:
    """The mistake that names invite: log_covariance taken for a log-variance."""
    pytest.importorskip("pythae")
    model, rows = pythae_models.trained("HVAE"), pythae_models.table().to_numpy()
    by_name = cp.wrap(
        model,
        encode=lambda m, x: (m.encoder(x).embedding, m.encoder(x).log_covariance),
        decode=lambda m, z: m.decoder(z).reconstruction,
    )
    with pytest.raises(AdapterCheckError, match="posterior is what the library draws from"):
        cp.testing.check_adapter(by_name, rows, sample=pythae_draw)


def test_diffusers() -> None:
    pytest.importorskip("diffusers")
    x = diffusers_models.images(32)
    model = diffusers_models.train(diffusers_models.make_kl(), diffusers_models.images(), 60)
    cp.testing.check_adapter(model, x, sample=diffusers_draw)
