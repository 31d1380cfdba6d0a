"""The three shapes of dSprites as images: which pixel centres lie inside.

Pixel (row r, column c) has its centre at (c + 0.5, r + 0.5). With s = scale, t = orientation and the shape's centre at
cx = 16 + 32 posX, cy = 16 + 32 posY (y grows downward):

    dx = px - cx,  dy = -(py - cy),  u = cos t dx + sin t dy,  v = -sin t dx + cos t dy
    square    |u|, |v| < 9.6 s
    ellipse   (u / 12.76 s)^2 + (v / 7.22 s)^2 < 1
    heart     inside the polygon (0.600 s X(w), s (0.665 Y(w) + 1.4)), w = linspace(0, 2 pi, 201),
              X = 16 sin^3 w,  Y = 13 cos w - 5 cos 2w - 2 cos 3w - cos 4w

The figures were measured on the published images; the two agree up to a few pixels on the border of a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.types import FloatArray, IntArray

    BoolArray = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

SIDE = 64
SQUARE, ELLIPSE, HEART = 1, 2, 3
HALF_SIDE = 9.6
SEMI_AXES = (12.76, 7.22)
VERTICES = 201
CORNER, SPAN = 16.0, 32.0
# no point of the shape lies further from its centre, at scale 1
REACH = {SQUARE: 13.58, ELLIPSE: 12.77, HEART: 11.25}
# pixels at a time: what is computed for them stays in the processor's cache
PIXELS = 1 << 17


def drawn(shape: IntArray, scale: FloatArray, orientation: FloatArray, pos_x: FloatArray, pos_y: FloatArray) -> Bytes:
    """Images of shapes; beyond the result, memory does not grow with their number.

    Only pixels near the centre are looked at, in blocks of images of one shape.

    Args:
        shape: 1 square, 2 ellipse, 3 heart, shape (n,).
        scale: above 0, shape (n,).
        orientation: radians, shape (n,).
        pos_x: 0 to 1 from left to right, shape (n,).
        pos_y: 0 to 1 from top to bottom, shape (n,).

    Returns:
        0 and 1, shape (n, 64, 64).

    Raises:
        UsageError: another shape, a scale that is not above 0, a value that is not finite.
    """
    _check(shape, scale, orientation, pos_x, pos_y)
    images = np.zeros((len(shape), SIDE, SIDE), dtype=np.uint8)
    for kind, rows, width in _blocks(shape, scale):
        centre_x, centre_y = CORNER + SPAN * pos_x[rows], CORNER + SPAN * pos_y[rows]
        reach = REACH[kind] * scale[rows]
        left, top = _first(centre_x, reach, width), _first(centre_y, reach, width)
        steps = np.arange(width) + 0.5
        dx = (left[:, None] + steps) - centre_x[:, None]
        dy = -((top[:, None] + steps) - centre_y[:, None])
        inside = _inside(kind, dx, dy, orientation[rows], scale[rows])
        windows = np.lib.stride_tricks.sliding_window_view(images, (width, width), axis=(1, 2), writeable=True)
        windows[rows, top, left] = inside
    return images


def _check(shape: IntArray, scale: FloatArray, *others: FloatArray) -> None:
    if not np.isin(shape, (SQUARE, ELLIPSE, HEART)).all():
        raise UsageError(
            f"shape {shape[~np.isin(shape, (SQUARE, ELLIPSE, HEART))][0]}",
            expected="1 (square), 2 (ellipse) or 3 (heart)",
            fix="shape=1",
        )
    if not all(np.isfinite(values).all() for values in (scale, *others)) or not (scale > 0).all():
        raise UsageError(
            "a scale that is not above 0, or a factor that is nan or infinite",
            expected="scale from 0.5 to 1, orientation in radians, posX and posY from 0 to 1, as in the benchmark",
            fix="scale=1.0, orientation=0.0, pos_x=0.5, pos_y=0.5",
        )


def _blocks(shape: IntArray, scale: FloatArray) -> Iterator[tuple[int, IntArray, int]]:
    """Images of one shape and similar scale: the shape, their numbers, and the pixels per side that hold them."""
    for kind in (SQUARE, ELLIPSE, HEART):
        rows = np.flatnonzero(shape == kind)
        rows = rows[np.argsort(scale[rows], kind="stable")]
        start = 0
        while start < len(rows):
            # the window of the largest of as many images as would fit with the smallest one's window
            most = max(1, PIXELS // _width(kind, float(scale[rows[start]])) ** 2)
            width = _width(kind, float(scale[rows[min(start + most, len(rows)) - 1]]))
            taken = rows[start : start + max(1, PIXELS // width**2)]
            yield kind, taken, width
            start += len(taken)


def _width(kind: int, scale: float) -> int:
    """Pixel centres that a shape can cover along an axis, at most."""
    return int(min(SIDE, np.floor(2 * REACH[kind] * scale) + 1))


def _first(centre: FloatArray, reach: FloatArray, width: int) -> IntArray:
    """The first row or column of each window; at the border the window is moved inwards, so that it lies on the canvas."""
    first: IntArray = np.clip(np.ceil(centre - reach - 0.5), 0, SIDE - width).astype(np.int64)
    return first


def _inside(kind: int, dx: FloatArray, dy: FloatArray, orientation: FloatArray, scale: FloatArray) -> BoolArray:
    """Whether pixel centres lie inside, shape (n, rows, columns); dx (n, columns), dy (n, rows)."""
    cos, sin = np.cos(orientation)[:, None], np.sin(orientation)[:, None]
    u = (cos * dx)[:, None, :] + (sin * dy)[:, :, None]
    v = (-sin * dx)[:, None, :] + (cos * dy)[:, :, None]
    size = scale[:, None, None]
    if kind == SQUARE:
        square: BoolArray = (np.abs(u) < HALF_SIDE * size) & (np.abs(v) < HALF_SIDE * size)
        return square
    if kind == ELLIPSE:
        ellipse: BoolArray = (u / (SEMI_AXES[0] * size)) ** 2 + (v / (SEMI_AXES[1] * size)) ** 2 < 1
        return ellipse
    return _in_heart(u / size, v / size)


def _in_heart(u: FloatArray, v: FloatArray) -> BoolArray:
    """Whether points lie inside the heart of scale 1."""
    heart = _heart()
    distance = u * u + v * v
    inside: BoolArray = distance < heart.disc
    # what is neither in the disc inside the heart nor beyond its furthest vertex
    near = np.flatnonzero(~inside & (distance < REACH[HEART] ** 2))
    side, height = np.abs(u.reshape(-1)[near]), v.reshape(-1)[near]
    within = side < heart.upper_u[-1]
    within &= height < np.interp(side, heart.upper_u, heart.upper_v)
    within &= height > np.interp(side, heart.lower_u, heart.lower_v)
    inside.reshape(-1)[near] = within
    return inside


@dataclass(frozen=True)
class _Heart:
    """The right half of the heart at scale 1; the left one is its mirror image.

    Its edges make two chains along which |u| only grows, from the cleft and from the tip below to the widest place: a point
    lies inside where v is between them.

    Attributes:
        upper_u: |u| of the upper chain's vertices, ascending.
        upper_v: their v.
        lower_u: |u| of the lower chain's vertices, ascending.
        lower_v: their v.
        disc: squared radius of a disc about the centre that lies inside.
    """

    upper_u: FloatArray
    upper_v: FloatArray
    lower_u: FloatArray
    lower_v: FloatArray
    disc: float


@cache
def _heart() -> _Heart:
    w = np.linspace(0, 2 * np.pi, VERTICES)
    x = 0.600 * 16 * np.sin(w) ** 3
    y = 0.665 * (13 * np.cos(w) - 5 * np.cos(2 * w) - 2 * np.cos(3 * w) - np.cos(4 * w)) + 1.4
    widest = VERTICES // 4
    upper, lower = slice(0, widest + 1), slice(2 * widest, widest - 1, -1)
    # distance of the centre from the nearest edge
    edge_x, edge_y = np.diff(x), np.diff(y)
    along = np.clip(-(x[:-1] * edge_x + y[:-1] * edge_y) / (edge_x**2 + edge_y**2), 0, 1)
    nearest = ((x[:-1] + along * edge_x) ** 2 + (y[:-1] + along * edge_y) ** 2).min()
    return _Heart(x[upper], y[upper], x[lower], y[lower], float(nearest))
