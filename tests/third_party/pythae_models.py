"""Small pythae models, trained for a second or two, and the factories that a user would write for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

WIDTH, LATENTS = 6, 3


def table(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Two causes, six columns between 0 and 1, as pythae's own decoder ends in a sigmoid."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    columns = {
        "age": a,
        "wage": a + 0.2 * rng.normal(size=rows),
        "rent": a - 0.5 * b,
        "rooms": b,
        "floor": b + 0.2 * rng.normal(size=rows),
        "noise": 0.5 * a * b + 0.2 * rng.normal(size=rows),
    }
    frame = pd.DataFrame({name: 1 / (1 + np.exp(-values)) for name, values in columns.items()})
    # the ends of the range occur, so that scaling to it changes nothing
    return (frame - frame.min()) / (frame.max() - frame.min())


def empty(name: str, **settings: Any) -> nn.Module:
    """An untrained model on rows of the table."""
    from pythae import models

    torch.manual_seed(0)
    config = getattr(models, name + ("_Config" if hasattr(models, f"{name}_Config") else "Config"))
    model: nn.Module = getattr(models, name)(config(input_dim=(WIDTH,), latent_dim=LATENTS, **settings))
    return model


def train(model: nn.Module, x: Tensor, steps: int = 300) -> nn.Module:
    """Adam on the model's own loss, little of it beside the reconstruction at the mean: so few columns would collapse."""
    from pythae.data.datasets import DatasetOutput

    torch.manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    model.train()
    for _ in range(steps):
        batch = x[torch.randint(len(x), (64,))]
        optimiser.zero_grad()
        loss = model(DatasetOutput(data=batch)).loss
        if type(model).__name__ != "VQVAE":
            again = model.decoder(model.encoder(batch).embedding).reconstruction
            loss = 0.02 * loss + (again - batch).square().flatten(1).sum(1).mean()
        loss.backward()
        optimiser.step()
    return model.eval()


SETTINGS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "BetaVAE": {"beta": 0.05},
    "FactorVAE": {"gamma": 0.5},
    "VQVAE": {"num_embeddings": 32},
    "HVAE": {},
}


@cache
def trained(name: str) -> nn.Module:
    """A model of a kind, trained on the table."""
    # FactorVAE's discriminator is five layers of a thousand units
    steps = 100 if name == "FactorVAE" else 300
    return train(empty(name, **SETTINGS[name]), torch.tensor(table().to_numpy(), dtype=torch.float32), steps)


def make_vae() -> nn.Module:
    """What ``--factory pythae_models:make_vae`` runs."""
    return empty("VAE")


def make_betavae() -> nn.Module:
    return empty("BetaVAE", **SETTINGS["BetaVAE"])


def make_factorvae() -> nn.Module:
    return empty("FactorVAE", **SETTINGS["FactorVAE"])


def make_vqvae() -> nn.Module:
    return empty("VQVAE", **SETTINGS["VQVAE"])


def make_hvae() -> nn.Module:
    return empty("HVAE")
