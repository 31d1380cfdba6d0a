"""VAE: the negative ELBO (Kingma and Welling 2014, arXiv 1312.6114)."""

from __future__ import annotations

from circuitprobe.reference_models.objectives.objective import Objective


def vae() -> Objective:
    """Reconstruction + KL."""
    return Objective("vae", strength=("beta", 1.0))
