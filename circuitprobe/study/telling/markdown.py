"""A study's report as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitprobe.gate.markdown import escaped
from circuitprobe.study.telling.figures import FIGURES
from circuitprobe.study.telling.tables import (
    REMARK,
    TextTable,
    benchmark_tables,
    finding_tables,
    pair_table,
    power_table,
)
from circuitprobe.study.telling.words import run_words, statements

if TYPE_CHECKING:
    from circuitprobe.study.telling.model import StudyReport

INTERVAL = re.compile(r"\\\[([-+.%\de]+, [-+.%\de]+)\\\]")
"""An interval after escaping: figures in brackets are no markup, and easier to read as they are."""


def to_markdown(report: StudyReport, figures: Sequence[str] = ()) -> str:
    """The verdicts with their sentences, then figures, what stands behind each finding, power, and a table per benchmark.

    Args:
        report: of the study.
        figures: links to the files that ``write_figures`` made, relative to where the Markdown will stand.
    """
    lines = [f"{_cell(run_words(report))}.", "", "| finding | verdict | |", "|---|---|---|"]
    lines += [
        f"| {entry.number}. {_cell(entry.title)} | **{entry.outcome}** | {_cell(entry.sentence)} |"
        for entry in statements(report)
    ]
    lines += ["", _cell(report.verdict_rule), ""]
    lines += [f"- {_cell(warning.message)}" for warning in report.warnings]
    lines += [""] * bool(report.warnings)
    lines += _failures(report)
    for link in figures:
        told = FIGURES.get(link.rsplit("/", 1)[-1])
        lines += [f"![{_cell(told.description if told else link)}]({_target(link)})", ""]
    findings, found = finding_tables(report), report.findings.differences
    for table in findings:
        lines += _table(table)
    for family, title in ((found.runs, "over runs"), (found.within_benchmarks, "within benchmarks")):
        table = pair_table(family, f"All pairs, {title}", only_significant=False)
        lines += ["<details><summary>" + table.title + "</summary>", "", *_rows(table), "</details>", ""]
    lines += _table(power_table(report))
    for table in benchmark_tables(report):
        lines += _table(table)
    return "\n".join([*lines, *_made(report)]) + "\n"


def _failures(report: StudyReport) -> list[str]:
    if not report.runs.failures:
        return []
    rows = tuple(
        (f"{failure.arch} on {failure.benchmark}, seed {failure.seed}", failure.error)
        for failure in report.runs.failures
    )
    return _table(TextTable("Runs that failed", ("run", "error"), rows))


def _made(report: StudyReport) -> list[str]:
    """The plan and the packages, folded away."""
    plan = json.dumps(report.plan, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
    packages = [f"{entry.package} {entry.version} ({entry.runs} runs)" for entry in report.versions]
    made = f"circuitprobe {report.circuitprobe_version}, method {report.method_version}"
    # four blanks make it code, in which nothing is markup
    return [
        "<details><summary>plan and packages</summary>",
        "",
        *(f"    {line}" for line in plan),
        "",
        _cell("; ".join([f"report: {made}", *packages])),
        "",
        "</details>",
    ]


def _table(table: TextTable) -> list[str]:
    return [f"### {_cell(table.title)}", "", *_rows(table)]


def _rows(table: TextTable) -> list[str]:
    right = ["---:" if place and name != REMARK else "---" for place, name in enumerate(table.header)]
    lines = [f"| {' | '.join(map(_cell, table.header))} |", f"|{'|'.join(right)}|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in table.rows]
    return [*lines, "", *([_cell(table.note), ""] if table.note else [])]


def _cell(text: str) -> str:
    return INTERVAL.sub(r"[\1]", escaped(text))


def _target(link: str) -> str:
    """A link's address: blanks and brackets would end it."""
    from urllib.parse import quote

    return quote(link, safe="/.-_~")
