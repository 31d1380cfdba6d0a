"""A study's figures as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.errors import UsageError
from circuitprobe.report.files import check_writable, write_atomically
from circuitprobe.report.words import interval
from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.correlation import pearson
from circuitprobe.study.findings.means import mean_of
from circuitprobe.study.records import Metric, RunRecord, in_order
from circuitprobe.study.telling.figure_style import (
    DIM,
    INK,
    MARKERS,
    colour_of,
    legends,
    marker_of,
    svg_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE = 0.13
"""Distance of two architectures within a column of a benchmark."""

SEED_STEP = 0.035


@dataclass(frozen=True)
class FigureFile:
    """One figure.

    Attributes:
        title: above it.
        description: for those who cannot see it.
        draw: puts it on axes.
    """

    title: str
    description: str
    draw: Callable[[Axes, Sequence[RunRecord]], None]


def write_figures(records: Sequence[RunRecord], folder: str | Path) -> tuple[Path, ...]:
    """Write ``modularity.svg``, ``ces_mse.svg`` and ``specificity_auc.svg``; the same runs give the same bytes.

    Args:
        records: of the runs that finished, in any order.
        folder: made, once everything is drawn, where there is none; each file appears whole or not at all.

    Returns:
        The files, in that order.

    Raises:
        UsageError: matplotlib (the extra ``study``) is not installed, two records are of one run, or a file cannot be written.
    """
    ordered = in_order(records)
    if Path(folder).is_dir():
        for name in FIGURES:
            check_writable(Path(folder) / name)
    drawn = {name: svg_of(figure.title, figure.description, figure.draw, ordered) for name, figure in FIGURES.items()}
    _make(Path(folder))
    paths = []
    for name, content in drawn.items():
        path = Path(folder) / name
        write_atomically(path, lambda handle, content=content: handle.write(content))  # type: ignore[misc]
        paths.append(path)
    return tuple(paths)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {folder}: {error.strerror}",
            expected="a writable place with room",
            fix="name another",
        ) from error


def _modularity(axes: Axes, records: Sequence[RunRecord]) -> None:
    kept, archs, benchmarks = of.defined(records, "modularity"), of.archs_of(records), of.benchmarks_of(records)
    for run in kept:
        rank = sorted(other.seed for other in kept if (other.arch, other.benchmark) == (run.arch, run.benchmark))
        lane = (archs.index(run.arch) - (len(archs) - 1) / 2) * LANE
        step = (rank.index(run.seed) - (len(rank) - 1) / 2) * SEED_STEP
        colour = colour_of(run.arch, archs)
        place = benchmarks.index(run.benchmark) + lane + step
        axes.plot(place, run.figure("modularity") or 0.0, marker="o", ms=5, color=colour, mec=INK, mew=0.4, ls="none")
    for place, name in enumerate(benchmarks):
        _mean_bar(axes, place, of.values(of.of_benchmark(kept, name), "modularity"))
    tables = len(of.benchmarks_of(of.of_modality(records, "table")))
    if 0 < tables < len(benchmarks):
        axes.axvline(tables - 0.5, color=DIM, lw=0.8, ls=(0, (4, 3)))
        for place, word, side in ((tables - 0.54, "tables", "right"), (tables - 0.46, "images", "left")):
            axes.annotate(
                word,
                (place, 1.0),
                (0, 4),
                ha=side,
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=DIM,
            )
    axes.set_xticks(range(len(benchmarks)), benchmarks)
    axes.set_xlim(-0.6, max(len(benchmarks), 1) - 0.4)
    axes.set_ylabel("modularity (1 = latents use different hidden units)")
    entries = [(arch, "o", colour_of(arch, archs)) for arch in archs]
    legends(axes, [("architecture", entries), ("all runs of a benchmark", [("mean, 95 % interval", "_", INK)])])


def _mean_bar(axes: Axes, place: float, values: Sequence[float]) -> None:
    mean = mean_of("", values).mean
    if mean.value is None:
        return
    edge = place + 0.43
    low, high = (mean.value, mean.value) if mean.low is None or mean.high is None else (mean.low, mean.high)
    axes.errorbar(
        edge, mean.value, yerr=[[mean.value - low], [high - mean.value]], fmt="_", ms=11, mew=2, color=INK, lw=1.6
    )


def _ces_mse(axes: Axes, records: Sequence[RunRecord]) -> None:
    _scatter(axes, records, "mse", "ces")
    errors = of.values(of.defined(records, "ces", "mse"), "mse")
    if errors and min(errors) > 0.0:
        _log_scale(axes)
    axes.set_xlabel("reconstruction MSE (squared change per feature; r is of MSE itself)")
    axes.set_ylabel("CES (change of the output per intervention)")


def _log_scale(axes: Axes) -> None:
    """A logarithmic axis that is labelled also where it spans less than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _specificity_auc(axes: Axes, records: Sequence[RunRecord]) -> None:
    _scatter(axes, records, "specificity", "auc")
    axes.set_xlabel("specificity (1 = each latent moves one feature)")
    axes.set_ylabel("downstream AUC (0.5 = chance)")


def _scatter(axes: Axes, records: Sequence[RunRecord], x: Metric, y: Metric) -> None:
    """Every run a mark: its colour the architecture, its form the benchmark; r above."""
    kept, archs, benchmarks = of.defined(records, x, y), of.archs_of(records), of.benchmarks_of(records)
    for run in kept:
        colour, marker = colour_of(run.arch, archs), marker_of(run.benchmark, benchmarks)
        axes.plot(
            run.figure(x) or 0.0, run.figure(y) or 0.0, marker=marker, ms=6, color=colour, mec=INK, mew=0.4, ls="none"
        )
    found = pearson("all runs", of.values(kept, x), of.values(kept, y))
    said = f"r {interval(found.r)}, {len(kept)} runs" if found.r.value is not None else f"no r: {found.reason}"
    axes.annotate(said, (1.0, 1.0), (0, 4), ha="right", xycoords="axes fraction", textcoords="offset points", color=DIM)
    legends(
        axes,
        [
            ("architecture", [(arch, MARKERS[0], colour_of(arch, archs)) for arch in archs]),
            ("benchmark", [(name, marker_of(name, benchmarks), DIM) for name in benchmarks]),
        ],
    )


FIGURES = {
    "modularity.svg": FigureFile(
        "Modularity by benchmark",
        "Circuit modularity of every run, one column per benchmark, tables left and images right, with means and 95 % intervals",
        _modularity,
    ),
    "ces_mse.svg": FigureFile(
        "CES against reconstruction error",
        "Causal effect strength of every run against its reconstruction MSE, colours for architectures, forms for benchmarks",
        _ces_mse,
    ),
    "specificity_auc.svg": FigureFile(
        "Downstream AUC against specificity",
        "Downstream AUC of every run against its intervention specificity, colours for architectures, forms for benchmarks",
        _specificity_auc,
    ),
}
