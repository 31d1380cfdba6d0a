"""What a gate sees of an audit: all that is compared, what intervals are computed from, and where it came from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from circuitprobe.gate.metrics import LATENT, MODEL
from circuitprobe.report import AuditReport
from circuitprobe.report.model import FeatureReport, Response
from circuitprobe.report.resamples import Resamples
from circuitprobe.types import Estimate, FeatureKind

BASELINE_VERSION = "1.0"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeenFeature(_Model):
    """One feature: what an effect on it is measured in."""

    kind: FeatureKind
    spread: float | None = Field(description="standard deviation over the audited rows in raw units; null for shares")
    spread_low: float | None = Field(default=None, description="lower end of its 95 % interval")
    spread_high: float | None = None


class SeenLatent(_Model):
    """One latent."""

    active: bool
    figures: dict[str, Estimate] = Field(description="by metric: ces, specificity, ...")
    effects: dict[str, Estimate] = Field(description="e_{i,f} by feature; empty without level 2")
    group_effects: dict[str, Estimate] = Field(description="R_{ig} by feature group")


class SeenRows(_Model):
    """The audited rows and how they were intervened on."""

    audited: int
    sha256: str = Field(description="of the rows before any encoding")
    seed: int
    intervention_values: int
    values_from: Literal["posterior", "caller"]
    grid: tuple[int, int] | None = Field(description="patches of images; null for tables")


class Compared(_Model):
    """Everything that two audits are compared on."""

    method_version: str
    rows: SeenRows
    features: dict[str, SeenFeature]
    groups: dict[str, tuple[str, ...]]
    condition: tuple[str, ...]
    target: str | None
    figures: dict[str, Estimate] = Field(description="of the whole model by metric; completeness:GROUP for a group")
    latents: dict[str, SeenLatent]


class Source(_Model):
    """Where the audit came from; not compared."""

    circuitprobe_version: str
    model: str = Field(description="file or class name")
    data: str
    weights_sha256: str
    warnings: tuple[str, ...] = Field(default=(), description="what the audit warned of")


class Details(_Model):
    """What intervals and identities of latents are computed from; not meant to be read."""

    resamples: Resamples | None
    responses: dict[str, dict[str, Response]] = Field(description="by latent and feature")
    categories: dict[str, tuple[str, ...]] = Field(description="by feature, in the order of its responses")


class Snapshot(_Model):
    """What a gate sees of an audit."""

    baseline_version: str = BASELINE_VERSION
    compared: Compared
    details: Details
    source: Source

    def kept(self, name: str) -> Any:  # noqa: ANN401 - an array or None, of numpy, that this module does not need
        """A figure on each resample, shape (resamples,), such as ``ces:z3``; None where it was not kept."""
        resamples = self.details.resamples
        return None if resamples is None else resamples.values(name)

    def exact(self, name: str, figure: Estimate) -> Estimate:
        """A figure as it was before it was rounded for reading."""
        resamples = self.details.resamples
        value = None if resamples is None else resamples.value(name)
        if value is None or figure.value is None:
            return figure
        return Estimate(value, figure.low, figure.high, figure.n, figure.null)


def snapshot_of(report: AuditReport) -> Snapshot:
    """The compared part of an audit, unrounded."""
    data, settings = report.data, report.settings
    figures = {name: figure for name, read in MODEL.items() if (figure := read.read(report)) is not None}
    if report.scores is not None:
        figures |= {f"completeness:{group}": figure for group, figure in report.scores.completeness.items()}
    return Snapshot(
        compared=Compared(
            method_version=report.method_version,
            rows=SeenRows(
                audited=data.rows_audited,
                sha256=data.sample_sha256 or data.rows_sha256,
                seed=settings.seed,
                intervention_values=settings.intervention_values,
                values_from=settings.values_from,
                grid=None if data.image is None else data.image.grid,
            ),
            features={
                f.name: SeenFeature(
                    kind=f.kind, spread=_raw(f, f.std), spread_low=_raw(f, f.std_low), spread_high=_raw(f, f.std_high)
                )
                for f in data.features
            },
            groups={name: tuple(sorted(members)) for name, members in data.groups.items()},
            condition=data.condition,
            target=data.target,
            figures=figures,
            latents={
                latent.name: SeenLatent(
                    active=latent.active,
                    figures={name: read(latent) for name, read in LATENT.items()},
                    effects=latent.effects,
                    group_effects=latent.group_effects,
                )
                for latent in report.latents
            },
        ),
        details=Details(
            resamples=report.resamples,
            responses={latent.name: latent.response for latent in report.latents},
            categories={feature.name: feature.categories for feature in data.features if feature.categories},
        ),
        source=Source(
            circuitprobe_version=report.circuitprobe_version,
            model=report.model.source,
            data=data.source,
            weights_sha256=report.model.weights_sha256,
            warnings=tuple(warning.message for warning in report.warnings),
        ),
    )


def _raw(feature: FeatureReport, std: float | None) -> float | None:
    return None if std is None else std * (feature.scale or 1.0)
