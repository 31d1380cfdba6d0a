"""Images and other arrays from files: what the file is, which array of it is meant, and its audited rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.archives import DAMAGED, ZipReader
from circuitprobe.adapters.data.known_factors import KnownFactors
from circuitprobe.adapters.data.near_names import did_you_mean, listed
from circuitprobe.adapters.data.npy_file import ARRAY_FILE, MAGIC, StoredArray, npy_array, npz_arrays
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.data.picture_folder import check_count, class_folders, picture_files, read_pictures
from circuitprobe.adapters.data.plain_arrays import plain_array, readable
from circuitprobe.adapters.data.reservoir import drawn_rows
from circuitprobe.adapters.data.torch_file import OLDER_FORMAT, torch_arrays
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from circuitprobe.types import IntArray

PICTURES = {b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture"}
DSPRITES = {"imgs", "latents_values", "latents_classes"}
FOLDER = "folder"
SHOWN = 12
VALUES_PER_BYTE = 2
"""Numbers of all audited rows for each byte of their file: more come only out of a compressed one."""


@dataclass(frozen=True)
class ArrayRows:
    """The audited rows of images or of an array, as they are stored.

    Attributes:
        values: shape (rows, dims), (rows, height, width), or with channels before or behind.
        source: short name of where they come from.
        total: rows of the whole.
        index: which of them these are, ascending, shape (rows,).
        levels: the value that means full intensity, where the format says so.
        labels: the target of each row, None where no target was named.
        notes: how they were read, in words.
        channels_last: where the channels stand, if that is known.
        factors: further images with the factors that they were made from, where those are known.
    """

    values: np.ndarray[Any, Any]
    source: str
    total: int
    index: IntArray
    levels: float | None = None
    labels: tuple[str | None, ...] | None = None
    notes: tuple[str, ...] = ()
    channels_last: bool | None = None
    factors: KnownFactors | None = None


def is_array_source(source: object) -> bool:
    """Whether a source is a file of arrays or a folder of pictures, told by what is in it, or a benchmark of images."""
    from circuitprobe.adapters.benchmarks import named_images

    if not isinstance(source, str | Path):
        return False
    if named_images(source) is not None:
        return True
    path = Path(source)
    if path.is_dir():
        return bool(picture_files(path))
    return _kind(path) != ""


def _kind(path: Path) -> str:
    """``npy``, ``npz``, ``torch``, ``picture``; "" for anything else."""
    try:
        with open_file(path) as handle:
            head = handle.read(32)
    except OSError:
        return ""
    if head.startswith(MAGIC):
        return "npy"
    if head.startswith(tuple(PICTURES)):
        return "picture"
    if head[:1] == b"\x80" and OLDER_FORMAT in head:
        return "torch"
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ""
    try:
        with ZipReader(path, ARRAY_FILE, path.name) as archive:
            names = archive.names
    except (*DAMAGED, OSError):
        # cut off: its directory is at the end
        return "npz" if path.suffix == ".npz" else ""
    if any(name.endswith("data.pkl") and name.count("/") <= 1 for name in names):
        return "torch"
    return "npz" if path.suffix == ".npz" or any(name.endswith(".npy") for name in names) else ""


def read_array_source(
    source: str | Path, *, rows: int | None, seed: int, array: str | None = None, target: str | None = None
) -> ArrayRows:
    """The audited rows of a file of arrays, a folder of pictures or a benchmark of images; nothing but them is read or made.

    Args:
        source: .npy, .npz, a file that torch.save wrote, or a folder of PNG and JPEG files, told by content; or ``dsprites``.
        rows: how many rows are audited; None for all.
        seed: of their choice, by the rule of ``read_table``.
        array: which array of several.
        target: the labels: the name of a further array with one number or text per row; a factor of dSprites; ``folder`` for
            the class folders of pictures.

    Raises:
        DataError: damaged, no array of numbers, several that could be meant, no such array or target.
        UsageError: an array is named where there is no choice of them.
    """
    from circuitprobe.adapters.benchmarks import named_images
    from circuitprobe.adapters.data.rendered import rendered_rows

    path, known = Path(source), named_images(source)
    if known is not None:
        return rendered_rows(known, rows, seed, array, target)
    if path.is_dir():
        return _from_folder(path, rows, seed, array, target)
    kind = _kind(path)
    if kind == "picture":
        raise DataError(
            f"{path.name} is one picture.",
            expected="a folder of PNG or JPEG files, all of one size",
            fix=f"name its folder: {path.parent}",
        )
    read = {"npy": npy_array, "npz": npz_arrays, "torch": torch_arrays}[kind]
    return _from_arrays(path, read(path), rows, seed, array, target)


def array_rows(values: np.ndarray[Any, Any] | Tensor, *, rows: int | None, seed: int) -> ArrayRows:
    """The audited rows of images that are in memory."""
    given = readable(values)
    index = drawn_rows(len(given), rows, seed)
    if isinstance(given, np.ndarray):
        return ArrayRows(given[index], "array", len(given), index)
    import torch

    array = plain_array(given[torch.as_tensor(index, device=given.device)])
    return ArrayRows(array, "array", len(given), index)


def _from_folder(folder: Path, rows: int | None, seed: int, array: str | None, target: str | None) -> ArrayRows:
    if array is not None:
        raise UsageError(
            f"--array {array} with a folder of pictures", expected="an archive of arrays", fix="leave out --array"
        )
    files = picture_files(folder)
    if len(files) < 2:
        raise DataError(f"{folder.name} holds one picture.", expected="at least 2", fix="give more pictures")
    if target not in (None, FOLDER):
        raise DataError(
            f"{folder.name} has no target {target!r}.",
            expected="--target folder: the folder that a picture lies in is its class",
            fix="--target folder",
        )
    classes = class_folders(files, folder) if target == FOLDER else None
    index = drawn_rows(len(files), rows, seed)
    values, levels, notes = read_pictures(folder, [files[row] for row in index.tolist()])
    labels = None if classes is None else tuple(classes[row] for row in index.tolist())
    return ArrayRows(values, folder.name, len(files), index, levels, labels, notes, channels_last=True)


def _from_arrays(
    path: Path, arrays: Sequence[StoredArray], rows: int | None, seed: int, name: str | None, target: str | None
) -> ArrayRows:
    source = path.name
    chosen = _named(source, arrays, name) if name is not None else _image_like(source, arrays)
    total = chosen.shape[0] if chosen.shape else 0
    if total < 2 or not 2 <= len(chosen.shape) <= 4 or 0 in chosen.shape:
        raise DataError(
            f"{source}: {chosen.described}.",
            expected="at least 2 rows: (rows, height, width), with channels before or behind, or (rows, dims)",
            fix="save the images as one such array",
        )
    count = total if rows is None else min(rows, total)
    check_count(source, count, math.prod(chosen.shape[1:]), VALUES_PER_BYTE * path.stat().st_size)
    index = drawn_rows(total, rows, seed)
    labels = None if target is None else _labels(source, arrays, total, index, target)
    notes: tuple[str, ...] = ()
    if {array.name for array in arrays} >= DSPRITES:
        notes = ("recognised as a dSprites archive; its pickled metadata was not opened",)
    elif len(arrays) > 1:
        notes = (f"the array {chosen.name} of {', '.join(array.name for array in arrays[:SHOWN])}",)
    factors = _known_factors(chosen, arrays)
    return ArrayRows(chosen.rows(index), source, total, index, labels=labels, notes=notes, factors=factors)


def _known_factors(chosen: StoredArray, arrays: Sequence[StoredArray]) -> KnownFactors | None:
    """Those of a dSprites archive, whole or a part of it; None for any other."""
    from circuitprobe.adapters.benchmarks.dsprites import NAMES

    by_name = {array.name: array for array in arrays}
    if not by_name.keys() >= DSPRITES or chosen.name != "imgs" or chosen.dtype is None:
        return None
    classes = by_name["latents_classes"]
    if not classes.is_number or classes.shape != (chosen.shape[0], len(NAMES)):
        return None
    size = math.prod(chosen.shape[1:]) * chosen.dtype.itemsize
    return KnownFactors(NAMES, chosen.shape[0], size, chosen.rows, classes.rows)


def _named(source: str, arrays: Sequence[StoredArray], name: str) -> StoredArray:
    names = [array.name for array in arrays]
    found = next((array for array in arrays if array.name == name), None)
    if found is None:
        raise DataError(
            f"{source} has no array {name!r}.",
            expected=f"one of {listed(filter(None, names), SHOWN)}"
            if any(names)
            else "no --array: the file is one array",
            fix=did_you_mean(name, names) or "--array with one of these" if any(names) else "leave out --array",
        )
    if not found.is_number:
        raise _no_numbers(source, [found])
    return found


def _image_like(source: str, arrays: Sequence[StoredArray]) -> StoredArray:
    """The one array that can be meant: the only one of three or four axes, else the only one of two.

    Raises:
        DataError: none, or several.
    """
    numbers = [array for array in arrays if array.is_number]
    if len(arrays) == 1 and numbers:
        return arrays[0]
    images = [array for array in numbers if len(array.shape) in (3, 4) and array.shape[0] >= 2]
    flat = [array for array in numbers if len(array.shape) == 2 and min(array.shape) >= 2]
    fitting = images or flat
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise _no_numbers(source, arrays)
    raise DataError(
        f"{source} has {len(fitting)} arrays that could be the rows:\n" + _list(arrays),
        expected="one of them",
        fix="\n  or: ".join(f"--array {array.name}" for array in fitting[:SHOWN]),
    )


def _no_numbers(source: str, arrays: Sequence[StoredArray]) -> DataError:
    return DataError(
        f"{source} has no array of images or rows that could be read:\n" + _list(arrays),
        expected="numbers of shape (rows, height, width), with channels before or behind, or (rows, dims)",
        fix='save them as numbers: numpy.savez("images.npz", images=numpy.stack(list_of_images))',
    )


def _list(arrays: Sequence[StoredArray]) -> str:
    lines = [f"    {array.described}" for array in arrays[:SHOWN]]
    return "\n".join(lines + [f"    and {len(arrays) - SHOWN} more"] * (len(arrays) > SHOWN))


def _labels(
    source: str, arrays: Sequence[StoredArray], total: int, index: IntArray, target: str
) -> tuple[str | None, ...]:
    from circuitprobe.adapters.benchmarks.dsprites import NAMES

    if {array.name for array in arrays} >= DSPRITES and target in NAMES:
        classes = next(array for array in arrays if array.name == "latents_classes").rows(index)
        return tuple(number_label(float(value)) for value in classes[:, NAMES.index(target)])
    fitting = {
        array.name: array
        for array in arrays
        if array.dtype is not None and array.dtype.kind in "biufUS" and array.shape in ((total,), (total, 1))
    }
    if target not in fitting:
        known = [*fitting, *(NAMES if {array.name for array in arrays} >= DSPRITES else ())]
        raise DataError(
            f"{source} has no labels {target!r}.",
            expected=f"one of {listed(known, SHOWN)}" if known else "an array with one label per row beside the images",
            fix=did_you_mean(target, known) or ("--target with one of these" if known else "leave out --target"),
        )
    values = fitting[target].rows(index).reshape(len(index))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    return tuple(str(v) if isinstance(v, str) else number_label(float(v)) for v in values.tolist())
