"""Images of which the factors that they were made from are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import IntArray


@dataclass(frozen=True)
class KnownFactors:
    """Where further images and their factors come from, so that scores against factors need not make do with the audited ones.

    Attributes:
        names: of the factors; constant ones may be among them.
        total: images of the whole.
        image_bytes: size of one as it is stored.
        images: the images of ascending numbers from 0 to total - 1, stored as the audited ones are, shape (images, ...).
        classes: the factors' class numbers of such images, shape (images, factors).
    """

    names: tuple[str, ...]
    total: int
    image_bytes: int
    images: Callable[[IntArray], np.ndarray[Any, Any]]
    classes: Callable[[IntArray], np.ndarray[Any, Any]]
