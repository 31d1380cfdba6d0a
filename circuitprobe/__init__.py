"""circuitprobe: what a variational autoencoder has learned, and how sure that is.

``import circuitprobe as cp`` is cheap; torch is imported when a function that needs it is first used::

    report = cp.audit("model.pt", "data.csv", target="income")
    vae = cp.wrap(module)
    effects = cp.interventions.latents(vae, x)
"""

import importlib

# typing's own: `python -m circuitprobe` runs this file while the current folder, with a typing.py in it, is importable
TYPE_CHECKING = False
if TYPE_CHECKING:
    from circuitprobe import interventions, testing
    from circuitprobe.adapters.families import Adapter
    from circuitprobe.adapters.models import ModelSpec, ProbedVAE, wrap
    from circuitprobe.auditing import audit
    from circuitprobe.errors import CircuitProbeError, DataError, ModelError, UsageError
    from circuitprobe.gate.asserting import Audited, assert_no_regression
    from circuitprobe.gate.check import check
    from circuitprobe.gate.comparable import NotComparable
    from circuitprobe.gate.compare import compare
    from circuitprobe.gate.config import Drop, Gate
    from circuitprobe.gate.result import CheckResult
    from circuitprobe.inspecting import inspect
    from circuitprobe.levels.ground_truth import ground_truth
    from circuitprobe.loading import load
    from circuitprobe.reference_models import train
    from circuitprobe.report import AuditReport
    from circuitprobe.report.ground_truth import GroundTruth

__version__ = "0.1.0"

_HOME = {
    "Adapter": "circuitprobe.adapters.families",
    "AuditReport": "circuitprobe.report",
    "Audited": "circuitprobe.gate.asserting",
    "CheckResult": "circuitprobe.gate.result",
    "CircuitProbeError": "circuitprobe.errors",
    "DataError": "circuitprobe.errors",
    "Drop": "circuitprobe.gate.config",
    "Gate": "circuitprobe.gate.config",
    "GroundTruth": "circuitprobe.report.ground_truth",
    "ModelError": "circuitprobe.errors",
    "ModelSpec": "circuitprobe.adapters.models",
    "NotComparable": "circuitprobe.gate.comparable",
    "ProbedVAE": "circuitprobe.adapters.models",
    "UsageError": "circuitprobe.errors",
    "assert_no_regression": "circuitprobe.gate.asserting",
    "audit": "circuitprobe.auditing",
    "check": "circuitprobe.gate.check",
    "compare": "circuitprobe.gate.compare",
    "ground_truth": "circuitprobe.levels.ground_truth",
    "inspect": "circuitprobe.inspecting",
    "load": "circuitprobe.loading",
    "train": "circuitprobe.reference_models",
    "wrap": "circuitprobe.adapters.models",
}

__all__ = [
    "Adapter",
    "AuditReport",
    "Audited",
    "CheckResult",
    "CircuitProbeError",
    "DataError",
    "Drop",
    "Gate",
    "GroundTruth",
    "ModelError",
    "ModelSpec",
    "NotComparable",
    "ProbedVAE",
    "UsageError",
    "__version__",
    "assert_no_regression",
    "audit",
    "check",
    "compare",
    "ground_truth",
    "inspect",
    "interventions",
    "load",
    "testing",
    "train",
    "wrap",
]


def __getattr__(name: str) -> object:
    if name in {"interventions", "testing"}:
        return importlib.import_module(f"circuitprobe.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
