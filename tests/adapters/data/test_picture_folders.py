"""Folders of PNG and JPEG files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuitprobe.adapters.data import intensities, is_array_source, read_array_source
from circuitprobe.errors import DataError, UsageError

Image = pytest.importorskip("PIL.Image")


def picture(path: Path, values: np.ndarray[Any, Any], mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Image.fromarray(values)
    (made.convert(mode) if mode else made).save(path, **options)


def grey(seed: int, height: int = 6, width: int = 9) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of four grey pictures, and files that are none."""
    for number in range(12):
        picture(tmp_path / "set" / "abc"[number % 3] / f"{number:02}.png", grey(number))
    (tmp_path / "set" / "Thumbs.db").write_text("x")
    (tmp_path / "set" / ".hidden.png").write_text("x")
    return tmp_path / "set"


def test_class_folders_in_the_order_of_names(folder: Path) -> None:
    assert is_array_source(folder)
    read = read_array_source(folder, rows=None, seed=0, target="folder")
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    np.testing.assert_array_equal(read.values[..., 0], [grey(number) for number in order])
    assert read.labels == tuple("aaaabbbbcccc")
    assert (read.source, read.total, read.channels_last, read.levels) == ("set", 12, True, 255.0)


def test_only_audited_files_are_opened(folder: Path) -> None:
    index = read_array_source(folder, rows=3, seed=0).index
    for number, path in enumerate(sorted(folder.rglob("[0-9]*.png"))):
        if number not in index:
            path.write_bytes(b"\x89PNG no picture")
    assert read_array_source(folder, rows=3, seed=0).values.shape == (3, 6, 9, 1)
    with pytest.raises(DataError, match=r"/\d\d\.png cannot be read"):
        read_array_source(folder, rows=None, seed=0)


def test_a_cut_picture_is_named(folder: Path) -> None:
    path = folder / "b" / "04.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"The picture b/04\.png cannot be read"):
        read_array_source(folder, rows=None, seed=0)


def test_sizes_that_differ_are_shown(folder: Path) -> None:
    picture(folder / "c" / "99.png", grey(1, 7, 7))
    with pytest.raises(DataError) as caught:
        read_array_source(folder, rows=None, seed=0)
    assert "9 x 6 in 12 (such as a/00.png); 7 x 7 in 1 (such as c/99.png)" in caught.value.seen
    assert "-resize 9x6!" in caught.value.fix


def as_palette(path: Path) -> None:
    picture(path, np.stack([grey(1)] * 3, axis=2), "P")


def as_alpha(path: Path) -> None:
    values = np.stack([grey(1), grey(2), grey(3), np.full((6, 9), 7, np.uint8)], axis=2)
    picture(path, values)


def as_16_bit(path: Path) -> None:
    picture(path, grey(1).astype(np.uint16) * 257)


def as_turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture(path, grey(1), exif=exif)


def as_jpeg(path: Path) -> None:
    picture(path.with_suffix(".jpg"), np.full((6, 9), 128, np.uint8))


def as_one_bit(path: Path) -> None:
    picture(path, grey(1), "1")


@pytest.mark.parametrize(
    ("write", "note", "expected"),
    [
        (as_alpha, "alpha channel, which was dropped", lambda: np.stack([grey(1), grey(2), grey(3)], axis=2) / 255),
        (as_16_bit, "grey of 16 bits", lambda: grey(1)[:, :, None] / 255),
        (as_turned, "EXIF", lambda: grey(1)[:, :, None] / 255),
        (as_jpeg, "", lambda: np.full((6, 9, 1), 128 / 255)),
        (as_one_bit, "", None),
        (as_palette, "palette", None),
    ],
)
def test_modes(
    tmp_path: Path, write: Callable[[Path], None], note: str, expected: Callable[[], np.ndarray[Any, Any]] | None
) -> None:
    for number in range(2):
        write(tmp_path / f"{number}.png")
    read = read_array_source(tmp_path, rows=None, seed=0)
    values, _ = intensities(read)
    assert values.shape[0] == 2
    assert 0 <= values.min() <= values.max() <= 1
    if expected is not None:
        np.testing.assert_allclose(values[0], expected(), atol=1 / 255)
    assert (note in "; ".join(read.notes)) if note else read.notes == ()


def test_grey_beside_colour_becomes_colour(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", grey(1))
    picture(tmp_path / "b.png", np.stack([grey(1), grey(2), grey(3)], axis=2))
    read = read_array_source(tmp_path, rows=None, seed=0)
    np.testing.assert_array_equal(read.values[0], np.stack([grey(1)] * 3, axis=2))
    assert "1 of the files are grey and were read as colour" in read.notes[0]


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no target 'digit'") as caught:
        read_array_source(folder, rows=None, seed=0, target="digit")
    assert caught.value.fix == "--target folder"
    picture(folder / "loose.png", grey(0))
    with pytest.raises(DataError, match=r"lie in set itself: 'loose\.png'"):
        read_array_source(folder, rows=None, seed=0, target="folder")
    with pytest.raises(UsageError, match="--array x"):
        read_array_source(folder, rows=None, seed=0, array="x")
    with pytest.raises(DataError, match="is one picture") as caught:
        read_array_source(folder / "loose.png", rows=None, seed=0)
    assert str(folder) in caught.value.fix


def test_without_pillow_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError) as caught:
        read_array_source(folder, rows=None, seed=0)
    assert "pip install" in caught.value.fix
