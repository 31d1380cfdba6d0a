"""Arrays in .npy, .npz and torch files: which is meant, which rows are read, and what is refused."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuitprobe.adapters.data import array_data, is_array_source, read_array_source
from circuitprobe.adapters.data import npy_file as npy_module
from circuitprobe.adapters.data.reservoir import DRAWN_AT_ONCE, drawn_rows, row_keys, smallest_keys
from circuitprobe.errors import DataError

IMAGES = np.arange(40 * 3 * 5, dtype=np.uint8).reshape(40, 3, 5)


def saved(folder: Path, kind: str, images: np.ndarray[Any, Any] = IMAGES) -> Path:
    """The images in a file of that kind."""
    path = folder / f"images.{kind.split(maxsplit=1)[0]}"
    if kind == "npy":
        np.save(path, images)
    elif kind == "npz":
        np.savez(path, x=images)
    elif kind == "npz compressed":
        np.savez_compressed(path, x=images)
    elif kind == "pt older":
        torch.save(torch.tensor(images), path, _use_new_zipfile_serialization=False)
    else:
        torch.save(torch.tensor(images), path)
    return path


KINDS = ("npy", "npz", "npz compressed", "pt", "pt older")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [7, 40, None])
def test_the_rows_of_every_kind_of_file(tmp_path: Path, kind: str, rows: int | None) -> None:
    path = saved(tmp_path, kind)
    assert is_array_source(path)
    read = read_array_source(path, rows=rows, seed=3)
    np.testing.assert_array_equal(read.values, IMAGES[read.index])
    assert read.values.dtype == np.uint8
    assert (read.total, len(read.index)) == (40, rows or 40)
    assert read.source == path.name


@pytest.mark.parametrize("kind", ["npy", "npz", "npz compressed"])
def test_fortran_order(tmp_path: Path, kind: str) -> None:
    images = np.asfortranarray(np.random.default_rng(0).normal(size=(30, 2, 4, 3)))
    read = read_array_source(saved(tmp_path, kind, images), rows=9, seed=0)
    np.testing.assert_array_equal(read.values, images[read.index])


def test_rows_are_drawn_as_from_a_table_or_an_array(tmp_path: Path) -> None:
    flat = np.random.default_rng(0).normal(size=(500, 6))
    path = saved(tmp_path, "npy", flat)
    _, _, index, _ = array_data(flat, rows=50, seed=2)
    np.testing.assert_array_equal(read_array_source(path, rows=50, seed=2).index, index)


def test_rows_of_more_than_one_piece_are_drawn_alike() -> None:
    total = 2 * DRAWN_AT_ONCE + 17
    np.testing.assert_array_equal(drawn_rows(total, 20, 5), smallest_keys(row_keys(5).random(total), 20))


def test_nothing_behind_the_last_wanted_row_is_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 255, (4000, 16, 16), dtype=np.uint8)
    path = saved(tmp_path, "npz compressed", images)
    taken = []
    kept = npy_module._exactly

    def counted(handle: Any, count: int) -> bytes:
        taken.append(count)
        return kept(handle, count)

    monkeypatch.setattr(npy_module, "_exactly", counted)
    read = read_array_source(path, rows=5, seed=0)
    assert taken == [256] * 5
    np.testing.assert_array_equal(read.values, images[read.index])


def test_stored_members_are_mapped_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "npz")
    monkeypatch.setattr(npy_module, "_inflated", lambda *_: pytest.fail("inflated"))
    np.testing.assert_array_equal(read_array_source(path, rows=None, seed=0).values, IMAGES)


def dsprites(path: Path, rows: int = 60) -> np.ndarray[Any, Any]:
    """A small archive built like dSprites, with its pickled metadata."""
    rng = np.random.default_rng(0)
    imgs = rng.integers(0, 2, (rows, 8, 8), dtype=np.uint8)
    classes = np.stack([np.zeros(rows, int), *(np.arange(rows) % k for k in (3, 6, 40, 32, 32))], axis=1)
    metadata = np.array({"title": "dSprites"}, dtype=object)
    np.savez_compressed(
        path, metadata=metadata, imgs=imgs, latents_classes=classes, latents_values=classes.astype(float)
    )
    return imgs


def test_dsprites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imgs = dsprites(tmp_path / "d.npz")
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    monkeypatch.setattr(pickle, "loads", lambda *_, **__: pytest.fail("unpickled"))
    read = read_array_source(tmp_path / "d.npz", rows=20, seed=0, target="shape")
    np.testing.assert_array_equal(read.values, imgs[read.index])
    assert read.labels == tuple(str(row % 3) for row in read.index.tolist())
    assert "dSprites" in read.notes[0]
    with pytest.raises(DataError, match="has no labels 'shap'") as caught:
        read_array_source(tmp_path / "d.npz", rows=20, seed=0, target="shap")
    assert "did you mean 'shape'" in caught.value.fix


def test_labels_beside_the_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=IMAGES, y=np.arange(40) % 3, words=np.array(["a", "b"] * 20))
    read = read_array_source(tmp_path / "a.npz", rows=10, seed=0, target="y")
    assert read.labels == tuple(str(row % 3) for row in read.index.tolist())
    read = read_array_source(tmp_path / "a.npz", rows=10, seed=0, target="words")
    assert read.labels == tuple("ab"[row % 2] for row in read.index.tolist())


def test_several_arrays_are_asked_about_and_each_answer_works(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=IMAGES, x_test=IMAGES[:10] + 1, y=np.arange(40))
    with pytest.raises(DataError) as caught:
        read_array_source(tmp_path / "a.npz", rows=5, seed=0)
    assert "x_train (uint8, 40 x 3 x 5)" in caught.value.seen
    answers = [line.split()[-1] for line in caught.value.fix.splitlines()]
    assert answers == ["x_train", "x_test"]
    for name, first in zip(answers, (IMAGES, IMAGES[:10] + 1), strict=True):
        read = read_array_source(tmp_path / "a.npz", rows=5, seed=0, array=name)
        np.testing.assert_array_equal(read.values, first[read.index])
    with pytest.raises(DataError, match="has no array 'x_tran'") as caught:
        read_array_source(tmp_path / "a.npz", rows=5, seed=0, array="x_tran")
    assert "x_train" in caught.value.fix


def test_images_win_over_flat_arrays_and_flat_ones_over_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", codes=np.zeros((40, 4)), x=IMAGES, y=np.arange(40))
    assert read_array_source(tmp_path / "a.npz", rows=5, seed=0).values.shape == (5, 3, 5)
    np.savez(tmp_path / "b.npz", codes=np.zeros((40, 4)), y=np.arange(40)[:, None])
    assert read_array_source(tmp_path / "b.npz", rows=5, seed=0).values.shape == (5, 4)


class Bomb:
    """Opens a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("kind", ["npy", "npz", "pt"])
def test_pickles_are_never_opened(tmp_path: Path, kind: str) -> None:
    witness = tmp_path / "was_run"
    objects = np.array([Bomb(witness), Bomb(witness)], dtype=object)
    path = tmp_path / f"a.{kind}"
    if kind == "pt":
        torch.save({"x": Bomb(witness)}, path)
    elif kind == "npy":
        np.save(path, objects)
    else:
        np.savez(path, x=objects)
    with pytest.raises(DataError) as caught:
        read_array_source(path, rows=5, seed=0)
    assert not witness.exists()
    assert "never" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_break_off(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    path = saved(tmp_path, kind, rng.integers(0, 255, (200, 9, 9), dtype=np.uint8))
    whole = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        if is_array_source(path):
            with pytest.raises(DataError) as caught:
                read_array_source(path, rows=None, seed=0)
            assert "images." in caught.value.seen


def test_a_damaged_member_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, "npz compressed", np.random.default_rng(0).integers(0, 255, (200, 9, 9), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="damaged"):
        read_array_source(path, rows=None, seed=0)


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 64, 64)})
    for name, write in (("a.npy", None), ("a.npz", "x.npy")):
        path = tmp_path / name
        if write is None:
            path.write_bytes(header.getvalue() + bytes(100))
        else:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(write, header.getvalue() + bytes(100))
        with pytest.raises(DataError, match="damaged or cut off"):
            read_array_source(path, rows=5, seed=0)


@pytest.mark.parametrize(
    ("array", "seen"),
    [
        (np.zeros((1, 4, 4)), "1 x 4 x 4"),
        (np.zeros(5), "(float64, 5)"),
        (np.zeros((5, 4, 4, 3, 2)), "5 x 4 x 4 x 3 x 2"),
        (np.zeros((5, 4), dtype=complex), "complex128"),
        (np.array([["a", "b"], ["c", "d"]]), "<U1"),
    ],
)
def test_arrays_that_are_no_rows(tmp_path: Path, array: np.ndarray[Any, Any], seen: str) -> None:
    with pytest.raises(DataError) as caught:
        read_array_source(saved(tmp_path, "npy", array), rows=5, seed=0)
    assert seen in caught.value.seen


def test_tables_are_no_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    assert not is_array_source(tmp_path / "a.csv")
    assert not is_array_source("adult")
    assert not is_array_source(tmp_path)
