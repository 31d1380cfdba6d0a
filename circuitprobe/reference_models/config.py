"""What is needed to build a reference network again, as a checkpoint keeps it."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

from circuitprobe.errors import ModelError
from circuitprobe.types import FeatureKind, TableEncoding

KINDS = (FeatureKind.NUMERIC.value, FeatureKind.BINARY.value, FeatureKind.CATEGORICAL.value)

_LONGEST_INT = 256

SIDE_STEP = 16
"""Sides of images are multiples of this: four convolutions of stride 2."""


@dataclass(frozen=True)
class TableConfig:
    """The MLP pair for tables.

    Attributes:
        name: spelling of the architecture, such as ``vae`` or ``beta-vae``; all share one network.
        latents: d, number of latents.
        hidden: units of each hidden layer of the encoder; the decoder mirrors them.
        blocks: (kind, width) of each column in the order of the model's dimensions; numeric and binary have width 1.
    """

    name: str
    latents: int
    hidden: tuple[int, ...]
    blocks: tuple[tuple[str, int], ...]

    @property
    def width(self) -> int:
        """Number of model dimensions."""
        return sum(width for _, width in self.blocks)

    @property
    def numbers(self) -> int:
        """Weights of its linear layers, the least that a state_dict of it has."""
        widths = (self.width, *self.hidden, 2 * self.latents)
        return sum(one * other for one, other in pairwise(widths))

    def to_dict(self) -> dict[str, object]:
        """The configuration as str, int and list only, for a checkpoint."""
        return {
            "name": self.name,
            "latents": self.latents,
            "hidden": list(self.hidden),
            "blocks": [[kind, width] for kind, width in self.blocks],
        }


@dataclass(frozen=True)
class ImageConfig:
    """The convolutional pair for images.

    Attributes:
        name: spelling of the architecture.
        latents: d, number of latents.
        shape: (channels, height, width) of one image; height and width are multiples of 16.
    """

    name: str
    latents: int
    shape: tuple[int, int, int]

    @property
    def width(self) -> int:
        """Number of model dimensions."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def numbers(self) -> int:
        """Weights of its largest layers, the least that a state_dict of it has."""
        channels, height, width = self.shape
        return 64 * height * width + 512 * channels + 256 * self.latents

    def to_dict(self) -> dict[str, object]:
        """The configuration as str, int and list only, for a checkpoint."""
        return {"name": self.name, "latents": self.latents, "shape": list(self.shape)}


Config = TableConfig | ImageConfig


def config_from_dict(entries: object) -> Config:
    """The inverse of ``to_dict``; an entry ``shape`` makes it one of images.

    Raises:
        ModelError: an entry is missing or has a wrong type or value; the message names it.
    """
    if not isinstance(entries, dict):
        raise _bad_entry("architecture", entries, "a dictionary")
    name = entries.get("name")
    if not isinstance(name, str):
        raise _bad_entry("architecture.name", name, "a string")
    latents = entries.get("latents")
    if not _positive(latents):
        raise _bad_entry("architecture.latents", latents, "a positive integer")
    if "shape" in entries:
        return ImageConfig(name, latents, _shape(entries["shape"]))
    hidden = entries.get("hidden")
    if not isinstance(hidden, list) or not hidden or not all(_positive(units) for units in hidden):
        raise _bad_entry("architecture.hidden", hidden, "a list of positive integers")
    blocks = entries.get("blocks")
    if not isinstance(blocks, list) or not blocks or not all(_block(block) for block in blocks):
        raise _bad_entry("architecture.blocks", blocks, f"a list of [kind, width], kind one of {', '.join(KINDS)}")
    return TableConfig(name, latents, tuple(hidden), tuple((kind, width) for kind, width in blocks))


def _shape(value: object) -> tuple[int, int, int]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(_positive(side) for side in value)
        or any(side % SIDE_STEP for side in value[1:])
    ):
        raise _bad_entry("architecture.shape", value, f"[channels, height, width], sides multiples of {SIDE_STEP}")
    return value[0], value[1], value[2]


def _positive(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _block(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in KINDS or not _positive(value[1]):
        return False
    return value[0] == FeatureKind.CATEGORICAL.value or bool(value[1] == 1)


def shown(value: object) -> str:
    """A value out of a file for a message: short, however large or deep it is."""
    # Python prints no longer ones
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT:
        return f"a number of {value.bit_length():,} bits"
    return reprlib.repr(value)[:80]


def _bad_entry(name: str, seen: object, expected: str) -> ModelError:
    what = "nothing" if seen is None else f"{type(seen).__name__} {shown(seen)}"
    return ModelError(
        f"the checkpoint's entry {name} is {what}",
        expected=expected,
        fix="train the model again with `circuitprobe train`, or use an undamaged copy of the file",
    )


def blocks_of(encoding: TableEncoding) -> tuple[tuple[str, int], ...]:
    """(kind, width) of each encoded column, the form in which an architecture knows its table."""
    return tuple((column.kind.value, column.width) for column in encoding.columns)
