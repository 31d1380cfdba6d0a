"""dSprites: 737,280 binary images of 64 x 64 pixels, rendered from their factors.

The published archive is not part of the package. What is rendered has its factors, its order and its geometry (see
``dsprites_shapes``) and agrees with it up to a few pixels on the border of a shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.benchmarks.declaration import Factor, ImageBenchmark
from circuitprobe.adapters.benchmarks.dsprites_shapes import SIDE, drawn
from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.adapters.benchmarks.dsprites_shapes import Bytes
    from circuitprobe.types import FloatArray, IntArray

_PLACES = tuple(np.linspace(0, 1, 32).tolist())

FACTORS = (
    Factor("color", (1.0,)),
    Factor("shape", (1.0, 2.0, 3.0)),
    Factor("scale", tuple(np.linspace(0.5, 1, 6).tolist())),
    Factor("orientation", tuple(np.linspace(0, 2 * np.pi, 40).tolist())),
    Factor("posX", _PLACES),
    Factor("posY", _PLACES),
)
NAMES = tuple(factor.name for factor in FACTORS)
SIZES = tuple(len(factor.values) for factor in FACTORS)
# the last orientation is a whole turn: the same image as the first
TURN = SIZES[NAMES.index("orientation")] - 1

DSPRITES = ImageBenchmark(
    name="dsprites",
    title="dSprites",
    side=SIDE,
    factors=FACTORS,
    target="shape",
    note="rendered from the factors of dSprites; they agree with the published images up to a few border pixels",
    attribution="L. Matthey, I. Higgins, D. Hassabis, A. Lerchner (2017), dSprites: Disentanglement testing Sprites dataset, "
    "github.com/google-deepmind/dsprites-dataset; rendered, nothing of the archive is part of this package",
)
IMAGES = DSPRITES.images


def render(
    shape: npt.ArrayLike,
    scale: npt.ArrayLike,
    orientation: npt.ArrayLike,
    pos_x: npt.ArrayLike,
    pos_y: npt.ArrayLike,
) -> Bytes:
    """Images of any values of the factors, also between those of the benchmark.

    Args:
        shape: 1 square, 2 ellipse, 3 heart; a number or shape (n,), as all of them.
        scale: above 0; 0.5 to 1 in the benchmark.
        orientation: radians.
        pos_x: 0 to 1 from left to right.
        pos_y: 0 to 1 from top to bottom.

    Returns:
        0 and 1, shape (n, 64, 64).

    Raises:
        UsageError: another shape, a scale that is not above 0, a value that is not finite.
    """
    values = [np.asarray(given, dtype=np.float64) for given in (shape, scale, orientation, pos_x, pos_y)]
    kinds, *rest = np.broadcast_arrays(*(np.atleast_1d(given) for given in values))
    return drawn(np.where(kinds == np.round(kinds), kinds, 0).astype(np.int64), *rest)


def images(index: npt.ArrayLike) -> Bytes:
    """Images of the benchmark by their numbers.

    Args:
        index: 0 to 737,279, shape (n,), in any order.

    Returns:
        0 and 1, shape (n, 64, 64).

    Raises:
        UsageError: a number beyond these.
    """
    classes = factor_classes(index)
    classes[:, NAMES.index("orientation")] %= TURN
    values = _values(classes)
    return drawn(values[:, 1].astype(np.int64), *values[:, 2:].T)


def factor_classes(index: npt.ArrayLike) -> IntArray:
    """Classes of the factors of the benchmark's images.

    Args:
        index: 0 to 737,279, shape (n,).

    Returns:
        Shape (n, 6), in the order of ``FACTORS``, from 0.

    Raises:
        UsageError: a number beyond these.
    """
    numbers = np.asarray(index)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise UsageError(
            f"image numbers of type {numbers.dtype} and shape {numbers.shape}",
            expected="whole numbers, shape (n,)",
            fix="dsprites.images([0, 1, 2])",
        )
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < IMAGES):
        raise UsageError(
            f"image numbers from {numbers.min():,} to {numbers.max():,}",
            expected=f"0 to {IMAGES - 1:,}",
            fix="dsprites.images([0, 1, 2])",
        )
    return np.stack(np.unravel_index(numbers.astype(np.int64), SIZES), axis=1).astype(np.int64)


def image_index(classes: npt.ArrayLike) -> IntArray:
    """Numbers of the benchmark's images by the classes of their factors.

    Args:
        classes: shape (n, 6), in the order of ``FACTORS``, from 0.

    Returns:
        Shape (n,).

    Raises:
        UsageError: a class that its factor does not have.
    """
    numbers = np.asarray(classes, dtype=np.int64).reshape(-1, len(SIZES))
    if not ((numbers >= 0) & (numbers < SIZES)).all():
        raise UsageError(
            "a class that its factor does not have",
            expected=", ".join(f"{name} below {size}" for name, size in zip(NAMES, SIZES, strict=True)),
            fix="dsprites.image_index([[0, 2, 5, 39, 31, 31]])",
        )
    return np.asarray(np.ravel_multi_index(tuple(numbers.T), SIZES), dtype=np.int64)


def factor_values(index: npt.ArrayLike) -> FloatArray:
    """Values of the factors of the benchmark's images.

    Args:
        index: 0 to 737,279, shape (n,).

    Returns:
        Shape (n, 6), in the order of ``FACTORS``.

    Raises:
        UsageError: a number beyond these.
    """
    return _values(factor_classes(index))


def _values(classes: IntArray) -> FloatArray:
    return np.stack([np.array(factor.values)[classes[:, k]] for k, factor in enumerate(FACTORS)], axis=1)
