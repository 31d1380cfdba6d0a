"""Finding 1 on figures whose answer is known."""

from __future__ import annotations

import pytest
from study.findings.study_runs import grid, run, series

from circuitprobe.study.findings.means import ratio_of, welch
from circuitprobe.study.findings.modularity import modularity_finding

TABLES = [0.28, 0.32, 0.30]
IMAGES = [0.58, 0.62, 0.60]


def runs(tables: list[float | None], images: list[float | None]) -> list:
    return [*series("modularity", tables), *series("modularity", images, benchmark="dsprites")]


def test_half_of_it_is_reproduced() -> None:
    found = modularity_finding(runs(TABLES, IMAGES))
    assert found.ratio.ratio.value == pytest.approx(0.5)
    assert found.outcome == found.judgement.outcome == "reproduced"
    assert (found.judgement.paper, found.judgement.null_value, found.judgement.halfway) == (0.5, 1.0, 0.75)
    assert found.ratio == ratio_of("table runs / image runs", TABLES, IMAGES)
    assert found.welch == welch(TABLES, IMAGES)
    assert [entry.of for entry in found.benchmarks] == ["adult", "dsprites"]
    assert found.tables.mean.value == pytest.approx(0.3)
    assert found.images.mean.n == 3


def test_no_difference_is_not_reproduced() -> None:
    assert modularity_finding(runs(IMAGES, IMAGES)).outcome == "not reproduced"


def test_the_other_way_round_is_not_reproduced() -> None:
    assert modularity_finding(runs(IMAGES, TABLES)).outcome == "not reproduced"


def test_a_wide_spread_is_inconclusive() -> None:
    assert modularity_finding(runs([0.1, 0.5, 0.9], [0.6, 0.7, 0.8])).outcome == "inconclusive"


def test_without_image_runs_the_reason_is_told() -> None:
    found = modularity_finding(series("modularity", TABLES))
    assert found.outcome == "inconclusive"
    assert found.judgement.reason == "fewer than two runs on a side (3 and 0)"
    assert found.tables.mean.value == pytest.approx(0.3)
    assert found.images.mean.value is None


def test_undefined_figures_are_left_out_and_named() -> None:
    found = modularity_finding(runs([*TABLES, None], IMAGES))
    assert found.ratio.ratio == modularity_finding(runs(TABLES, IMAGES)).ratio.ratio
    assert found.left_out.runs == ("vae on adult, seed 3",)
    assert found.left_out.count == 1


def test_a_benchmark_without_any_figure_is_still_listed() -> None:
    found = modularity_finding([*runs(TABLES, IMAGES), run({"modularity": None}, benchmark="wine_quality")])
    assert [(entry.of, entry.mean.n) for entry in found.benchmarks] == [
        ("adult", 3),
        ("wine_quality", 0),
        ("dsprites", 3),
    ]


def test_all_table_runs_count_alike() -> None:
    found = modularity_finding(grid())
    assert (found.tables.mean.n, found.images.mean.n) == (60, 15)
