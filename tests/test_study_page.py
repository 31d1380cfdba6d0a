"""docs/study.md: its figures are those of the study whose audits lie beside it, and its options exist."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from circuitprobe import study
from circuitprobe.cli import app
from circuitprobe.report.words import interval
from circuitprobe.study.telling.model import Findings
from circuitprobe.study.telling.words import statements
from circuitprobe.types import Estimate

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "study.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[study.StudyReport, str]:
    """The report made again from the archive, and its Markdown."""
    place = tmp_path_factory.mktemp("docs") / "report.md"
    made = study.report(DOCS / "study" / "study.tar.xz", study.ReportOutputs(markdown=place))
    return made, place.read_text(encoding="utf-8")


def test_the_report_can_be_made_again_from_the_archive(report: tuple[study.StudyReport, str]) -> None:
    made, text = report
    assert (made.runs.planned, made.runs.finished) == (75, 75)
    kept = (DOCS / "study" / "report.md").read_text(encoding="utf-8")
    without_figures = re.sub(r"!\[[^\]]*\]\(\w+\.svg\)\n\n", "", kept)
    assert kept != without_figures
    assert text == without_figures


def test_the_page_says_what_the_report_says(report: tuple[study.StudyReport, str]) -> None:
    for statement in statements(report[0]):
        assert f"{statement.number}. {statement.title}: **{statement.outcome}**" in PAGE
        assert statement.sentence in PAGE


def test_the_page_says_what_the_other_study_says(report: tuple[study.StudyReport, str]) -> None:
    """The study with the strengths of images on tables, beside the first."""
    ours, other = report[0].findings, study.report(DOCS / "study" / "image-strengths.tar.xz").findings
    figures: list[tuple[str, Callable[[Findings], Estimate], str]] = [
        ("modularity, tables / images", lambda f: f.modularity.ratio.ratio, "about 0.5"),
        ("CES of beta-VAE, tables / images", lambda f: f.collapse.beta_vae.ratio.ratio, "0.323"),
        ("CES of beta-VAE on tables", lambda f: f.collapse.beta_vae.tables.mean, "0.043"),
        ("r of CES with MSE, all runs", lambda f: f.collapse.r.r, "-0.886"),
        ("r of CES with MSE, runs on tables", lambda f: f.collapse.r_tables.r, ""),
        ("share of CES among significant differences", lambda f: f.differences.runs.share, "0.818"),
        ("the same with benchmarks taken out", lambda f: f.differences.within_benchmarks.share, ""),
        ("r of specificity with AUC, all runs", lambda f: f.auc.r.r, "0.460"),
        ("r of specificity with AUC, runs on tables", lambda f: f.auc.r_tables.r, ""),
    ]
    for name, figure, paper in figures:
        assert f"| {name} | {interval(figure(ours))} | {interval(figure(other))} | {paper} |" in PAGE


def test_figures_lie_beside_the_report() -> None:
    for name in re.findall(r"\]\(study/(\w+\.svg)\)", PAGE):
        assert (DOCS / "study" / name).read_text(encoding="utf-8").startswith("<?xml")


def test_options_on_the_page_exist() -> None:
    (group,) = (info for info in app.registered_groups if info.name == "study")
    assert group.typer_instance is not None
    known: set[str] = {"--help"}
    for command in typer.main.get_command(group.typer_instance).commands.values():  # type: ignore[attr-defined]
        known |= {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"(?m)^(ray|pip) .*$", "", PAGE)))
    assert named - known == set()
    assert {"--out", "--executor", "--archive"} <= named
