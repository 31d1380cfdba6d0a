"""Quantities on all rows and on each resample of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.levels.setting import LevelSetting
    from circuitprobe.types import FloatArray


@dataclass(frozen=True)
class Measured:
    """A quantity on all rows and on each resample.

    Attributes:
        value: shape (...).
        resampled: shape (resamples, ...).
    """

    value: FloatArray
    resampled: npt.NDArray[np.floating]

    def at(self, *index: int) -> tuple[float, FloatArray]:
        """One number with its resamples, for ``estimate``."""
        return float(self.value[index]), np.asarray(np.moveaxis(self.resampled, 0, -1)[index])


def function_of(source: Measured, function: Callable[..., FloatArray], *others: Measured) -> Measured:
    """A function of quantities, on all rows and on each resample."""
    return Measured(
        np.asarray(function(source.value, *(o.value for o in others))),
        np.asarray(function(source.resampled, *(o.resampled for o in others))),
    )


def over_rows(setting: LevelSetting, parts: list[FloatArray]) -> list[Measured]:
    """Means over rows of arrays (rows, columns), on all rows and on each resample; the resamples are drawn once."""
    joined = np.concatenate(parts, axis=1)
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    values = np.split(joined.mean(axis=0), ends)
    resampled = np.split(setting.resampler.means(joined), ends, axis=1)
    return [Measured(value, sample) for value, sample in zip(values, resampled, strict=True)]
