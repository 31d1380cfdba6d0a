"""dSprites as it is rendered: the published areas, a slow reference pixel by pixel, its factors and their order."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from circuitprobe.adapters.benchmarks import BENCHMARKS, IMAGE_BENCHMARKS, dsprites, dsprites_shapes
from circuitprobe.errors import UsageError

# areas of the published images at orientation 0 in the middle of the canvas
AREAS = {(1, 1.0): 400, (2, 1.0): 288, (3, 1.0): 222, (1, 0.5): 100, (2, 0.5): 76, (3, 0.5): 58}
STRIDES = (737_280, 245_760, 40_960, 1_024, 32, 1)


def in_polygon(x: float, y: float, corners: Sequence[tuple[float, float]]) -> bool:
    """By the even number of edges that a ray to the right crosses."""
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def heart(s: float) -> list[tuple[float, float]]:
    corners = []
    for w in np.linspace(0, 2 * math.pi, 201).tolist():
        x = 16 * math.sin(w) ** 3
        y = 13 * math.cos(w) - 5 * math.cos(2 * w) - 2 * math.cos(3 * w) - math.cos(4 * w)
        corners.append((0.600 * s * x, s * (0.665 * y + 1.4)))
    return corners


def slow(shape: int, s: float, t: float, pos_x: float, pos_y: float) -> np.ndarray:
    """Every pixel of the canvas by itself, from the description of the benchmark."""
    image = np.zeros((64, 64), dtype=np.uint8)
    cx, cy = 16 + 32 * pos_x, 16 + 32 * pos_y
    corners = heart(s)
    for r in range(64):
        for c in range(64):
            dx, dy = c + 0.5 - cx, -(r + 0.5 - cy)
            u, v = math.cos(t) * dx + math.sin(t) * dy, -math.sin(t) * dx + math.cos(t) * dy
            if shape == 1:
                image[r, c] = abs(u) < 9.6 * s and abs(v) < 9.6 * s
            elif shape == 2:
                image[r, c] = (u / (12.76 * s)) ** 2 + (v / (7.22 * s)) ** 2 < 1
            else:
                # no vertex is further away
                image[r, c] = math.hypot(u, v) < 11.5 * s and in_polygon(u, v, corners)
    return image


def some(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, dsprites.IMAGES, count)


@pytest.mark.parametrize(("shape", "scale"), AREAS)
def test_areas_are_the_published_ones(shape: int, scale: float) -> None:
    image = dsprites.render(shape, scale, 0.0, 0.5, 0.5)
    assert image.shape == (1, 64, 64)
    assert image.dtype == np.uint8
    assert int(image.sum(dtype=int)) == AREAS[shape, scale]


def test_images_are_those_of_the_slow_reference() -> None:
    index = some(240)
    values = dsprites.factor_values(index)
    expected = np.stack([slow(int(row[1]), *row[2:].tolist()) for row in values])
    np.testing.assert_array_equal(dsprites.images(index), expected)
    assert set(values[:, 1]) == {1, 2, 3}


@pytest.mark.parametrize("shape", [1, 2, 3])
def test_continuous_values_at_the_border_and_beyond(shape: int) -> None:
    """Shapes that leave the canvas, cover it, or lie outside; also beside each other in one call."""
    scale = np.array([0.5, 1.0, 1.7, 6.0, 0.04, 1.0, 0.9])
    turn = np.array([0.3, 2.0, 4.4, 1.0, 0.0, 5.9, -7.0])
    pos_x = np.array([-0.45, 1.4, 0.5, 0.6, 0.013, 9.0, -0.9])
    pos_y = np.array([0.2, 1.45, -0.3, 0.4, 0.987, 0.5, 1.5])
    images = dsprites.render(shape, scale, turn, pos_x, pos_y)
    rows = zip(scale.tolist(), turn.tolist(), pos_x.tolist(), pos_y.tolist(), strict=True)
    expected = np.stack([slow(shape, *row) for row in rows])
    np.testing.assert_array_equal(images, expected)
    assert not images[5].any()
    for touching in (0, 1, 2):
        edges = images[touching][[0, -1]].any() or images[touching][:, [0, -1]].any()
        assert edges


def test_a_point_is_in_the_heart_where_the_polygon_has_it() -> None:
    """Dense random points, with many near the border and in the cleft."""
    rng = np.random.default_rng(1)
    corners = np.array(heart(1.0))
    near = corners[rng.integers(0, 201, 3000)] + rng.normal(0, 0.05, (3000, 2))
    cleft = np.column_stack([rng.normal(0, 0.02, 1000), rng.uniform(4, 6, 1000)])
    points = np.concatenate([near, cleft, rng.uniform(-11, 11, (2000, 2))])
    found = dsprites_shapes._in_heart(points[:, 0], points[:, 1])
    expected = [in_polygon(x, y, list(map(tuple, corners.tolist()))) for x, y in points.tolist()]
    assert 1000 < sum(expected) < 5000
    np.testing.assert_array_equal(found, expected)


def test_orientation_39_is_orientation_0() -> None:
    classes = dsprites.factor_classes(some(300, 2))
    first, last = classes.copy(), classes.copy()
    first[:, 3], last[:, 3] = 0, 39
    np.testing.assert_array_equal(
        dsprites.images(dsprites.image_index(first)), dsprites.images(dsprites.image_index(last))
    )
    assert dsprites.factor_values(dsprites.image_index(last))[0, 3] == pytest.approx(2 * math.pi)
    # and no other two orientations are the same image
    heart_turns = dsprites.images(245_760 * 2 + 40_960 * 5 + 1_024 * np.arange(40) + 528)
    assert len({image.tobytes() for image in heart_turns}) == 39


def test_number_and_classes() -> None:
    index = np.concatenate([some(500, 3), [0, dsprites.IMAGES - 1]])
    classes = dsprites.factor_classes(index)
    assert classes.dtype == np.int64
    np.testing.assert_array_equal(classes @ STRIDES, index)
    np.testing.assert_array_equal(dsprites.image_index(classes), index)
    assert classes[-1].tolist() == [0, 2, 5, 39, 31, 31]
    values = dsprites.factor_values(index)
    np.testing.assert_allclose(values[:, 0], 1)
    np.testing.assert_allclose(values[:, 1], classes[:, 1] + 1)
    np.testing.assert_allclose(values[:, 2], 0.5 + 0.1 * classes[:, 2])
    np.testing.assert_allclose(values[:, 3], 2 * np.pi / 39 * classes[:, 3])
    np.testing.assert_allclose(values[:, 4:], classes[:, 4:] / 31)


def test_factors_as_published() -> None:
    assert dsprites.IMAGES == 737_280
    assert [factor.name for factor in dsprites.FACTORS] == ["color", "shape", "scale", "orientation", "posX", "posY"]
    assert [len(factor.values) for factor in dsprites.FACTORS] == [1, 3, 6, 40, 32, 32]
    assert dsprites.DSPRITES.targets == ("shape", "scale", "orientation", "posX", "posY")
    assert IMAGE_BENCHMARKS == ("dsprites",)
    assert "dsprites" not in BENCHMARKS


def test_posx_goes_right_and_posy_down() -> None:
    index = dsprites.image_index([[0, 0, 0, 0, 31, 0], [0, 0, 0, 0, 0, 31]])
    right, low = dsprites.images(index)
    rows, columns = np.nonzero(right)
    assert columns.mean() + 0.5 == pytest.approx(48, abs=0.5)
    assert rows.mean() + 0.5 == pytest.approx(16, abs=0.5)
    np.testing.assert_array_equal(low, right.T)


def test_chunks_and_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    index = some(400, 4)
    whole = dsprites.images(index)
    np.testing.assert_array_equal(dsprites.images(index[::-1]), whole[::-1])
    np.testing.assert_array_equal(np.concatenate([dsprites.images(index[i : i + 7]) for i in range(0, 400, 7)]), whole)
    monkeypatch.setattr(dsprites_shapes, "PIXELS", 1)
    np.testing.assert_array_equal(dsprites.images(index), whole)
    assert dsprites.images(np.array([], dtype=int)).shape == (0, 64, 64)


def test_memory_is_that_of_the_images() -> None:
    """5,000 images are 20 MB; all their pixels as float64 would be 164 MB."""
    index = np.arange(300_000, 305_000)
    tracemalloc.start()
    images = dsprites.images(index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.any(axis=(1, 2)).all()
    assert images.nbytes < peak < images.nbytes + 16 * 2**20


@pytest.mark.parametrize("index", [[-1], [737_280], [0.5], [[1]], 3])
def test_numbers_that_are_none(index: object) -> None:
    with pytest.raises(UsageError):
        dsprites.images(index)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [(4, 1, 0, 0, 0), (1.5, 1, 0, 0, 0), (1, 0, 0, 0, 0), (1, 1, math.nan, 0, 0)])
def test_values_that_make_no_shape(values: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        dsprites.render(*values)
    with pytest.raises(UsageError):
        dsprites.image_index([[0, 3, 0, 0, 0, 0]])
