"""What a reader must know before trusting a study's findings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from circuitprobe.report.words import counted
from circuitprobe.study.findings import selection as of
from circuitprobe.study.telling.model import StudyWarning

if TYPE_CHECKING:
    from circuitprobe.study.records import Metric, RunRecord
    from circuitprobe.study.telling.model import Runs, VersionCount

USED: tuple[Metric, ...] = ("ces", "specificity", "modularity", "fgd_adjusted", "mse", "auc")
"""Figures that findings are computed from."""

MOST_NAMED = 6


def study_warnings(
    records: Sequence[RunRecord], runs: Runs, versions: Sequence[VersionCount], unplanned: Sequence[str]
) -> tuple[StudyWarning, ...]:
    """Everything that a reader must know, the gravest first.

    Args:
        records: of the runs that finished, in order.
        runs: what became of the planned ones.
        versions: of packages that they were made with.
        unplanned: names of finished runs that the plan does not have.
    """
    found: list[tuple[str, str]] = []
    if runs.failed or runs.missing:
        lacking = [f"{runs.failed} failed"] * bool(runs.failed) + [f"{runs.missing} missing"] * bool(runs.missing)
        found.append(
            (
                "incomplete_grid",
                f"of {counted(runs.planned, 'planned run')} {runs.finished} finished ({', '.join(lacking)}): findings are of these",
            )
        )
    weak = [record.name for record in records if not record.reconstructs]
    if weak:
        found.append(
            (
                "not_reconstructing",
                f"{counted(len(weak), 'run')} of {len(records)} reconstruct no better than column means, so that a low CES is a "
                f"failure to reconstruct: {_named(weak)}",
            )
        )
    for metric in USED:
        out = of.left_out(records, metric)
        if out.count:
            found.append(
                ("left_out", f"{metric} is undefined for {counted(out.count, 'run')}, left out: {_named(out.runs)}")
            )
    found += _versions(versions)
    if unplanned:
        found.append(("not_planned", f"results of runs that the plan does not have: {_named(unplanned)}"))
    images = of.benchmarks_of(of.of_modality(records, "image"))
    if len(images) == 1:
        found.append(
            (
                "one_image_benchmark",
                f"images are one benchmark, {images[0]}: what sets tables apart from images here may only set them apart from it",
            )
        )
    return tuple(StudyWarning(code=code, message=message) for code, message in found)


def _versions(versions: Sequence[VersionCount]) -> list[tuple[str, str]]:
    mixed = []
    for package, entries in groupby(versions, key=lambda entry: entry.package):
        counts = list(entries)
        if len(counts) > 1:
            shown = ", ".join(f"{entry.version} ({counted(entry.runs, 'run')})" for entry in counts)
            mixed.append(f"{package} {shown}")
    if not mixed:
        return []
    return [("versions_differ", f"runs were made with different versions: {'; '.join(mixed)}")]


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return "; ".join(names[:MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "")
