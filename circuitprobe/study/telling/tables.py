"""The tables of a study's report as text, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitprobe.report.words import interval, number
from circuitprobe.study.findings.model import Correlation, Mean, Ratio, Welch
from circuitprobe.study.telling.words import p_words, share_interval

if TYPE_CHECKING:
    from circuitprobe.study.findings.differences import DifferencesFinding, Family
    from circuitprobe.study.findings.power import Detectable
    from circuitprobe.study.records import Metric
    from circuitprobe.study.telling.model import Cell, CellFigure, StudyReport

LABELS: dict[Metric, str] = {
    "mse": "MSE",
    "mse_share": "share of MSE",
    "ces": "CES",
    "ces_active": "CES, active",
    "ces_prior": "CES, prior scale",
    "calibration_ratio": "calibration ratio",
    "specificity": "specificity",
    "modularity": "modularity",
    "fgd": "FGD",
    "fgd_adjusted": "FGD above chance",
    "active_latents": "active latents",
    "auc": "AUC",
}
SHOWN: tuple[Metric, ...] = ("mse_share", "active_latents", "ces", "specificity", "modularity", "fgd_adjusted", "auc")
"""Figures of the tables per benchmark; the JSON has all."""

PER_BENCHMARK = "mean and standard deviation over seeds; share of MSE: of that of the column means"
REMARK = "test"
"""The column that holds words."""

ESTIMATE = "estimate (95 % interval)"
ESTIMATES = ("", ESTIMATE, "runs", REMARK)


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        title: above it.
        header: one name per column.
        rows: cells; the first of a row says what the row is.
        note: below it; "" for none.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def finding_tables(report: StudyReport) -> tuple[TextTable, ...]:
    """What stands behind each of the four findings, in order; finding 3 as the counts of its two families."""
    found = report.findings
    modularity, collapse, auc = found.modularity, found.collapse, found.auc
    entries = (collapse.beta_vae, *collapse.others)
    correlations = (collapse.r, collapse.r_tables, collapse.r_images, collapse.r_within, collapse.r_share)
    return (
        TextTable(
            "Finding 1: modularity",
            ESTIMATES,
            (
                _ratio("tables / images", modularity.ratio),
                _welch("tables - images", modularity.welch),
                *(_mean(mean) for mean in (modularity.tables, modularity.images, *modularity.benchmarks)),
            ),
        ),
        TextTable(
            "Finding 2: CES",
            ESTIMATES,
            (
                *(_ratio(f"{entry.arch}: tables / images", entry.ratio) for entry in entries),
                *(_welch(f"{entry.arch}: tables - images", entry.welch) for entry in entries),
                *(_mean(mean) for entry in entries for mean in (entry.tables, entry.images)),
                *(_correlation("r of CES with MSE", entry) for entry in correlations),
            ),
        ),
        _counts(found.differences),
        TextTable(
            "Finding 4: specificity and AUC",
            ESTIMATES,
            tuple(_correlation("r", entry) for entry in (auc.r, auc.r_tables, auc.r_images, auc.r_within)),
        ),
    )


def pair_table(family: Family, title: str, *, only_significant: bool) -> TextTable:
    """The pairwise tests of a family.

    Args:
        family: of finding 3.
        title: above the table.
        only_significant: leave the others out.
    """
    rows = tuple(
        (
            f"{LABELS[test.metric]}: {test.first} - {test.second}",
            interval(test.test.difference),
            _t(test.test),
            p_words(test.p_corrected) if test.test.reason is None else test.test.reason,
        )
        for test in family.tests
        if test.significant or not only_significant
    )
    return TextTable(title, ("", "difference (95 % interval)", "t (df)", "corrected p"), rows, family.how)


def benchmark_tables(report: StudyReport, *, plus_minus: str = "±") -> Iterator[TextTable]:
    """One table per benchmark: architectures x figures.

    Args:
        report: of the study.
        plus_minus: the sign between mean and standard deviation.
    """
    for benchmark in dict.fromkeys(cell.benchmark for cell in report.cells):
        cells = [cell for cell in report.cells if cell.benchmark == benchmark]
        rows = tuple(
            (cell.arch, str(len(cell.seeds)), *(_spread(figure, plus_minus) for figure in _shown(cell)))
            for cell in cells
        )
        kind = "images" if cells[0].modality == "image" else "table"
        yield TextTable(
            f"{benchmark} ({kind})", ("", "runs", *(LABELS[metric] for metric in SHOWN)), rows, PER_BENCHMARK
        )


def power_table(report: StudyReport) -> TextTable:
    """The smallest differences that could have been found."""
    rows = []
    for entry in report.power.differences:
        for what, found in (("on one benchmark", entry.seeds), ("over all runs", entry.runs)):
            rows.append((f"{LABELS[entry.metric]}, a pair {what}", *_detectable(found)))
    correlations = "; ".join(
        f"{entry.figure}: |r| from {number(entry.smallest_r)} ({entry.n} runs)" for entry in report.power.correlations
    )
    return TextTable(
        f"What could have been found with power {report.power.power:g}",
        ("", "runs a side", "sd (df)", "alone", "first of all tests"),
        tuple(rows),
        f"smallest differences, two-sided, alpha {report.power.alpha:g}; first of all tests: at the first step of Holm-Sidak over "
        f"{report.power.tests} tests; {correlations}",
    )


def _counts(found: DifferencesFinding) -> TextTable:
    rows = []
    for what, family in (("over runs", found.runs), ("within benchmarks", found.within_benchmarks)):
        rows += [
            (f"{LABELS[count.metric]}, {what}", str(count.significant), str(count.made), "") for count in family.counts
        ]
        total = (
            f"all, {what}",
            str(family.significant),
            str(family.made),
            share_interval(family.share),
        )
        rows.append(total)
    return TextTable(
        "Finding 3: pairwise differences",
        ("", "significant", "tests", "share of CES (95 % interval)"),
        tuple(rows),
        f"Holm-Sidak at 0.05 over each family; over runs: {found.runs.how}; within benchmarks: {found.within_benchmarks.how}; "
        "the tests are not independent, so that the intervals of the shares may be too narrow",
    )


def _ratio(what: str, entry: Ratio) -> tuple[str, ...]:
    return (what, interval(entry.ratio), str(entry.ratio.n), entry.reason or "")


def _welch(what: str, entry: Welch) -> tuple[str, ...]:
    said = entry.reason or f"t {_t(entry)}, p {p_words(entry.p)}"
    return (what, interval(entry.difference), str(entry.difference.n), said)


def _mean(entry: Mean) -> tuple[str, ...]:
    return (f"mean, {entry.of}", interval(entry.mean), str(entry.mean.n), "")


def _correlation(what: str, entry: Correlation) -> tuple[str, ...]:
    tested = "" if entry.p is None else f"p {p_words(entry.p)}"
    said = "; ".join(part for part in (tested, entry.reason or "") if part)
    return (f"{what}, {entry.of}", interval(entry.r), str(entry.r.n), said)


def _t(test: Welch) -> str:
    return "-" if test.t is None else f"{number(test.t)} ({number(test.df)})"


def _shown(cell: Cell) -> Sequence[CellFigure]:
    by_metric = {figure.metric: figure for figure in cell.figures}
    return [by_metric[metric] for metric in SHOWN]


def _spread(figure: CellFigure, plus_minus: str) -> str:
    if figure.mean.value is None or figure.sd is None:
        return number(figure.mean.value)
    return f"{number(figure.mean.value)} {plus_minus}{number(figure.sd, 2)}"


def _detectable(found: Detectable) -> tuple[str, ...]:
    spread = "-" if found.sd is None else f"{number(found.sd, 2)} ({found.df})"
    return (str(found.n), spread, number(found.alone, 2), number(found.first_step, 2))
