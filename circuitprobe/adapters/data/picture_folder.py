"""A folder of PNG and JPEG files, of which only the audited ones are opened."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.adapters.data.near_names import listed
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence


SUFFIXES = (".png", ".jpg", ".jpeg")
FULL_16_BIT = 65535
ORIENTATION = 274
UPRIGHT = 1
MOST_SIZES = 4
MOST_VALUES = 1 << 25
"""Numbers of all audited rows, however small their files: 2,048 pictures of 73 x 73 in colour."""
VALUES_PER_BYTE = 20
"""The same for each byte of pictures: a JPEG of few colours has a tenth of its pixels."""
DAMAGED_PICTURE = (OSError, ValueError, SyntaxError, EOFError, IndexError)


@dataclass
class _Seen:
    """What was met in the files that were opened, for the report."""

    counts: Counter[str] = field(default_factory=Counter)

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{count:,} of the files {what}" for what, count in sorted(self.counts.items()))


def picture_files(folder: Path) -> tuple[str, ...]:
    """Paths of all PNG and JPEG files below a folder, relative to it, sorted; hidden files and folders are passed over."""
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        relative = Path(place).relative_to(folder)
        found += [
            (relative / name).as_posix()
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return tuple(sorted(found))


def class_folders(files: Sequence[str], folder: Path) -> tuple[str, ...]:
    """The class of every file: the name of the outermost folder that it lies in.

    Raises:
        DataError: files lie in the folder itself.
    """
    loose = [name for name in files if "/" not in name]
    if loose:
        raise DataError(
            f"{len(loose):,} of the pictures lie in {folder.name} itself: {listed(loose, 3)}.",
            expected="one folder per class, such as cats/1.png, for --target folder",
            fix="leave out --target folder, or move them into folders of their classes",
        )
    return tuple(name.split("/", 1)[0] for name in files)


def read_pictures(folder: Path, files: Sequence[str]) -> tuple[np.ndarray[Any, Any], float, tuple[str, ...]]:
    """Open some pictures.

    Palettes become colours; an alpha channel is dropped; pictures in grey beside ones in colour become colour; grey of 16 bits
    keeps them. EXIF orientation is not applied. All of this is what torchvision's ImageFolder does, or says no more.

    Args:
        folder: where they lie.
        files: their paths inside it.

    Returns:
        Shape (rows, height, width, channels) with 1 channel where all are grey and 3 otherwise; the value that means full
        intensity; what had to be done to them, in words.

    Raises:
        DataError: Pillow is not installed; a file is no picture, is damaged, or of another size than the others.
    """
    seen = _Seen()
    _check_sizes(folder, files)
    pictures = [_opened(folder / name, name, seen) for name in files]
    sizes = Counter(picture.shape[:2] for picture in pictures)
    if len(sizes) > 1:
        raise _different_sizes(folder, files, pictures, sizes)
    deep = any(picture.dtype == np.uint16 for picture in pictures)
    colour = any(picture.shape[2] == 3 for picture in pictures)
    if colour and any(picture.shape[2] == 1 for picture in pictures):
        seen.counts["are grey and were read as colour, as others are in colour"] = sum(
            p.shape[2] == 1 for p in pictures
        )
    levels = float(FULL_16_BIT) if deep else 255.0
    return np.stack([_alike(picture, deep=deep, colour=colour) for picture in pictures]), levels, seen.notes()


def _alike(picture: np.ndarray[Any, Any], *, deep: bool, colour: bool) -> np.ndarray[Any, Any]:
    if deep and picture.dtype == np.uint8:
        # 255 is full intensity, and so is 65535
        picture = picture.astype(np.uint16) * 257
    return np.repeat(picture, 3, axis=2) if colour and picture.shape[2] == 1 else picture


def check_count(source: str, rows: int, width: int, allowed: int) -> None:
    """Make sure that the audited rows are no more numbers than their files can be thought to hold.

    Args:
        source: where they come from, for messages.
        rows: how many are audited.
        width: numbers of a row.
        allowed: numbers that are allowed where they are more than ``MOST_VALUES``.

    Raises:
        DataError: they are more.
    """
    if rows * width > max(MOST_VALUES, allowed):
        fits = max(MOST_VALUES, allowed) // max(1, width)
        raise DataError(
            f"{source} has rows of {width:,} numbers: {rows:,} of them are more than {max(MOST_VALUES, allowed):,}.",
            expected="rows that the model was trained on",
            fix=f"fewer rows: --rows {fits}" if fits >= 2 else "smaller images, of the size that the model takes",
        )


def _check_sizes(folder: Path, files: Sequence[str]) -> None:
    """Bound the pictures by what they say of their sizes, before one of them is decoded."""
    image_module = _pillow()
    values = length = 0
    for name in files:
        try:
            with open_file(folder / name) as handle:
                length += os.fstat(handle.fileno()).st_size
                with image_module.open(handle, formats=("PNG", "JPEG")) as picture:
                    values += picture.size[0] * picture.size[1] * len(picture.getbands())
        except DAMAGED_PICTURE as error:
            raise _unreadable(name, error) from error
        except image_module.DecompressionBombError as error:
            raise _unreadable(name, error) from error
    check_count(folder.name, len(files), values // len(files), VALUES_PER_BYTE * length)


def _unreadable(name: str, error: Exception) -> DataError:
    reason = str(error).strip() or type(error).__name__
    return DataError(
        f"The picture {name} cannot be read: {reason}.",
        expected="whole PNG or JPEG files",
        fix="copy the file again, or move it out of the folder",
    )


def _opened(path: Path, name: str, seen: _Seen) -> np.ndarray[Any, Any]:
    """One picture, shape (height, width, 1 or 3), uint8, or uint16 for grey of 16 bits."""
    image_module = _pillow()
    try:
        with open_file(path) as handle, image_module.open(handle, formats=("PNG", "JPEG")) as picture:
            picture.load()
            orientation = picture.getexif().get(ORIENTATION, UPRIGHT)
            values = _values(picture, seen)
    # Pillow raises whatever its decoders meet on damaged files
    except (*DAMAGED_PICTURE, image_module.DecompressionBombError) as error:
        raise _unreadable(name, error) from error
    if orientation != UPRIGHT:
        seen.counts["ask by EXIF to be turned, which was not done, as in torchvision's ImageFolder"] += 1
    return values


def _values(picture: Any, seen: _Seen) -> np.ndarray[Any, Any]:  # noqa: ANN401 - Pillow is optional
    mode = picture.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        seen.counts["are grey of 16 bits"] += 1
        return np.asarray(picture).clip(0, FULL_16_BIT).astype(np.uint16)[:, :, None]
    alpha = mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in picture.info
    if alpha:
        seen.counts["have an alpha channel, which was dropped"] += 1
    if mode in ("P", "PA"):
        seen.counts["have a palette, which was turned into colours"] += 1
    if mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        seen.counts[f"are {mode} and were turned into RGB"] += 1
    grey = mode in ("1", "L", "LA", "La")
    values = np.asarray(picture.convert("L" if grey else "RGB"))
    return values[:, :, None] if grey else values


def _different_sizes(
    folder: Path, files: Sequence[str], pictures: Sequence[np.ndarray[Any, Any]], sizes: Counter[tuple[int, ...]]
) -> DataError:
    first = {picture.shape[:2]: name for picture, name in reversed(list(zip(pictures, files, strict=True)))}
    shown = "; ".join(
        f"{size[1]} x {size[0]} in {count:,} (such as {first[size]})" for size, count in sizes.most_common(MOST_SIZES)
    )
    height, width = sizes.most_common(1)[0][0]
    return DataError(
        f"The pictures in {folder.name} have {len(sizes)} sizes (width x height): {shown}.",
        expected="one size, the one that the model was trained on",
        fix=f"give them one size first, for example (ImageMagick): mogrify -resize {width}x{height}! FILES",
    )


def _pillow() -> Any:  # noqa: ANN401 - Pillow is optional
    try:
        from PIL import Image
    except ImportError:
        raise DataError(
            "Pictures are read with Pillow, which is not installed.",
            expected="Pillow, for a folder of PNG or JPEG files",
            fix="pip install 'circuitprobe[images]', or pip install pillow",
        ) from None
    return Image
