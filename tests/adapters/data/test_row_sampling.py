"""Which rows are audited: one pass, bounded memory, independent of how the file is cut into blocks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from circuitprobe.adapters.data import csv_blocks, read_table

if TYPE_CHECKING:
    from pathlib import Path

    from circuitprobe.types import Table


def by_hand(total: int, rows: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    keys = np.random.default_rng([seed, 1]).random(total)
    return np.sort(np.argsort(keys)[:rows])


def test_the_rows_with_the_smallest_keys_win() -> None:
    frame = pd.DataFrame({"x": np.arange(200_000) ** 2.0})
    table = read_table(frame, rows=500, seed=7)
    expected = by_hand(200_000, 500, 7)
    np.testing.assert_array_equal(table.index, expected)
    np.testing.assert_array_equal(table.frame["x"].to_numpy(), expected.astype(float) ** 2)
    assert table.total == 200_000


def test_another_seed_draws_other_rows() -> None:
    frame = pd.DataFrame({"x": np.arange(5000) ** 2.0})
    first, again, other = (read_table(frame, rows=100, seed=seed).index.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("rows", [40, 41, None])
def test_a_short_table_is_taken_whole(rows: int | None) -> None:
    table = read_table(pd.DataFrame({"x": np.arange(40) ** 2}), rows=rows)
    assert table.index.tolist() == list(range(40))
    assert table.frame["x"].tolist() == [float(i * i) for i in range(40)]


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    rows = 20_000
    frame = pd.DataFrame(
        {
            "x": rng.normal(1000, 1, rows),
            "k": rng.integers(0, 30, rows),
            "s": rng.choice(["a", 'b "quoted"\nline', "c"], rows),
            "late": np.where(np.arange(rows) == 15_000, np.nan, rng.integers(0, 5000, rows)),
            "id": np.arange(rows),
            "code": [f"c{i}" for i in range(rows)],
        }
    )
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.mark.parametrize("block_bytes", [1 << 13, 1 << 16, 1 << 24])
def test_block_size_does_not_matter(csv_file: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_table(csv_file, rows=300, seed=3)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block_bytes)
    assert_same(read_table(csv_file, rows=300, seed=3), expected)


def assert_same(table: Table, expected: Table) -> None:
    np.testing.assert_array_equal(table.index, expected.index)
    pd.testing.assert_frame_equal(table.frame, expected.frame)
    for column, other in zip(table.columns, expected.columns, strict=True):
        assert (column.name, column.kind, column.missing) == (other.name, other.kind, other.missing)
        assert column.categories == other.categories
        for name in ("mean", "std", "low", "high"):
            assert getattr(column, name) == pytest.approx(getattr(other, name), rel=1e-12, nan_ok=True)


def test_progress_counts_rows(csv_file: Path) -> None:
    seen: list[int] = []
    read_table(csv_file, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 20_000


def test_every_row_is_equally_likely() -> None:
    """Share of draws in which a row wins: 1/10 each, within five standard errors over 300 seeds."""
    frame = pd.DataFrame({"x": np.arange(100) ** 2.0})
    wins = np.zeros(100)
    for seed in range(300):
        wins[read_table(frame, rows=10, seed=seed).index] += 1
    error = np.sqrt(300 * 0.1 * 0.9)
    assert (np.abs(wins - 30) < 5 * error).all()


PEAK = """
import resource, sys
from circuitprobe.adapters.data import read_table
table = read_table(sys.argv[1])
assert len(table.frame) == 2048
print(table.total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    part = pd.DataFrame(rng.normal(size=(200_000, 8)).round(5))
    part["s"] = rng.choice(["alpha", "beta", "gamma"], len(part))
    text = part.to_csv(index=False, header=False)
    peaks = []
    for repeats in (1, 10):
        file = tmp_path / f"{repeats}.csv"
        with file.open("w") as out:
            out.write(",".join(f"c{i}" for i in range(9)) + "\n")
            for _ in range(repeats):
                out.write(text)
        run = subprocess.run([sys.executable, "-c", PEAK, file], capture_output=True, text=True, check=True)
        total, peak = map(int, run.stdout.split())
        assert total == 200_000 * repeats
        peaks.append(peak / 1024)
    size = file.stat().st_size / 1e6
    assert size > 130
    assert peaks[1] - peaks[0] < 100, f"peak {peaks} MB for a file of {size:.0f} MB"
