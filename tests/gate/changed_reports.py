"""Reports under test: hand-built ones with single figures changed."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from report.builders import N

import circuitprobe as cp
from circuitprobe.gate.asserting import GateWarning
from circuitprobe.report import AuditReport
from circuitprobe.types import Estimate

CES = cp.Gate("ces", latent="*", max_drop=cp.Drop(0.3, relative=True))


def with_latent(report: AuditReport, latent: str, **figures: Estimate) -> AuditReport:
    entries = [entry.model_copy(update=figures) if entry.name == latent else entry for entry in report.latents]
    return report.model_copy(update={"latents": tuple(entries)})


def estimate(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half, N)


def no_warning(call: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        call()
