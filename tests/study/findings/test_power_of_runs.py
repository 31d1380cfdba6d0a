"""Power against figures that R and textbooks give."""

from __future__ import annotations

import math

import pytest
from scipy import stats
from study.findings.study_runs import grid, run, series

from circuitprobe.study.findings.power import power_of, smallest_difference, smallest_r

PER_TEST = 1 - 0.95 ** (1 / 40)


def test_power_t_test_of_r() -> None:
    """power.t.test(delta = 1, sd = 1, power = 0.8) prints n = 16.71477: on so many runs a side the smallest difference is 1.

    (But for 2e-6: unless asked to be strict, R leaves out the far tail.)
    """
    assert smallest_difference(1.0, 16.71477, 0.05) == pytest.approx(1.0, abs=3e-6)


@pytest.mark.parametrize(("n", "alpha"), [(2, 0.05), (3, 0.05), (3, PER_TEST), (15, 0.05), (15, PER_TEST), (75, 0.05)])
def test_smallest_difference_has_the_power(n: int, alpha: float) -> None:
    """Against the noncentral t law: both tails beyond the critical value hold 0.8."""
    effect = smallest_difference(1.0, n, alpha)
    bound, shift = float(stats.t.isf(alpha / 2, 2 * n - 2)), effect * math.sqrt(n / 2)
    tails = float(stats.nct.sf(bound, 2 * n - 2, shift)) + float(stats.nct.sf(bound, 2 * n - 2, -shift))
    assert tails == pytest.approx(0.8, abs=1e-6)
    assert smallest_difference(3.0, n, alpha) == pytest.approx(3 * effect)


def test_smallest_r_of_the_tables() -> None:
    """Hulley et al. 2013, appendix 6C: 29 runs for r = 0.5, 85 for 0.3, 194 for 0.2 (power 0.8, two-sided 0.05)."""
    for n, r in ((29, 0.5), (85, 0.3), (194, 0.2)):
        assert smallest_r(n) == pytest.approx(r, abs=0.002)
    assert smallest_r(3) is None
    assert smallest_r(4) == pytest.approx(math.tanh(1.959964 + 0.841621), abs=1e-6)


def test_spread_between_seeds_is_pooled_over_cells() -> None:
    """Cells 1, 3 (variance 2, one degree of freedom) and 10, 12, 14 (variance 4, two): sqrt((2 + 2 * 4) / 3)."""
    runs = [*series("ces", [1.0, 3.0]), *series("ces", [10.0, 12.0, 14.0], benchmark="dsprites")]
    found = next(entry for entry in power_of(runs, 0).differences if entry.metric == "ces")
    assert found.seeds.sd == pytest.approx(math.sqrt(10 / 3))
    assert (found.seeds.df, found.seeds.n) == (3, 2)
    # over the architecture's five runs: mean 8, squares 49 + 25 + 4 + 16 + 36
    assert found.runs.sd == pytest.approx(math.sqrt(130 / 4))
    assert (found.runs.df, found.runs.n) == (4, 5)


def test_full_grid() -> None:
    found = power_of(grid(), 40)
    assert found.first_step_alpha == pytest.approx(PER_TEST)
    for entry in found.differences:
        assert (entry.seeds.n, entry.seeds.df) == (3, 50)
        assert (entry.runs.n, entry.runs.df) == (15, 70)
        for detectable in (entry.seeds, entry.runs):
            assert detectable.sd is not None
            assert detectable.alone == pytest.approx(smallest_difference(detectable.sd, detectable.n, 0.05))
            assert detectable.first_step == pytest.approx(smallest_difference(detectable.sd, detectable.n, PER_TEST))
    assert [entry.n for entry in found.correlations] == [75, 75]
    assert found.correlations[0].smallest_r == pytest.approx(math.tanh(2.801585 / math.sqrt(72)), abs=1e-6)


def test_seeds_are_counted_not_supposed() -> None:
    assert power_of(grid(seeds=(0, 1)), 40).differences[0].seeds.n == 2
    assert power_of(grid(seeds=(0, 1)), 40).differences[0].runs.n == 10


def test_one_seed_shows_nothing_of_seeds() -> None:
    found = power_of(grid(seeds=(0,)), 40).differences[0]
    assert (found.seeds.sd, found.seeds.alone) == (None, None)
    assert found.runs.alone is not None
    assert power_of([run({"ces": 1.0})], 0).first_step_alpha is None
