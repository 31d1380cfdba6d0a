"""Further images with known factors, given to the model in the form that was settled on the audited ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.data import Images, KnownFactors, StoredRange, image_layouts, other_channels
from circuitprobe.adapters.data.pixels import RANGES

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray, PixelRange


def model_rows(values: FloatArray, scaling: PixelRange, *, channels_last: bool) -> FloatArray:
    """Intensities (rows, channels, height, width) as flat rows in the model's space, shape (rows, dims)."""
    scale, center = RANGES[scaling]
    moved = np.moveaxis(values, 1, 3) if channels_last else values
    return np.ascontiguousarray(moved.reshape(len(moved), -1)) * scale + center


@dataclass(frozen=True)
class FactorRows:
    """Rows in the model's space with their factors, drawn by number.

    Attributes:
        known: where the images come from.
        stored: what their stored values mean.
        channels_known: where their channels stand, as the source says; None where it does not.
        layout: the reading of their axes that was settled on, in words.
        scaling: the range that intensities became.
        channels_last: a row counts channels last.
    """

    known: KnownFactors
    stored: StoredRange
    channels_known: bool | None
    layout: str
    scaling: PixelRange
    channels_last: bool

    def pieces(self, index: IntArray, memory: int) -> Iterator[tuple[slice, FloatArray]]:
        """The rows of these images, piece by piece.

        Args:
            index: ascending numbers of images.
            memory: bytes; a quarter may be taken by stored images, and a quarter by rows.

        Yields:
            Places in ``index`` and rows of shape (places, dims). Images are fetched as seldom as the memory allows:
            a compressed archive is inflated from its beginning each time.
        """
        fetched = max(1, memory // 4 // max(1, self.known.image_bytes))
        for start in range(0, len(index), fetched):
            images = self.known.images(index[start : start + fetched])
            # intensities and rows of three channels at most, in float64
            piece = max(1, memory // 4 // max(1, 8 * 6 * images[0].size))
            for place in range(0, len(images), piece):
                part = self._rows(images[place : place + piece])
                yield slice(start + place, start + place + len(part)), part

    def _rows(self, images: np.ndarray[Any, Any]) -> FloatArray:
        layouts = image_layouts(self.stored.intensities(images), channels_last=self.channels_known)
        return model_rows(self._settled(layouts).values, self.scaling, channels_last=self.channels_last)

    def _settled(self, layouts: tuple[Images, ...]) -> Images:
        every = (*layouts, *(other for images in layouts for other in other_channels(images)))
        return next(images for images in every if images.layout == self.layout)
