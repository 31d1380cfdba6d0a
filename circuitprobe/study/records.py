"""One finished run of a study as its findings see it: where it belongs, and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport
    from circuitprobe.types import Estimate

Modality = Literal["table", "image"]
Metric = Literal[
    "mse",
    "mse_share",
    "ces",
    "ces_active",
    "ces_prior",
    "calibration_ratio",
    "specificity",
    "modularity",
    "fgd",
    "fgd_adjusted",
    "active_latents",
    "auc",
]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class RunRecord:
    """The figures of one audited run.

    Attributes:
        arch: the architecture, such as ``beta-vae``.
        benchmark: what it was trained and audited on.
        modality: of the benchmark.
        seed: of the training and the audit.
        figures: METHOD.md's scores of the model by name; ``mse_share`` is the reconstruction MSE over that of predicting each
            column's mean or frequencies. None, or no entry, where a figure is undefined.
        reconstructs: the MSE is below that of the column means.
    """

    arch: str
    benchmark: str
    modality: Modality
    seed: int
    figures: Mapping[Metric, float | None]
    reconstructs: bool

    @property
    def name(self) -> str:
        """``beta-vae on adult, seed 0``."""
        return f"{self.arch} on {self.benchmark}, seed {self.seed}"

    def figure(self, metric: Metric) -> float | None:
        """A figure; None where it is undefined, or no finite number."""
        value = self.figures.get(metric)
        return value if value is not None and math.isfinite(value) else None


def record_of(report: AuditReport, arch: str, benchmark: str, modality: Modality, seed: int) -> RunRecord:
    """What an audit says of its run.

    Args:
        report: of the trained model.
        arch: its architecture.
        benchmark: what it was trained and audited on.
        modality: of the benchmark.
        seed: of the run.
    """
    scores, rebuilt = report.scores, report.reconstruction
    mse = None if rebuilt is None else rebuilt.mse
    figures: dict[Metric, float | None] = {
        "mse": _value(mse),
        "mse_share": None if mse is None or mse.value is None or not mse.null else mse.value / mse.null,
        "ces": None if scores is None else _value(scores.ces),
        "ces_active": None if scores is None else _value(scores.ces_active),
        "ces_prior": None if scores is None else _value(scores.ces_prior),
        "calibration_ratio": None if scores is None else _value(scores.calibration_ratio),
        "specificity": None if scores is None else _value(scores.specificity),
        "modularity": None if scores is None else _value(scores.modularity),
        "fgd": None if scores is None else _value(scores.fgd),
        "fgd_adjusted": None if scores is None else _value(scores.fgd_adjusted),
        "active_latents": None if scores is None else float(scores.active_latents),
        "auc": None if report.downstream is None else _value(report.downstream.auc),
    }
    return RunRecord(arch, benchmark, modality, seed, figures, rebuilt is not None and rebuilt.reconstructs)


def in_order(records: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    """Records by architecture, benchmark and seed: findings add their figures up in this order, whatever order they came in.

    Raises:
        UsageError: two records are of one run.
    """
    ordered = tuple(sorted(records, key=lambda record: (record.arch, record.benchmark, record.seed)))
    names = [record.name for record in ordered]
    twice = sorted({name for name, following in pairwise(names) if name == following})
    if twice:
        raise UsageError(
            f"two results of one run: {'; '.join(twice)}",
            expected="one result per architecture, benchmark and seed",
            fix="report each study directory on its own",
        )
    return ordered


def _value(figure: Estimate | None) -> float | None:
    return None if figure is None else figure.value
