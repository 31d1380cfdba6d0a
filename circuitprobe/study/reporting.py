"""``circuitprobe study report``: from a study's files to its report, and what it is written into."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.errors import UsageError
from circuitprobe.report.files import check_writable, write_atomically
from circuitprobe.study.archive import write_archive
from circuitprobe.study.gathered import Gathered, gather
from circuitprobe.study.telling.figures import write_figures
from circuitprobe.study.telling.markdown import to_markdown
from circuitprobe.study.telling.report import FailedRun, PlannedRun, RunVersions, study_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.study.telling.model import StudyReport


@dataclass(frozen=True)
class ReportOutputs:
    """Where a report is written; None for nowhere.

    Attributes:
        json: the report.
        markdown: the same to read.
        figures: folder of the SVG files; made where it is not there.
        archive: the study without checkpoints.
    """

    json: Path | None = None
    markdown: Path | None = None
    figures: Path | None = None
    archive: Path | None = None

    def check(self, source: Path) -> None:
        """Refuse places that cannot be written to, or are named twice, before anything is read.

        Raises:
            UsageError: which place, and why.
        """
        files = [path for path in (self.json, self.markdown, self.archive) if path is not None]
        for path in files:
            check_writable(path, (source,) if source.is_file() else ())
            if sum(path.resolve() == other.resolve() for other in files) > 1:
                raise UsageError(
                    f"{path} is named for two outputs", expected="a file for each", fix="name another file"
                )
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise UsageError(f"{self.figures} is a file", expected="a folder for figures", fix="name another")


def report(path: str | Path, outputs: ReportOutputs | None = None) -> StudyReport:
    """The report of a study, or of as much of it as is finished.

    Args:
        path: its folder, or an archive of it.
        outputs: what is written beside.

    Raises:
        UsageError: it is no study, none of its runs has finished, or an output cannot be written.
    """
    source, wanted = Path(path), outputs or ReportOutputs()
    wanted.check(source)
    gathered = gather(source)
    if not gathered.records:
        raise UsageError(
            f"no run of {source} has finished", expected="one at least", fix=f"circuitprobe study run --out {source}"
        )
    made = _report(gathered)
    drawn = write_figures(gathered.records, wanted.figures) if wanted.figures is not None else ()
    if wanted.json is not None:
        made.to_json(wanted.json)
    if wanted.markdown is not None:
        text = to_markdown(made, _links(drawn, wanted.markdown))
        write_atomically(wanted.markdown, lambda handle: handle.write(text.encode("utf-8")))
    if wanted.archive is not None:
        write_archive(source, wanted.archive)
    return made


def _report(gathered: Gathered) -> StudyReport:
    runs = {job.name: PlannedRun(job.arch, job.benchmark, job.seed) for job in gathered.plan.jobs()}
    return study_report(
        gathered.records,
        planned=tuple(runs.values()),
        failed=tuple(FailedRun(runs[name], failure.text) for name, failure in gathered.failed.items()),
        plan=gathered.plan.decides(),
        versions=tuple(
            RunVersions(runs[name], tuple(sorted(packages.items()))) for name, packages in gathered.versions.items()
        ),
    )


def _links(files: Sequence[Path], markdown: Path) -> tuple[str, ...]:
    """From where the Markdown stands to the figures."""
    return tuple(Path(os.path.relpath(file.resolve(), markdown.resolve().parent)).as_posix() for file in files)
