"""The report of one audit, with its accessors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from circuitprobe.adapters.user_files import MOST_JSON, read_file
from circuitprobe.errors import UsageError
from circuitprobe.report.frames import Frame, report_frame
from circuitprobe.report.ground_truth import GroundTruth
from circuitprobe.report.json_text import json_text
from circuitprobe.report.levels import ActivationLevel, CircuitMap, InputLevel, MediationLevel, PathLevel
from circuitprobe.report.model import (
    READ_VERSIONS,
    SCHEMA_VERSION,
    AuditWarning,
    DataReport,
    Downstream,
    LatentReport,
    LevelStatus,
    ModelReport,
    NotRun,
    Reconstruction,
    Scores,
    Settings,
    Twin,
    _Model,
)
from circuitprobe.report.resamples import Resamples
from circuitprobe.report.sampled import validated
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType


class AuditReport(_Model):
    """Everything that one audit found. ``to_json`` writes it, ``to_frame`` gives its tables.

    Example::

        report = cp.audit("model.pt", "data.csv", target="income")
        report.ces["z3"].value          # one latent's causal effect strength
        report.scores.fgd.low           # lower end of the model's FGD
        report.to_frame("effects")      # latents x features
    """

    schema_version: str = SCHEMA_VERSION
    circuitprobe_version: str
    method_version: str = Field(default="1", description="of the formulas; audits of different ones are not compared")
    model: ModelReport
    data: DataReport
    settings: Settings
    verdict: tuple[str, ...] = Field(description="what a reader should know first, in sentences")
    warnings: tuple[AuditWarning, ...]
    levels: tuple[LevelStatus, ...]
    not_run: tuple[NotRun, ...] = Field(
        default=(), description="parts beside whole levels that could not be run, and why"
    )
    reconstruction: Reconstruction | None = Field(description="null for a model without an encoder")
    latents: tuple[LatentReport, ...]
    scores: Scores | None = Field(description="null where level 2 was not asked for")
    inputs: InputLevel | None = Field(default=None, description="level 1")
    activations: ActivationLevel | None = Field(default=None, description="level 3, interchange interventions")
    paths: PathLevel | None = Field(default=None, description="level 3, path-specific patching and circuits")
    mediation: MediationLevel | None = Field(default=None, description="level 4")
    circuit_map: CircuitMap | None = Field(default=None, description="from levels 1 and 3")
    twin: Twin
    downstream: Downstream | None
    ground_truth: GroundTruth | None = Field(
        default=None,
        description="scores against the factors that the images were made from; null where they are not known",
    )
    resamples: Resamples | None = Field(
        default=None, description="the main figures on each bootstrap resample, for the comparison of two audits"
    )

    @property
    def ces(self) -> Mapping[str, Estimate]:
        """CES of every latent by name."""
        return {latent.name: latent.ces for latent in self.latents}

    @property
    def specificity(self) -> Mapping[str, Estimate]:
        """Specificity of every latent by name."""
        return {latent.name: latent.specificity for latent in self.latents}

    @property
    def effects(self) -> Mapping[str, Mapping[str, Estimate]]:
        """The effect matrix: latent -> feature -> estimate."""
        return {latent.name: latent.effects for latent in self.latents}

    def to_frame(self, table: Frame = "latents") -> pd.DataFrame:
        """One of the report's tables.

        Args:
            table: ``effects``: latents x features, values; ``inputs``: features x latents, the input matrix (``z0``,
                ``z0_low``, ``z0_high``); ``latents``, ``scores`` and ``reconstruction``: one row per entry with a value, a
                lower and an upper end per metric (``ces``, ``ces_low``, ``ces_high``); ``units``: one row per unit that
                changes, with its effect, those on the feature groups (``effect_body``) and, in the encoder, on the latents
                (``shift_z0``); ``circuits``: one row per sender and site; ``mediation``: one row per treatment, mediator
                and outcome.

        Raises:
            UsageError: there is no such table, or the level that fills it was not run.
        """
        return report_frame(self, table)

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON: sorted keys, floats of nine significant digits, the same bytes for the same audit.

        Args:
            path: where to write it as well; the file appears whole or not at all.

        Raises:
            UsageError: the file cannot be written.
        """
        return json_text(self, path)

    @field_validator("schema_version")
    @classmethod
    def _known_version(cls, given: str) -> str:
        if given not in READ_VERSIONS:
            raise ValueError(f"version {given[:20]!r} is none of {', '.join(READ_VERSIONS)}")
        return given

    @classmethod
    def from_json(cls, path: str | Path) -> AuditReport:
        """Read a report back.

        Raises:
            UsageError: the file is not there or not a report of this schema's major version.
        """
        try:
            text = read_file(path, MOST_JSON)
        except OSError as error:
            raise UsageError(
                f"cannot read {path}: {error.strerror}", expected="the JSON of an audit", fix="audit with --json"
            ) from error
        return cls.of_json(text, Path(path).name)

    @classmethod
    def of_json(cls, text: bytes | str, name: str) -> AuditReport:
        """A report from its JSON.

        Args:
            text: of the file.
            name: for messages.

        Raises:
            UsageError: it is not a report of this schema's major version, or contradicts itself; the message names the place.
        """
        from circuitprobe.report.consistent import contradictions

        try:
            report = validated(cls, text)
        except ValueError as error:
            first = str(error).splitlines()[:3]
            raise UsageError(
                f"{name} is not a report of schema {SCHEMA_VERSION}: {' '.join(first)}",
                expected="a file written by circuitprobe audit --json of this version",
                fix="audit again with --json",
            ) from error
        for what in contradictions(report):
            raise UsageError(
                f"{name} contradicts itself: {what}",
                expected="a file as circuitprobe audit --json wrote it",
                fix="audit again with --json",
            )
        return report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from circuitprobe.report.terminal import render

        yield from render(self, options.max_width, unicode=not options.ascii_only)

    def _repr_html_(self) -> str:
        """The terminal report as HTML, for notebooks."""
        from circuitprobe.report.terminal import to_html

        return to_html(self)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every report validates against."""
    schema = AuditReport.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
