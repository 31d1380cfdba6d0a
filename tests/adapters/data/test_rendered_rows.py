"""The benchmark of images by its name: which rows, which labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from circuitprobe.adapters.benchmarks import benchmark, dsprites
from circuitprobe.adapters.data import intensities, is_array_source, read_array_source, read_table
from circuitprobe.adapters.data.reservoir import row_keys, smallest_keys
from circuitprobe.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rows_are_drawn_by_the_rule_of_tables() -> None:
    assert is_array_source("dsprites")
    read = read_array_source("dsprites", rows=100, seed=7)
    np.testing.assert_array_equal(read.index, smallest_keys(row_keys(7).random(737_280), 100))
    np.testing.assert_array_equal(read.values, dsprites.images(read.index))
    assert (read.source, read.total, read.labels) == ("dsprites", 737_280, None)
    assert "rendered" in read.notes[0]
    assert "up to a few border pixels" in read.notes[0]


def test_one_is_full_intensity() -> None:
    values, words = intensities(read_array_source("dsprites", rows=20, seed=0))
    assert np.unique(values).tolist() == [0.0, 1.0]
    assert words == "uint8, 0 to 1"


@pytest.mark.parametrize("target", ["shape", "scale", "orientation", "posX", "posY"])
def test_labels_are_the_classes_of_a_factor(target: str) -> None:
    read = read_array_source("dsprites", rows=60, seed=1, target=target)
    place = ["color", "shape", "scale", "orientation", "posX", "posY"].index(target)
    classes = dsprites.factor_classes(read.index)[:, place]
    assert read.labels == tuple(str(value) for value in classes.tolist())


@pytest.mark.parametrize(
    ("target", "seen", "fix"),
    [
        ("shap", "has no factor 'shap'", "did you mean 'shape'?"),
        ("color", "has one color in all images", "--target shape"),
        ("folder", "has no factor 'folder'", "--target shape"),
    ],
)
def test_targets_that_are_none(target: str, seen: str, fix: str) -> None:
    with pytest.raises(DataError, match=seen) as caught:
        read_array_source("dsprites", rows=20, seed=0, target=target)
    for name in ("'shape'", "'scale'", "'orientation'", "'posX'", "'posY'"):
        assert name in caught.value.expected
    assert caught.value.fix == fix


def test_no_array_can_be_named() -> None:
    with pytest.raises(UsageError, match="--array imgs with the benchmark dsprites"):
        read_array_source("dsprites", rows=20, seed=0, array="imgs")


def test_a_file_or_folder_of_that_name_wins(tmp_path: Path) -> None:
    (tmp_path / "dsprites").write_text("a,b\n1,2\n2,4\n5,1\n")
    assert not is_array_source("dsprites")
    assert read_table("dsprites").total == 3
    (tmp_path / "dsprites").unlink()
    (tmp_path / "dsprites").mkdir()
    assert not is_array_source("dsprites")
    with pytest.raises(DataError, match="is a directory"):
        read_table("dsprites")


def test_images_are_no_table() -> None:
    for refused in (lambda: read_table("dsprites"), lambda: benchmark("dsprites")):
        with pytest.raises(DataError, match="dsprites is a benchmark of images, not a table") as caught:
            refused()
        assert "adult, default_credit, german_credit, wine_quality" in caught.value.expected
        assert caught.value.fix.endswith("circuitprobe data export dsprites dsprites.csv")


def test_names_that_are_close() -> None:
    for typed in ("dsprite", "dSprites", "Dsprites"):
        with pytest.raises(DataError, match="There is no file") as caught:
            read_table(typed)
        assert "did you mean 'dsprites'?" in caught.value.fix
        assert "dsprites for images" in caught.value.expected
