"""The report of a study: what its JSON holds, as versioned pydantic models.

Nothing here depends on the time, the machine or a path: the same runs give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, JsonValue

from circuitprobe.adapters.user_files import MOST_JSON, read_file
from circuitprobe.errors import UsageError
from circuitprobe.report.json_text import json_text
from circuitprobe.report.sampled import validated
from circuitprobe.study.findings.auc import AucFinding
from circuitprobe.study.findings.collapse import CollapseFinding
from circuitprobe.study.findings.differences import DifferencesFinding
from circuitprobe.study.findings.model import FindingModel
from circuitprobe.study.findings.modularity import ModularityFinding
from circuitprobe.study.findings.power import Power
from circuitprobe.study.findings.verdict import RULE
from circuitprobe.study.records import Metric, Modality
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

STUDY_REPORT_VERSION = "1.0"


class Failure(FindingModel):
    """A run that ended with an error."""

    arch: str
    benchmark: str
    seed: int
    error: str


class Runs(FindingModel):
    """What became of the planned runs."""

    planned: int
    finished: int
    failed: int
    missing: int = Field(description="planned, neither finished nor failed")
    failures: tuple[Failure, ...]
    missing_runs: tuple[str, ...]


class CellFigure(FindingModel):
    """A figure of one architecture on one benchmark."""

    metric: Metric
    mean: Estimate = Field(description="over seeds, t-interval; n: seeds for which it is defined")
    sd: float | None = Field(description="between seeds, divisor n - 1")


class Cell(FindingModel):
    """One architecture on one benchmark."""

    arch: str
    benchmark: str
    modality: Modality
    seeds: tuple[int, ...] = Field(description="that finished")
    reconstruct: int = Field(description="how many of the runs reconstruct better than column means")
    figures: tuple[CellFigure, ...]


class VersionCount(FindingModel):
    """How many runs were made with a version of a package."""

    package: str
    version: str
    runs: int


class StudyWarning(FindingModel):
    """Something the reader must know before trusting a finding."""

    code: str
    message: str


class Findings(FindingModel):
    """METHOD.md section 6."""

    modularity: ModularityFinding = Field(description="finding 1")
    collapse: CollapseFinding = Field(description="finding 2")
    differences: DifferencesFinding = Field(description="finding 3")
    auc: AucFinding = Field(description="finding 4")


class StudyReport(FindingModel):
    """Everything that a study found. ``to_json`` writes it, ``to_markdown`` of ``circuitprobe.study.telling.markdown`` tells it."""

    study_report_version: str = STUDY_REPORT_VERSION
    circuitprobe_version: str = Field(description="that made this report")
    method_version: str
    plan: dict[str, JsonValue] = Field(description="what the study was asked to do")
    runs: Runs
    versions: tuple[VersionCount, ...] = Field(description="packages that the runs were made with")
    warnings: tuple[StudyWarning, ...]
    verdict_rule: str = RULE
    findings: Findings
    power: Power
    cells: tuple[Cell, ...]

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON: sorted keys, floats of nine significant digits, the same bytes for the same runs.

        Args:
            path: where to write it as well; the file appears whole or not at all.

        Raises:
            UsageError: the file cannot be written.
        """
        return json_text(self, path)

    @classmethod
    def from_json(cls, path: str | Path) -> StudyReport:
        """Read a report back.

        Raises:
            UsageError: the file is not there or not a report of this version.
        """
        try:
            return validated(cls, read_file(path, MOST_JSON))
        except OSError as error:
            raise UsageError(
                f"cannot read {path}: {error.strerror}",
                expected="the JSON of a study's report",
                fix="circuitprobe study report DIR --json FILE",
            ) from error
        except ValueError as error:
            first = " ".join(str(error).splitlines()[:3])
            raise UsageError(
                f"{Path(path).name} is not a study's report of version {STUDY_REPORT_VERSION}: {first}",
                expected="a file written by circuitprobe study report --json of this version",
                fix="make the report again from the study's directory",
            ) from error

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from circuitprobe.study.telling.terminal import render

        yield from render(self, options.max_width, unicode=not options.ascii_only)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every report validates against."""
    schema = StudyReport.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
