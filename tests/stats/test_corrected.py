"""Many tests at once, source rows, and what overlaps are by chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import circuitprobe as cp
from circuitprobe.interventions.sources import source_rows
from circuitprobe.metrics.overlap import expected_jaccard
from circuitprobe.options import level_numbers, memory_bytes
from circuitprobe.stats.corrected import bootstrap_p, holm_sidak
from circuitprobe.stats.corrected import test_resamples as resamples_for
from circuitprobe.stats.draws import derangements


def test_holm_sidak_by_hand() -> None:
    """Sorted 0.01, 0.03, 0.04: 1 - 0.99^3, max(that, 1 - 0.97^2), max(that, 0.04)."""
    first, second = 1 - 0.99**3, 1 - 0.97**2
    found = holm_sidak(np.array([0.04, 0.01, np.nan, 0.03]))
    np.testing.assert_allclose(found[[1, 3, 0]], [first, second, max(second, 0.04)])
    assert np.isnan(found[2])


def test_bootstrap_p_has_room_for_its_correction() -> None:
    """A clear effect among 250 tests stays significant; noise and nothing do not."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 250))
    values[:, 0] += 2.0
    values[:, 1] = 0.0
    p = bootstrap_p(values, seed=0)
    assert p[0] == pytest.approx(2 / (resamples_for(250, 1000) + 1))
    assert p[1] == 1.0
    corrected = holm_sidak(p)
    assert corrected[0] < 0.05
    assert (corrected[2:] < 0.05).sum() <= 2


def test_no_row_is_its_own_source() -> None:
    for rows in (2, 3, 50):
        drawn = derangements(rows, 5, seed=1)
        assert (np.sort(drawn, axis=1) == np.arange(rows)).all()
        assert (drawn != np.arange(rows)).all()


@pytest.mark.parametrize("sources", [0, [[0, 1]], [[0, 1, 3]], np.zeros((1, 3))])
def test_sources_that_are_none_are_refused(sources: object) -> None:
    with pytest.raises(cp.UsageError, match="sources"):
        source_rows(sources, 3, 0)  # type: ignore[arg-type]


def test_expected_jaccard_counts_all_pairs_of_sets() -> None:
    one = {0, 1}
    pairs = [set(other) for other in combinations(range(5), 3)]
    exact = np.mean([len(one & other) / len(one | other) for other in pairs])
    assert expected_jaccard(2, 3, 5) == pytest.approx(exact)
    assert expected_jaccard(5, 5, 5) == 1.0


def test_sizes_and_levels_as_typed() -> None:
    assert [memory_bytes(text) for text in ("512MiB", "512M", "2GB", "20000000", "1.5 GiB")] == [
        2**29, 2**29, 2 * 10**9, 20_000_000, 3 * 2**29,
    ]  # fmt: skip
    assert level_numbers("3, 1,1") == (1, 3)
    for bad in ("", "5", "1;2"):
        with pytest.raises(cp.UsageError):
            level_numbers(bad)
    for bad in ("much", "-1", "0", "12 parsecs", "1", "4KiB"):
        with pytest.raises(cp.UsageError):
            memory_bytes(bad)
