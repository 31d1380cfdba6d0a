"""Reference models: five variational autoencoders for tables and images, their objectives, training and checkpoints."""

from __future__ import annotations

from circuitprobe.reference_models.architectures import ImageVAE, ReferenceVAE, TableVAE, build
from circuitprobe.reference_models.checkpoint import FORMAT, VERSION, rebuild, save_checkpoint
from circuitprobe.reference_models.config import Config, ImageConfig, TableConfig
from circuitprobe.reference_models.keeping import TrainingInterrupted
from circuitprobe.reference_models.losses import LogEntry, StepLosses
from circuitprobe.reference_models.objectives import ARCHITECTURES, Objective, objective_for
from circuitprobe.reference_models.trained import TrainedModel
from circuitprobe.reference_models.training import train
from circuitprobe.reference_models.training_loop import TrainingProgress

__all__ = [
    "ARCHITECTURES",
    "FORMAT",
    "VERSION",
    "Config",
    "ImageConfig",
    "ImageVAE",
    "LogEntry",
    "Objective",
    "ReferenceVAE",
    "StepLosses",
    "TableConfig",
    "TableVAE",
    "TrainedModel",
    "TrainingInterrupted",
    "TrainingProgress",
    "build",
    "objective_for",
    "rebuild",
    "save_checkpoint",
    "train",
]
