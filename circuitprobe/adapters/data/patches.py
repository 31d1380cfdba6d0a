"""The features of an image: patches of a grid (METHOD.md sections 0 and 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import DataError
from circuitprobe.types import Decode, Feature, FeatureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID = 8


def patch_features(shape: Sequence[int], grid: int = GRID) -> tuple[Feature, ...]:
    """One feature per patch of a grid over an image; a patch spans all channels.

    Args:
        shape: of one image, (height, width) or (channels, height, width).
        grid: patches per side; sides that it does not divide are split as evenly as can be, larger parts first.

    Returns:
        Features named ``patch 0,0``, ``patch 0,1``, ... (row, column), over the dimensions of the flattened image.

    Raises:
        DataError: another number of axes, or fewer pixels than patches per side.
    """
    if len(shape) not in {2, 3} or min(shape[-2:]) < grid:
        raise DataError(
            f"The images have shape {tuple(shape)}.",
            expected=f"(height, width) or (channels, height, width) of at least {grid} x {grid} pixels",
            fix="x of shape (rows, channels, height, width), or features=... of your own",
        )
    dims = np.arange(int(np.prod(shape))).reshape(-1, *shape[-2:])
    features = []
    for i, band in enumerate(np.array_split(dims, grid, axis=1)):
        for j, patch in enumerate(np.array_split(band, grid, axis=2)):
            inside = tuple(int(dim) for dim in patch.reshape(-1))
            features.append(Feature(f"patch {i},{j}", FeatureKind.PIXEL, inside, Decode(inside)))
    return tuple(features)
