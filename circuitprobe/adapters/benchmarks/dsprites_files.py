"""dSprites as files: an archive laid out like the published one, or a table of the factors."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from circuitprobe.adapters.benchmarks import dsprites
from circuitprobe.adapters.benchmarks.dsprites_shapes import SIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitprobe.types import IntArray

# 16 MiB of images
IMAGES_AT_ONCE = 4096
ROWS_AT_ONCE = 1 << 15
# the least that a zip archive can say: the same images make the same file at any time
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(index: IntArray, handle: BinaryIO, tick: Callable[[int], None]) -> None:
    """Write ``imgs``, ``latents_values`` and ``latents_classes``, compressed, block by block.

    The published archive has pickled metadata besides; pickles are neither read nor written.

    Args:
        index: which images, shape (n,).
        handle: open for writing and seekable.
        tick: told how many images are written.
    """
    members: tuple[tuple[str, Callable[[IntArray], np.ndarray], tuple[int, ...], type, int], ...] = (
        ("imgs", dsprites.images, (SIDE, SIDE), np.uint8, IMAGES_AT_ONCE),
        ("latents_values", dsprites.factor_values, (len(dsprites.NAMES),), np.float64, ROWS_AT_ONCE),
        ("latents_classes", dsprites.factor_classes, (len(dsprites.NAMES),), np.int64, ROWS_AT_ONCE),
    )
    with zipfile.ZipFile(handle, "w") as archive:
        for name, made, shape, dtype, at_once in members:
            entry = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                    "fortran_order": False,
                    "shape": (len(index), *shape),
                }
                np.lib.format.write_array_header_1_0(member, header)
                for start in range(0, len(index), at_once):
                    block = made(index[start : start + at_once])
                    member.write(np.ascontiguousarray(block, dtype=dtype).data)
                    if name == "imgs":
                        tick(start + len(block))


def write_factors(index: IntArray, handle: BinaryIO, tick: Callable[[int], None]) -> None:
    """Write a CSV with the number of each image and the values of its factors.

    Args:
        index: which images, shape (n,).
        handle: open for writing.
        tick: told how many rows are written.
    """
    handle.write((",".join(("image", *dsprites.NAMES)) + "\n").encode())
    written = [[_text(value) for value in factor.values] for factor in dsprites.FACTORS]
    for start in range(0, len(index), ROWS_AT_ONCE):
        numbers = index[start : start + ROWS_AT_ONCE]
        classes = dsprites.factor_classes(numbers).T.tolist()
        cells = [[texts[k] for k in column] for texts, column in zip(written, classes, strict=True)]
        rows = zip(map(str, numbers.tolist()), *cells, strict=True)
        handle.write("".join(",".join(row) + "\n" for row in rows).encode())
        tick(start + len(numbers))


def _text(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(value)
