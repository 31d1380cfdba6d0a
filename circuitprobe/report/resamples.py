"""The bootstrap resamples behind an audit's main figures, packed into its JSON, so that two audits can be compared pairwise.

Two audits of the same rows with the same seed draw the same resamples of rows: the difference of a figure is then known on each of
them, and its interval is far narrower than two intervals suggest (METHOD.md section 7).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from circuitprobe.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

LEVELS = 65_534
UNDEFINED = 65_535
MOST_BYTES = 2**21
LEAST = 200
SIGNIFICANT_DIGITS = 9
"""Of every number in a report's JSON; rounded here already, an audit and the same audit read back unpack alike."""


class Packed(BaseModel):
    """One figure on each resample: low + code / 65534 * (high - low), 65535 for undefined."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float | None = Field(description="the figure on all rows; null where undefined")
    low: float
    high: float
    codes: str = Field(description="16-bit codes, little-endian, base85 (RFC 1924)")


class Resamples(BaseModel):
    """Figures on each bootstrap resample of the audited rows, in the order drawn."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int = Field(description="resamples kept, the first ones drawn")
    figures: dict[str, Packed] = Field(description="by metric, such as ces, or ces:z3 for one latent")

    def values(self, name: str) -> FloatArray | None:
        """The figure on each resample, shape (count,), nan where undefined; None where it was not kept.

        Raises:
            DataError: the packed text is damaged.
        """
        packed = self.figures.get(name)
        return None if packed is None else _unpacked(name, packed, self.count)

    def value(self, name: str) -> float | None:
        """The figure on all rows; None where it is undefined or was not kept."""
        packed = self.figures.get(name)
        return None if packed is None else packed.value


def pack(figures: Mapping[str, tuple[float, npt.NDArray[np.floating]]]) -> Resamples | None:
    """Pack figures: the value on all rows (nan where undefined), and on each resample, shape (resamples,).

    Returns:
        At most 2 MiB of codes, then of fewer resamples, 200 at least; None where there are no figures.
    """
    figures = {name: entry for name, entry in figures.items() if len(entry[1])}
    if not figures:
        return None
    count = min(len(resampled) for _, resampled in figures.values())
    count = min(count, max(LEAST, MOST_BYTES // (2 * len(figures))))
    return Resamples(
        count=count, figures={name: _packed(value, values[:count]) for name, (value, values) in figures.items()}
    )


def _packed(value: float, values: npt.NDArray[np.floating]) -> Packed:
    defined = np.isfinite(values)
    low, high = (float(values[defined].min()), float(values[defined].max())) if defined.any() else (0.0, 0.0)
    low, high = _as_written(low), _as_written(high)
    width = high - low
    # rounded ends may lie within the values by less than a code
    scaled = np.zeros(len(values)) if width == 0 else np.clip((values - low) / width * LEVELS, 0, LEVELS)
    codes = np.where(defined, np.round(np.where(defined, scaled, 0.0)), UNDEFINED).astype("<u2")
    text = base64.b85encode(codes.tobytes()).decode("ascii")
    return Packed(value=_as_written(value) if math.isfinite(value) else None, low=low, high=high, codes=text)


def _as_written(number: float) -> float:
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")


def _unpacked(name: str, packed: Packed, count: int) -> FloatArray:
    try:
        codes = np.frombuffer(base64.b85decode(packed.codes), dtype="<u2")
    except (ValueError, binascii.Error) as error:
        raise _damaged(name) from error
    if len(codes) != count:
        raise _damaged(name)
    values = packed.low + codes / LEVELS * (packed.high - packed.low)
    return np.asarray(np.where(codes == UNDEFINED, np.nan, values))


def _damaged(name: str) -> DataError:
    return DataError(
        f"the report's resamples of {name} are damaged",
        expected="what circuitprobe audit --json wrote",
        fix="audit again",
    )
