"""What stored pixel values mean, and in which forms a model may have been given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.errors import DataError
from circuitprobe.types import PixelRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.data.image_source import ArrayRows
    from circuitprobe.types import FloatArray

    AnyArray = np.ndarray[Any, Any]

CHANNELS = (1, 2, 3, 4)
BYTE = 255.0
SIXTEEN_BITS = 65535.0
# what resampling adds beyond the ends of a range
SLACK = 1e-3
# weights of red, green and blue in grey (ITU-R BT.601), as Pillow's convert("L") has them
LUMA = (0.299, 0.587, 0.114)

# scale and center that turn intensities in [0, 1] into what the model gets
RANGES = {PixelRange.UNIT: (1.0, 0.0), PixelRange.SIGNED: (2.0, -1.0), PixelRange.BYTES: (BYTE, 0.0)}
WORDS = {"unit": PixelRange.UNIT, "signed": PixelRange.SIGNED, "bytes": PixelRange.BYTES}


@dataclass(frozen=True)
class Images:
    """Audited images as intensities.

    Attributes:
        values: shape (rows, channels, height, width), float64 in [0, 1].
        layout: where the channels stood, in words.
    """

    values: FloatArray
    layout: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.values.shape[1], self.values.shape[2], self.values.shape[3]


@dataclass(frozen=True)
class StoredRange:
    """Which stored values mean no and full intensity.

    Attributes:
        low: no intensity; what lies below is cut off.
        high: full intensity; what lies above is cut off.
        words: dtype and values that were seen.
    """

    low: float
    high: float
    words: str = ""

    def intensities(self, stored: AnyArray) -> FloatArray:
        """Stored values as intensities from 0 to 1."""
        values = stored.astype(np.float64)
        return np.asarray((values.clip(self.low, self.high) - self.low) / (self.high - self.low))


def intensities(rows: ArrayRows) -> tuple[FloatArray, str]:
    """Stored values as intensities from 0 to 1, and how they were stored, in words.

    Raises:
        DataError: see ``stored_range``.
    """
    found = stored_range(rows)
    return found.intensities(rows.values), found.words


def stored_range(rows: ArrayRows) -> StoredRange:
    """What the stored values of audited images mean.

    Truth values and integers that are 0 or 1 are taken as they are, other integers and numbers up to 255 are divided by 255
    (16-bit ones beyond that by 65535), numbers from -1 to 1 are moved to [0, 1].

    Args:
        rows: audited images as they are stored.

    Raises:
        DataError: nan or infinite values, or none of these ranges.
    """
    stored = rows.values
    if stored.dtype.kind not in "fiub":
        raise DataError(
            f"The images of {rows.source} hold {stored.dtype}.",
            expected="numbers",
            fix="save intensities from 0 to 255",
        )
    values = stored.astype(np.float64)
    if not np.isfinite(values).all():
        bad = int(rows.index[int(np.argwhere(~np.isfinite(values))[0, 0])])
        raise DataError(
            f"Image {bad:,} of {rows.source} (counted from 0) holds nan or infinity.",
            expected="finite intensities",
            fix="images[numpy.isfinite(images).all(axis=(1, 2))] leaves such images out",
        )
    low, high = float(values.min()), float(values.max())
    words = f"{stored.dtype}, {low:.4g} to {high:.4g}"
    if rows.levels is not None:
        return StoredRange(0.0, rows.levels, words)
    if low >= -SLACK and high <= 1 + SLACK:
        return StoredRange(0.0, 1.0, words)
    if low >= -1 - SLACK and high <= 1 + SLACK:
        return StoredRange(-1.0, 1.0, words)
    whole = stored.dtype.kind in "iu"
    # numbers a little above 1 are no bytes
    if low >= 0 and high <= BYTE and (whole or high > 2.0):
        return StoredRange(0.0, BYTE, words)
    if low >= 0 and high <= SIXTEEN_BITS and whole:
        return StoredRange(0.0, SIXTEEN_BITS, words)
    raise DataError(
        f"The pixels of {rows.source} reach from {low:.4g} to {high:.4g} ({stored.dtype}).",
        expected="intensities from 0 to 1, from -1 to 1, or from 0 to 255 (16-bit integers: to 65535)",
        fix="give the images as they were before they were normalised; in Python a model that normalises inside:\n"
        "    vae = cp.wrap(model, encode=lambda m, x: m.encode((x - mean) / std), decode=lambda m, z: m.decode(z) * std + mean)\n"
        "    cp.audit(vae, images)",
    )


def image_layouts(values: FloatArray, *, channels_last: bool | None = None) -> tuple[Images, ...]:
    """The ways in which an array of images can be read, the likeliest first.

    Args:
        values: shape (rows, height, width) or with an axis of channels before or behind these two.
        channels_last: where the channels stand, if that is known.

    Returns:
        One reading, or two where both an axis before and one behind could count channels.

    Raises:
        DataError: no axis can count channels.
    """
    if values.ndim == 3:
        return (Images(values[:, None], "no axis of channels; one was added"),)
    first = Images(values, "channels before height and width")
    last = Images(np.moveaxis(values, 3, 1), "channels behind height and width")
    if channels_last is not None:
        return (last if channels_last else first,)
    found = tuple(images for images, count in ((first, values.shape[1]), (last, values.shape[3])) if count in CHANNELS)
    if not found:
        # more channels than colours have: what is much smaller than the other axes
        found = (first,) if values.shape[1] < min(values.shape[2:]) else (last,)
        if found[0].shape[0] >= min(found[0].shape[1:]):
            raise DataError(
                f"The images have shape {values.shape[1:]}.",
                expected="height and width, with 1 to 4 channels before or behind them",
                fix="images.reshape(rows, channels, height, width) first",
            )
    return found


def other_channels(images: Images) -> Iterator[Images]:
    """The same images in grey or in colour: what is tried where the model does not take them as they are."""
    count = images.shape[0]
    if count == 1:
        yield Images(np.repeat(images.values, 3, axis=1), f"{images.layout}; grey repeated for 3 channels")
    if count == 3:
        grey = np.tensordot(images.values, np.array(LUMA), axes=(1, 0))[:, None]
        yield Images(grey, f"{images.layout}; colours turned into grey")
    if count == 4:
        yield Images(images.values[:, :3], f"{images.layout}; the fourth channel (alpha) dropped")
