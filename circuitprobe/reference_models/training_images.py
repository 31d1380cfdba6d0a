"""What a reference model for images is trained on: images held in memory, or dSprites rendered batch by batch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.benchmarks import dsprites, named_images
from circuitprobe.adapters.data import image_layouts, intensities, is_array_source, read_array_source
from circuitprobe.adapters.data.reservoir import drawn_rows
from circuitprobe.errors import DataError, UsageError
from circuitprobe.reference_models.config import SIDE_STEP, ImageConfig
from circuitprobe.reference_models.training_rows import MIN_ROWS, HeldRows

if TYPE_CHECKING:
    from pathlib import Path

    from circuitprobe.reference_models.objectives import Modality
    from circuitprobe.types import IntArray

HELD = 2**29
"""Bytes of float32 images from a file that are held at most; where there are more, so many are drawn."""


@dataclass(frozen=True)
class TrainingImages:
    """Images from a file.

    Attributes:
        x: shape (rows, channels, height, width), float32 in [0, 1], on the CPU.
        source: short name of the file.
        total: images in the file.
    """

    x: Tensor
    source: str
    total: int
    target: str | None = None
    ignored: tuple[str, ...] = ()
    encoding: None = None
    modality: Modality = "image"

    def __len__(self) -> int:
        return len(self.x)

    def config(self, arch: str, latents: int, hidden: tuple[int, ...]) -> ImageConfig:  # noqa: ARG002 - fixed for images
        """See ``TrainingData``."""
        channels, height, width = self.x.shape[1:]
        return ImageConfig(arch, latents, (channels, height, width))

    def part(self, index: Tensor, device: torch.device) -> HeldRows:
        """See ``TrainingData``."""
        return HeldRows(self.x[index].to(device))

    def digest(self) -> str:
        """See ``TrainingData``."""
        return hashlib.sha256(self.x.numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class RenderedImages:
    """dSprites, of which each batch is drawn when it is needed.

    Attributes:
        index: which of the 737,280 images, shape (rows,).
    """

    index: IntArray
    source: str = "dsprites"
    target: str | None = "shape"
    ignored: tuple[str, ...] = ()
    encoding: None = None
    modality: Modality = "image"

    def __len__(self) -> int:
        return len(self.index)

    def config(self, arch: str, latents: int, hidden: tuple[int, ...]) -> ImageConfig:  # noqa: ARG002 - fixed for images
        """See ``TrainingData``."""
        return ImageConfig(arch, latents, (1, 64, 64))

    def part(self, index: Tensor, device: torch.device) -> RenderedPart:
        """See ``TrainingData``."""
        return RenderedPart(self.index[index.numpy()], device)

    def digest(self) -> str:
        """See ``TrainingData``."""
        return hashlib.sha256(b"dsprites" + self.index.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class RenderedPart:
    """Some images of dSprites.

    Attributes:
        index: which ones, shape (rows,).
        device: where batches go.
    """

    index: IntArray
    device: torch.device

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: Tensor) -> Tensor:
        """See ``TrainingPart``: shape (rows, 1, 64, 64)."""
        drawn = torch.from_numpy(dsprites.images(self.index[index.numpy()]))
        return drawn.to(self.device)[:, None].float()


def is_image_source(source: object) -> bool:
    """Whether a source is images: dSprites by name, where no file has it, or a file of arrays or a folder of pictures."""
    return named_images(source) is not None or is_array_source(source)


def read_training_images(
    source: str | Path, *, rows: int | None = None, seed: int = 0, array: str | None = None
) -> TrainingImages | RenderedImages:
    """Images to train on.

    Args:
        source: ``dsprites``, a file of arrays, or a folder of pictures.
        rows: how many images to draw; without it all of dSprites, and as many of a file as 512 MiB hold.
        seed: of that draw.
        array: which array of several.

    Raises:
        DataError: fewer than 50 images, no images, or sides that four convolutions of stride 2 do not divide.
    """
    if array is None and named_images(source) is not None:
        index = drawn_rows(dsprites.IMAGES, rows, seed)
        _check((1, 64, 64), len(index), str(source), dsprites.IMAGES)
        return RenderedImages(index)
    first = read_array_source(source, rows=2, seed=seed, array=array)
    if first.values.ndim < 3:
        raise DataError(
            f"{first.source} holds rows of {first.values.shape[1]} numbers.",
            expected="a table (CSV, Parquet), or images (rows, height, width)",
            fix="save the rows as a CSV, or the images with height and width",
        )
    per_image = first.values[0].size * 4
    drawn = read_array_source(source, rows=rows or max(1, HELD // per_image), seed=seed, array=array)
    values, _ = intensities(drawn)
    images = image_layouts(values, channels_last=drawn.channels_last)[0]
    _check(images.shape, len(values), drawn.source, drawn.total)
    return TrainingImages(
        torch.from_numpy(np.ascontiguousarray(images.values, dtype=np.float32)), drawn.source, drawn.total
    )


def _check(shape: tuple[int, int, int], rows: int, source: str, total: int) -> None:
    _, height, width = shape
    if height % SIDE_STEP or width % SIDE_STEP:
        near = [max(SIDE_STEP, round(side / SIDE_STEP) * SIDE_STEP) for side in (height, width)]
        raise DataError(
            f"The images of {source} are {height} x {width}.",
            expected=f"sides that are multiples of {SIDE_STEP}: the encoder halves them four times (64 x 64 is usual)",
            fix=f"resize them to {near[0]} x {near[1]}",
        )
    if rows < MIN_ROWS:
        raise DataError(
            f"{source} has {rows} images",
            expected=f"at least {MIN_ROWS} to train on, and thousands for a model worth auditing",
            fix="train on more images" if total < MIN_ROWS else f"`--rows {MIN_ROWS}` or more",
        )


def refuse_table_options(source: object, **given: object) -> None:
    """Options that say something about columns make no sense with images.

    Raises:
        UsageError: one is given.
    """
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"--{name} with the images of {source}",
                expected="images, which have no columns",
                fix=f"leave out --{name}",
            )
