"""A study's report in the terminal and as Markdown."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from study.findings.study_runs import grid
from study.telling.reports import full_study, make_study

from circuitprobe.study.telling.markdown import to_markdown
from circuitprobe.study.telling.model import StudyReport
from circuitprobe.study.telling.report import FailedRun, PlannedRun
from circuitprobe.study.telling.tables import benchmark_tables, finding_tables, power_table
from circuitprobe.study.telling.words import statements

EXTRA = PlannedRun("vae", "adult", 9)
HOSTILE = "bad \x1b[31m | <b>@all</b> [x](http://evil.example) #1\nnext `line`"


def printed(report: StudyReport, width: int, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, legacy_windows=False).print(report)
    file.flush()
    return file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_sentences_give_the_figures_beside_the_paper_s() -> None:
    report = full_study()
    first, second, third, fourth = statements(report)
    assert first.sentence == (
        "Modularity on tables is 0.603 [0.575, 0.632] times that on images (paper: about 0.5; 1 if there were no difference)."
    )
    assert "r of CES with MSE is 0.0852 [-0.145, 0.306] (paper: -0.886): not reproduced." in second.sentence
    assert third.sentence.startswith(
        "CES shows 2 of 12 significant differences, 17% [2%, 48%] (paper: 9 of 11, 82%; 25% if"
    )
    assert fourth.sentence.startswith("r of specificity with AUC is 0.162 [-0.0671, 0.375] (paper: 0.46;")
    found = report.findings
    outcomes = [found.modularity.outcome, found.collapse.outcome, found.differences.outcome, found.auc.outcome]
    assert [entry.outcome for entry in (first, second, third, fourth)] == outcomes


def test_sentences_say_why_there_is_no_figure() -> None:
    first, second, third, fourth = statements(make_study([], more=[EXTRA]))
    assert "undefined (fewer than two runs on a side (0 and 0))" in first.sentence
    assert "undefined (0 runs are too few)" in second.sentence
    assert "no test could be made" in third.sentence
    assert "undefined (0 runs are too few)" in fourth.sentence
    alone = statements(make_study(grid(archs=("vae",), benchmarks=("adult", "dsprites"), seeds=(0,))))
    assert "(no interval: fewer than two runs on a side (1 and 1))" in alone[0].sentence


@pytest.mark.parametrize("width", [40, 60, 80, 100, 130, 200])
def test_every_width_holds(width: int) -> None:
    text = printed(make_study(grid(), more=[EXTRA], failed=[FailedRun(EXTRA, HOSTILE)]), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    flat = " ".join(text.split())
    for statement in statements(full_study()):
        assert f"{statement.number} {statement.outcome.upper()}: {statement.title}" in flat
        assert " ".join(statement.sentence.split()) in flat
    # every figure of every table is there, whether it is a table or a list
    squeezed = "".join(text.split())
    for table in (*finding_tables(full_study()), power_table(full_study()), *benchmark_tables(full_study())):
        for cell in (cell for row in table.rows for cell in row if cell != "-"):
            assert "".join(cell.split()) in squeezed
    assert "\x1b" not in text


def test_each_part_of_finding_2_has_its_own_outcome() -> None:
    report = make_study(grid(benchmarks=("adult",)))
    second = statements(report)[1]
    assert (
        "undefined (fewer than two runs on a side (3 and 0)) times that on images (paper: 0.323): inconclusive."
        in second.sentence
    )
    assert second.sentence.endswith("(paper: -0.886): reproduced.")
    assert second.outcome == "inconclusive"


def test_verdicts_come_first() -> None:
    lines = printed(make_study(more=[EXTRA]), 120).splitlines()
    assert lines[0] == "circuitprobe study  12 of 13 runs finished, 1 missing"
    assert lines[2].startswith("1 REPRODUCED: ")
    text = "\n".join(lines)
    assert text.index("\n4 ") < text.index("findings are of these") < text.index("Finding 1: modularity")


def test_ascii_terminals_get_ascii() -> None:
    printed(full_study(), 100, "ascii").encode("ascii")
    assert "+-" in printed(full_study(), 130, "ascii")
    assert "±" in printed(full_study(), 130)


def test_markdown_has_verdicts_figures_and_all_pairs() -> None:
    text = to_markdown(full_study(), ["figures of it/modularity.svg", "figures/ces_mse.svg"])
    for statement in statements(full_study()):
        assert f"| {statement.number}. {statement.title} | **{statement.outcome}** | {statement.sentence} |" in text
    assert "](figures%20of%20it/modularity.svg)" in text
    assert "![Causal effect strength of every run" in text
    assert text.count("<details>") == text.count("</details>") == 3
    assert len(re.findall(r"^\| (?:CES|specificity|modularity|FGD above chance): ", text, flags=re.M)) == 80
    assert "default\\_credit (table)" in text


def test_rows_of_markdown_tables_have_their_header_s_cells() -> None:
    text = to_markdown(make_study(more=[EXTRA], failed=[FailedRun(EXTRA, HOSTILE)]))
    cells = 0
    for line in text.splitlines():
        count = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not count or count == cells, line
        cells = count


def test_errors_are_no_markup() -> None:
    text = to_markdown(make_study(more=[EXTRA], failed=[FailedRun(EXTRA, HOSTILE)]))
    line = next(line for line in text.splitlines() if "seed 9" in line and "bad" in line)
    assert "<b>" not in line
    assert "@all" not in line
    assert not re.search(r"(?<!\\)\]\(|://", line)
    assert "\x1b" not in line
    assert "next" in line
