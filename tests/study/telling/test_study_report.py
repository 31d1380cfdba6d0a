"""A study's report: what it counts, warns of and writes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from study.findings.study_runs import grid, lifelike, run
from study.telling.reports import full_study, make_study, planned_of, small_grid

from circuitprobe import __version__
from circuitprobe.errors import UsageError
from circuitprobe.study.findings.modularity import modularity_finding
from circuitprobe.study.findings.power import power_of
from circuitprobe.study.findings.verdict import RULE
from circuitprobe.study.records import METRICS
from circuitprobe.study.telling.model import StudyReport, json_schema
from circuitprobe.study.telling.report import FailedRun, PlannedRun, RunVersions

EXTRA = PlannedRun("vae", "adult", 9)


def messages(report: StudyReport, code: str) -> list[str]:
    return [warning.message for warning in report.warnings if warning.code == code]


def test_findings_and_power_are_those_of_the_runs() -> None:
    report = full_study()
    assert report.findings.modularity == modularity_finding(grid())
    assert report.power == power_of(grid(), report.findings.differences.runs.made)
    assert report.power.tests == 40
    assert (report.circuitprobe_version, report.verdict_rule) == (__version__, RULE)
    assert report.plan == {"steps": 2000, "archs": ["vae"]}


def test_cells_hold_mean_and_spread_over_seeds() -> None:
    report = full_study()
    assert len(report.cells) == 25
    cell = next(cell for cell in report.cells if (cell.arch, cell.benchmark) == ("beta-vae", "dsprites"))
    assert (cell.modality, cell.seeds, cell.reconstruct) == ("image", (0, 1, 2), 3)
    assert [figure.metric for figure in cell.figures] == list(METRICS)
    values = [lifelike("beta-vae", "dsprites", seed)["ces"] for seed in (0, 1, 2)]
    ces = next(figure for figure in cell.figures if figure.metric == "ces")
    assert ces.mean.value == pytest.approx(np.mean(values))  # type: ignore[arg-type]
    assert ces.sd == pytest.approx(np.std(values, ddof=1))  # type: ignore[arg-type]
    assert ces.mean.n == 3
    assert [cell.benchmark for cell in report.cells][-5:] == ["dsprites"] * 5


def test_the_same_runs_give_the_same_bytes() -> None:
    records = small_grid()
    versions = [RunVersions(entry, (("torch", "2.13"), ("scipy", "1.17"))) for entry in planned_of(records)]
    text = make_study(records, versions=versions).to_json()
    shuffled = random.Random(3).sample(records, len(records))
    assert make_study(shuffled, versions=versions[::-1]).to_json() == text


def test_json_follows_its_schema_and_comes_back(tmp_path: Path) -> None:
    failed = [FailedRun(EXTRA, "out of memory")]
    report = make_study(more=[EXTRA, PlannedRun("vae", "adult", 8)], failed=failed)
    path = tmp_path / "report.json"
    text = report.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(text))
    assert StudyReport.from_json(path).to_json() == text
    assert json.loads(text)["study_report_version"] == "1.0"
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_numbers_have_nine_digits(tmp_path: Path) -> None:
    report = full_study()
    value = report.findings.modularity.ratio.ratio.value
    assert value is not None
    written = json.loads(report.to_json())["findings"]["modularity"]["ratio"]["ratio"]["value"]
    assert written == float(f"{value:.9g}") != value


def test_files_that_are_no_report_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match=r"other\.json is not a study's report of version 1\.0"):
        StudyReport.from_json(other)
    with pytest.raises(UsageError, match="cannot read"):
        StudyReport.from_json(tmp_path / "none.json")


def test_an_unfinished_study_is_counted_and_told() -> None:
    lost = PlannedRun("beta-vae", "dsprites", 7)
    report = make_study(more=[EXTRA, lost], failed=[FailedRun(EXTRA, "out of memory")])
    assert (report.runs.planned, report.runs.finished, report.runs.failed, report.runs.missing) == (14, 12, 1, 1)
    assert [(entry.arch, entry.seed, entry.error) for entry in report.runs.failures] == [("vae", 9, "out of memory")]
    assert report.runs.missing_runs == ("beta-vae on dsprites, seed 7",)
    assert messages(report, "incomplete_grid") == [
        "of 14 planned runs 12 finished (1 failed, 1 missing): findings are of these"
    ]


def test_a_run_that_failed_first_and_finished_then_is_finished() -> None:
    report = make_study(failed=[FailedRun(PlannedRun("vae", "adult", 0), "lost its worker")])
    assert (report.runs.finished, report.runs.failed, report.runs.missing) == (12, 0, 0)
    assert not messages(report, "incomplete_grid")


def test_runs_that_the_plan_does_not_have_are_told() -> None:
    from circuitprobe.study.telling.report import study_report

    records = small_grid()
    report = study_report(records, planned=planned_of(records)[1:], plan={})
    assert messages(report, "not_planned") == [
        "results of runs that the plan does not have: vae on adult, seed 0",
    ]


def test_runs_that_do_not_reconstruct_are_told() -> None:
    records = [*small_grid(), run(lifelike("vae", "adult", 0), seed=5, reconstructs=False)]
    report = make_study(records)
    (message,) = messages(report, "not_reconstructing")
    assert message.startswith("1 run of 13 reconstruct no better")
    assert message.endswith(": vae on adult, seed 5")
    cell = next(cell for cell in report.cells if (cell.arch, cell.benchmark) == ("vae", "adult"))
    assert (cell.reconstruct, len(cell.seeds)) == (3, 4)


def test_left_out_runs_are_told_per_figure() -> None:
    records = [
        *small_grid(),
        *(run(lifelike("vae", "adult", 0) | {"modularity": None}, seed=seed) for seed in range(3, 11)),
    ]
    (message,) = messages(make_study(records), "left_out")
    assert message.startswith(
        "modularity is undefined for 8 runs, left out: vae on adult, seed 3; vae on adult, seed 4;"
    )
    assert message.endswith("; and 2 more")


def test_mixed_versions_are_told_and_even_ones_are_not() -> None:
    runs = planned_of(small_grid())
    versions = [
        RunVersions(entry, (("numpy", "2.3"), ("torch", "2.6" if place < 4 else "2.7")))
        for place, entry in enumerate(runs)
    ]
    report = make_study(versions=versions)
    assert messages(report, "versions_differ") == [
        "runs were made with different versions: torch 2.6 (4 runs), 2.7 (8 runs)"
    ]
    assert [(entry.package, entry.version, entry.runs) for entry in report.versions] == [
        ("numpy", "2.3", 12),
        ("torch", "2.6", 4),
        ("torch", "2.7", 8),
    ]


def test_one_image_benchmark_is_told() -> None:
    assert "dsprites" in messages(full_study(), "one_image_benchmark")[0]
    assert not messages(make_study(grid(benchmarks=("adult",))), "one_image_benchmark")


def test_a_study_without_any_run_is_a_report() -> None:
    report = make_study([], more=[EXTRA])
    assert (report.runs.finished, report.runs.missing, report.cells) == (0, 1, ())
    assert report.findings.collapse.outcome == "inconclusive"
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(report.to_json()))
