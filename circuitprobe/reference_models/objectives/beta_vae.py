"""beta-VAE: reconstruction + beta KL (Higgins et al. 2017, ICLR)."""

from __future__ import annotations

from circuitprobe.reference_models.objectives.objective import Objective, Strength

BETA = Strength(table=2.0, image=4.0)
"""Higgins et al. use 4 on 2D shapes and up to 250 on large images; Locatello et al. 2019 sweep 1 to 16. A table has few columns
per latent: with learned variances and warm-up 4 leaves german_credit without an active latent, 2 leaves at least 4 on
each of the four benchmark tables (benchmarks/REFERENCE_MODELS.md)."""


def beta_vae(beta: float) -> Objective:
    """Reconstruction + beta KL; sums over latents, so that beta needs no scaling by their number."""
    return Objective("beta-vae", kl_weight=beta, strength=("beta", beta))
