"""Models in: loading files safely, naming encoder and decoder, reading what they return."""

from circuitprobe.adapters.models.contents import LoadOptions
from circuitprobe.adapters.models.device import resolve_device
from circuitprobe.adapters.models.load import load_model
from circuitprobe.adapters.models.names import class_name
from circuitprobe.adapters.models.probed import ProbedVAE, check_finite, check_weights
from circuitprobe.adapters.models.spec import ModelSpec
from circuitprobe.adapters.models.twin import fresh_twin, runs_the_models_weights
from circuitprobe.adapters.models.width import input_width, require_width
from circuitprobe.adapters.models.wrap import wrap

__all__ = [
    "LoadOptions",
    "ModelSpec",
    "ProbedVAE",
    "check_finite",
    "check_weights",
    "class_name",
    "fresh_twin",
    "input_width",
    "load_model",
    "require_width",
    "resolve_device",
    "runs_the_models_weights",
    "wrap",
]
