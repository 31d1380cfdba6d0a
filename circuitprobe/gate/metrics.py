"""What can be gated: figures of a report by name, and in which direction they are better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport
    from circuitprobe.report.model import LatentReport
    from circuitprobe.types import Estimate

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class ModelMetric:
    """A figure of the whole model.

    Attributes:
        better: its better direction.
        read: finds it in a report; None where it is not there.
        needs: what an audit must be asked for to have it.
    """

    better: Better
    read: Callable[[AuditReport], Estimate | None]
    needs: str


def _score(name: str) -> Callable[[AuditReport], Estimate | None]:
    return lambda report: None if report.scores is None else getattr(report.scores, name)


def _truth(name: str) -> Callable[[AuditReport], Estimate | None]:
    return lambda report: None if report.ground_truth is None else getattr(report.ground_truth, name)


def _of_latent(name: str) -> Callable[[LatentReport], Estimate]:
    return lambda latent: getattr(latent, name)


def _mse(report: AuditReport) -> Estimate | None:
    return None if report.reconstruction is None else report.reconstruction.mse


def _auc(report: AuditReport) -> Estimate | None:
    return None if report.downstream is None else report.downstream.auc


_LEVEL_2 = "level 2"
_FACTORS = "images whose factors are known (dSprites)"
LOWER = ("calibration_ratio",)
TRUTH = ("mig", "sap", "factor_vae")
"""Scores against known factors."""

SCORES = (
    "ces",
    "ces_active",
    "ces_prior",
    "on_support_rate",
    "on_support_rate_prior",
    "specificity",
    "inverse_entropy",
    "fgd",
    "fgd_adjusted",
    "fgc",
    "modularity",
    "calibration_ratio",
)
"""Figures of the whole model that level 2 gives."""

MODEL: dict[str, ModelMetric] = {
    **{name: ModelMetric("lower" if name in LOWER else "higher", _score(name), _LEVEL_2) for name in SCORES},
    "mse": ModelMetric("lower", _mse, "an encoder"),
    "auc": ModelMetric("higher", _auc, "--target"),
    **{name: ModelMetric("higher", _truth(name), _FACTORS) for name in TRUTH},
}

LATENT: dict[str, Callable[[LatentReport], Estimate]] = {
    name: _of_latent(name) for name in ("ces", "specificity", "disentanglement", "kl", "on_support_rate")
}
"""Figures of one latent; higher is better for all of them."""

COMPLETENESS = "completeness"
"""C_g of one feature group: how few latents drive it."""

SIMILARITY = "similarity"
"""Cosine of the responses to a latent with those in the baseline, 1 by definition there."""

ACTIVE = "active"
"""Whether a latent is active still: its KL, with the interval, against the 0.01 nats of METHOD.md section 0."""

LEAST_KL = 0.01

ACTIVE_COUNT = "active_latents"
"""How many latents are active."""

OF_LATENT: tuple[str, ...] = (*LATENT, SIMILARITY, ACTIVE)
OF_MODEL: tuple[str, ...] = (*MODEL, ACTIVE_COUNT)
NAMES: tuple[str, ...] = tuple(dict.fromkeys((*OF_MODEL, COMPLETENESS, *OF_LATENT)))


_FROM_0 = (0.0, math.inf)
_TO_1 = (0.0, 1.0)
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(NAMES, _TO_1),
    **dict.fromkeys(
        ("ces", "ces_active", "ces_prior", "calibration_ratio", "inverse_entropy", "mse", "kl", ACTIVE_COUNT), _FROM_0
    ),
    "fgd_adjusted": (-math.inf, 1.0),
    "sap": (-1.0, 1.0),
}
"""Between what a figure lies: a limit outside can never fail."""


def better_of(metric: str) -> Better:
    """Which direction of a metric is better."""
    known = MODEL.get(metric)
    return "higher" if known is None else known.better
