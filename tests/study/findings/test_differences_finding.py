"""Finding 3: the family, its correction and its count, by hand."""

from __future__ import annotations

import pytest
from study.findings.study_runs import ARCHS, TABLES, grid, run

from circuitprobe.study.findings.blocked import blocked
from circuitprobe.study.findings.differences import FAMILY, Family, differences_finding
from circuitprobe.study.findings.means import welch

NEAR = (0.0, 0.01, -0.01)


def only_ces(arch: str, benchmark: str, seed: int) -> dict:
    """CES tells vae from all others and nothing else does."""
    same = 0.5 + NEAR[seed]
    ces = {"vae": 0.2}.get(arch, 0.1) + 0.1 * NEAR[seed]
    return {"ces": ces, "specificity": same, "modularity": same, "fgd_adjusted": same}


def by_hand(family: Family) -> list[float]:
    """Holm-Sidak step by step: 1 - (1 - p)^m over the smallest, m - 1 over the next, never less than the one before."""
    p = sorted(entry.test.p for entry in family.tests if entry.test.p is not None)
    corrected: list[float] = []
    for place, value in enumerate(p):
        step = 1 - (1 - value) ** (len(p) - place)
        corrected.append(max([step, *corrected[-1:]]))
    return corrected


def test_all_pairs_in_all_figures_are_one_family() -> None:
    found = differences_finding(grid()).runs
    assert len(found.tests) == found.made == 10 * 4
    assert {entry.metric for entry in found.tests} == set(FAMILY)
    assert [count.made for count in found.counts] == [10] * 4
    assert sorted(entry.p_corrected or 0.0 for entry in found.tests) == pytest.approx(by_hand(found), rel=1e-9)
    for entry in found.tests:
        assert entry.significant == (entry.p_corrected is not None and entry.p_corrected < 0.05)
    assert 0 < found.significant < 40


def test_each_test_is_welch_s_over_the_runs_of_all_benchmarks() -> None:
    runs = grid()
    entry = next(
        test
        for test in differences_finding(runs).runs.tests
        if (test.metric, test.first, test.second) == ("modularity", "beta-vae", "factor-vae")
    )
    of = {arch: [run.figure("modularity") for run in runs if run.arch == arch] for arch in ARCHS}
    expected = welch(of["beta-vae"], of["factor-vae"])  # type: ignore[arg-type]
    assert entry.test.p == pytest.approx(expected.p)
    assert entry.test.difference.value == pytest.approx(expected.difference.value)
    assert entry.test.difference.n == 30


def test_within_benchmarks_is_a_family_of_its_own() -> None:
    runs = grid()
    found = differences_finding(runs).within_benchmarks
    entry = next(test for test in found.tests if (test.metric, test.first, test.second) == ("ces", "beta-vae", "vae"))
    placed = {
        arch: [(run.benchmark, run.figure("ces")) for run in runs if run.arch == arch] for arch in ("beta-vae", "vae")
    }
    expected = blocked(placed["beta-vae"], placed["vae"])  # type: ignore[arg-type]
    assert entry.test.p == pytest.approx(expected.p)
    assert entry.test.df == 30 - 1 - 5
    assert sorted(entry.p_corrected or 0.0 for entry in found.tests) == pytest.approx(by_hand(found), rel=1e-9)


def test_only_ces_shows_it() -> None:
    """Four significant differences, all of CES: 4 of 4 against a quarter by chance, Clopper-Pearson [0.025^(1/4), 1]."""
    found = differences_finding(grid(only_ces, benchmarks=TABLES))
    assert (found.runs.significant, found.runs.share.n, found.runs.share.value) == (4, 4, 1.0)
    assert {count.metric: count.significant for count in found.runs.counts} == {
        "ces": 4,
        "specificity": 0,
        "modularity": 0,
        "fgd_adjusted": 0,
    }
    assert found.runs.share.low == pytest.approx(0.025**0.25)
    assert found.runs.share.high == 1.0
    assert found.runs.share.null == pytest.approx(0.25)
    assert found.judgement.halfway == pytest.approx((0.25 + 9 / 11) / 2)
    assert found.outcome == "reproduced"
    assert all("vae" in (test.first, test.second) for test in found.runs.tests if test.significant)


def test_nine_of_eleven_has_clopper_and_pearson_s_interval() -> None:
    """binom.test(9, 11) in R: 0.4822441 to 0.9771688."""
    from circuitprobe.study.findings.differences import MetricCount, _share

    found = _share(
        [MetricCount(metric="ces", made=10, significant=9), MetricCount(metric="modularity", made=30, significant=2)]
    )
    assert found.value == pytest.approx(9 / 11)
    assert (found.low, found.high) == pytest.approx((0.4822441, 0.9771688), abs=5e-7)
    assert (found.n, found.null) == (11, 0.25)


def test_every_figure_alike_is_not_reproduced() -> None:
    def alike(arch: str, benchmark: str, seed: int) -> dict:
        value = 0.1 * ARCHS.index(arch) + 0.1 * NEAR[seed]
        return dict.fromkeys(FAMILY, value)

    found = differences_finding(grid(alike))
    assert (found.runs.significant, found.runs.share.value) == (40, 0.25)
    assert found.outcome == "not reproduced"


def test_nothing_significant_is_inconclusive() -> None:
    def same(arch: str, benchmark: str, seed: int) -> dict:
        return dict.fromkeys(FAMILY, 0.5 + NEAR[seed])

    found = differences_finding(grid(same))
    assert (found.runs.made, found.runs.significant, found.runs.share.value) == (40, 0, None)
    assert (found.outcome, found.judgement.reason) == ("inconclusive", "no difference is significant")


def test_tests_that_cannot_be_made_do_not_count() -> None:
    """Without modularity 30 tests are left, and a third of them are of CES."""

    def lacking(arch: str, benchmark: str, seed: int) -> dict:
        return only_ces(arch, benchmark, seed) | {"modularity": None}

    found = differences_finding(grid(lacking))
    assert found.runs.made == 30
    assert found.runs.share.null == pytest.approx(1 / 3)
    assert found.judgement.null_value == pytest.approx(1 / 3)
    entry = next(test for test in found.runs.tests if test.metric == "modularity")
    assert (entry.p_corrected, entry.significant, entry.test.reason) == (
        None,
        False,
        "fewer than two runs on a side (0 and 0)",
    )
    assert [out.count for out in found.left_out] == [0, 0, 75, 0]


def test_one_architecture_gives_no_tests() -> None:
    found = differences_finding([run({"ces": 0.1})])
    assert (found.runs.tests, found.judgement.reason) == ((), "no test could be made")
