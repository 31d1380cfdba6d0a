"""Whether the figures of a report that was read are those of the bootstrap resamples that it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.report.resamples import LEVELS
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.report.resamples import Resamples

TAIL = 0.025


def figures(report: AuditReport) -> dict[str, Estimate]:
    """The figures that resamples are kept of, by the names that they have there."""
    found: dict[str, Estimate] = {}
    if report.reconstruction is not None:
        found["mse"] = report.reconstruction.mse
    if report.downstream is not None:
        found["auc"] = report.downstream.auc
    if report.ground_truth is not None:
        found |= {name: getattr(report.ground_truth, name) for name in ("mig", "sap", "factor_vae")}
    if report.scores is not None:
        found |= {name: entry for name, entry in report.scores if isinstance(entry, Estimate)}
        found |= {f"completeness:{name}": entry for name, entry in report.scores.completeness.items()}
    for latent in report.latents:
        found |= {f"{name}:{latent.name}": entry for name, entry in latent if isinstance(entry, Estimate)}
    return found


def of_resamples(report: AuditReport, resamples: Resamples) -> Iterator[str]:
    """What is wrong with the resamples of a report."""
    if resamples.count < 1:
        yield f"resamples.count is {resamples.count}; expected 1 or more"
        return
    if resamples.count > report.settings.resamples:
        yield f"resamples.count is {resamples.count}; expected {report.settings.resamples} at most, which is settings.resamples"
    every = resamples.count == report.settings.resamples
    known = figures(report)
    for name, packed in resamples.figures.items():
        place = f"resamples.figures[{name!r}]"
        if packed.low > packed.high:
            yield f"{place} goes from {packed.low:.9g} to {packed.high:.9g}; expected low below high"
        elif name not in known:
            yield f"{place} is of no figure of the report"
        else:
            yield from agreement(resamples, name, known[name], place, every=every)


def agreement(
    resamples: Resamples, name: str, figure: Estimate, place: str, *, every: bool, room: float = 0.0
) -> Iterator[str]:
    """Whether a figure is that of its resamples: its value is theirs, and its interval holds 95 % of them.

    Args:
        resamples: of a report.
        name: of the figure there.
        figure: with its interval.
        place: for what is yielded.
        every: all resamples were kept, so that the ends are their percentiles; otherwise those of a sample of them.
        room: how far rounding may have moved the figure.

    Raises:
        DataError: the resamples are damaged.
    """
    value, packed = resamples.value(name), resamples.figures[name]
    kept = resamples.values(name)
    if kept is None:
        return
    if (value is None) != (figure.value is None) or (
        value is not None and figure.value is not None and abs(value - figure.value) > 1e-8 * abs(value) + room
    ):
        yield f"{place}.value is {value}; expected {figure.value}, the figure's"
        return
    defined = kept[np.isfinite(kept)]
    if value is None or figure.low is None or figure.high is None or not len(defined):
        return
    # two codes: of the nearest one, and of an end that was rounded
    step = 2.0 * (packed.high - packed.low) / LEVELS + 1e-8 * max(abs(packed.low), abs(packed.high)) + room
    if every:
        ends = np.quantile(defined, [TAIL, 1.0 - TAIL])
        # an end is moved to the value where it would leave it out; before schema 2.4 it was not
        low_fits = min(abs(ends[0] - figure.low), abs(min(ends[0], value) - figure.low)) <= step
        high_fits = min(abs(ends[1] - figure.high), abs(max(ends[1], value) - figure.high)) <= step
        if not (low_fits and high_fits):
            yield (
                f"{place} has 95 % of its resamples in [{ends[0]:.9g}, {ends[1]:.9g}]; the figure's interval is "
                f"[{figure.low:.9g}, {figure.high:.9g}]"
            )
        return
    # shares of a sample vary: six standard errors
    most = TAIL + 6.0 * math.sqrt(TAIL * (1.0 - TAIL) / len(defined)) + 1.0 / len(defined)
    outside = max(float((defined < figure.low - step).mean()), float((defined > figure.high + step).mean()))
    if outside > most:
        yield f"{place} has {outside:.0%} of its resamples on one side of the figure's interval; expected {TAIL:.1%}"
