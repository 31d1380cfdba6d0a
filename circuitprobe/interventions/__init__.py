"""The levels of causal intervention, each usable on its own."""

from circuitprobe.interventions.baseline import Baseline, run_baseline
from circuitprobe.interventions.latents import LatentEffects, LatentRun, latent_values, latents, perturb
from circuitprobe.interventions.values import posterior_values, prior_values

__all__ = [
    "Baseline",
    "LatentEffects",
    "LatentRun",
    "latent_values",
    "latents",
    "perturb",
    "posterior_values",
    "prior_values",
    "run_baseline",
]
