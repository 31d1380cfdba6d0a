"""The features of an image: patches of a grid (METHOD.md sections 0 and 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import DataError, UsageError
from circuitprobe.types import Decode, Feature, FeatureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID = 8
FINEST = 32


def grid_of(height: int, width: int, grid: int | None = None) -> tuple[int, int]:
    """Rows and columns of patches: 8 by 8, or as many as there are pixels along a shorter side.

    Args:
        height: of an image, pixels.
        width: likewise.
        grid: patches per side instead of 8.

    Raises:
        UsageError: more patches per side than pixels or than 32.
    """
    if grid is None:
        return min(GRID, height), min(GRID, width)
    most = min(height, width, FINEST)
    if not 1 <= grid <= most:
        raise UsageError(
            f"--grid {grid} for images of {height} x {width} pixels",
            expected=f"from 1 to {most} patches per side",
            fix=f"--grid {min(most, GRID)}",
        )
    return grid, grid


def patch_features(
    shape: Sequence[int], grid: int | None = None, *, channels_last: bool = False
) -> tuple[Feature, ...]:
    """One feature per patch of a grid over an image; a patch spans all channels.

    Args:
        shape: of one image, (height, width) or (channels, height, width).
        grid: patches per side; sides that it does not divide are split as evenly as can be, larger parts first. Default 8, and
            along a shorter side every pixel.
        channels_last: the flattened image counts channels last; ``shape`` is as above nevertheless.

    Returns:
        Features named ``patch 0,0``, ``patch 0,1``, ... (row, column), over the dimensions of the flattened image.

    Raises:
        DataError: another number of axes.
        UsageError: fewer pixels than patches per side.
    """
    if len(shape) not in {2, 3} or min(shape) < 1:
        raise DataError(
            f"The images have shape {tuple(shape)}.",
            expected="(height, width) or (channels, height, width)",
            fix="x of shape (rows, channels, height, width), or features=... of your own",
        )
    height, width = shape[-2:]
    down, across = grid_of(height, width, grid)
    flat = np.arange(int(np.prod(shape)))
    dims = flat.reshape(height, width, -1).transpose(2, 0, 1) if channels_last else flat.reshape(-1, height, width)
    features = []
    for i, band in enumerate(np.array_split(dims, down, axis=1)):
        for j, patch in enumerate(np.array_split(band, across, axis=2)):
            inside = tuple(int(dim) for dim in patch.reshape(-1))
            features.append(Feature(f"patch {i},{j}", FeatureKind.PIXEL, inside, Decode(inside)))
    return tuple(features)
