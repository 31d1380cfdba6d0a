"""Reference models: variational autoencoders for tables, their objectives, training and checkpoints."""

from __future__ import annotations

from circuitprobe.reference_models.architectures import ArchitectureConfig, TableVAE, build
from circuitprobe.reference_models.checkpoint import FORMAT, VERSION, rebuild, save_checkpoint
from circuitprobe.reference_models.objectives import DEFAULT_BETAS, Objective, objective_for
from circuitprobe.reference_models.training import TrainedModel, train
from circuitprobe.reference_models.training_loop import EpochLosses, StepLosses, TrainingProgress

__all__ = [
    "DEFAULT_BETAS",
    "FORMAT",
    "VERSION",
    "ArchitectureConfig",
    "EpochLosses",
    "Objective",
    "StepLosses",
    "TableVAE",
    "TrainedModel",
    "TrainingProgress",
    "build",
    "objective_for",
    "rebuild",
    "save_checkpoint",
    "train",
]
