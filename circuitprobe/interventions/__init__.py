"""The levels of causal intervention, each usable on its own."""

from circuitprobe.interventions.activations import ActivationEffects, Unit, activations
from circuitprobe.interventions.baseline import Baseline, run_baseline
from circuitprobe.interventions.circuits import Circuit
from circuitprobe.interventions.inputs import InputEffects, inputs
from circuitprobe.interventions.latents import LatentEffects, LatentRun, latents, perturb
from circuitprobe.interventions.mediation import Mediation, mediation
from circuitprobe.interventions.paths import PathEffect, PathEffects, path, paths
from circuitprobe.interventions.subject import prepared
from circuitprobe.interventions.unit_mediation import UnitMediation, unit_mediation
from circuitprobe.interventions.values import latent_values, posterior_values, prior_values

__all__ = [
    "ActivationEffects",
    "Baseline",
    "Circuit",
    "InputEffects",
    "LatentEffects",
    "LatentRun",
    "Mediation",
    "PathEffect",
    "PathEffects",
    "Unit",
    "UnitMediation",
    "activations",
    "inputs",
    "latent_values",
    "latents",
    "mediation",
    "path",
    "paths",
    "perturb",
    "posterior_values",
    "prepared",
    "prior_values",
    "run_baseline",
    "unit_mediation",
]
