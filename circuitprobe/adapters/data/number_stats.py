"""Running statistics of a numeric column, block after block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data.number_text import EXACT

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray


class NumberStats:
    """Count, mean, variance and range of the numbers seen so far, merged stably (Chan, Golub and LeVeque 1979).

    Attributes:
        present: numbers seen, infinite ones too.
        low: their minimum; inf before the first.
        high: their maximum.
        first_infinite: row and value of the first infinite number.
        sequence: whether the rows so far are integers, each one more than the one before.
        integers: whether all of them are integers.
    """

    def __init__(self) -> None:
        self.present = 0
        self.low = math.inf
        self.high = -math.inf
        self.first_infinite: tuple[int, float] | None = None
        self.sequence = True
        self.integers = True
        self._finite = 0
        self._mean = 0.0
        self._squares = 0.0
        self._last: float | None = None

    @property
    def beyond_exact(self) -> bool:
        """Whether there are integers so large that float64 does not tell neighbours apart."""
        return self.integers and self.present > 0 and max(-self.low, self.high) >= EXACT

    @property
    def mean(self) -> float:
        """Mean of the finite numbers; nan where there are none."""
        if not self._finite:
            return math.nan
        return self.low if self.low == self.high else self._mean

    @property
    def std(self) -> float:
        """Their standard deviation, divisor n; exactly 0 where all are equal."""
        if not self._finite:
            return math.nan
        return 0.0 if self.low == self.high else math.sqrt(self._squares / self._finite)

    def update(self, values: FloatArray, first_row: int) -> None:
        """Take in the next block.

        Args:
            values: shape (rows,), nan where there is no number.
            first_row: the table's row of ``values[0]``.
        """
        absent = np.isnan(values)
        self._follow_sequence(values, any_absent=bool(absent.any()))
        numbers = values[~absent]
        if not len(numbers):
            return
        self.present += len(numbers)
        infinite = np.isinf(numbers)
        if infinite.any():
            if self.first_infinite is None:
                row = int(np.argmax(np.isinf(values)))
                self.first_infinite = (first_row + row, float(values[row]))
            numbers = numbers[~infinite]
        if len(numbers):
            self._merge(numbers)

    def _follow_sequence(self, values: FloatArray, *, any_absent: bool) -> None:
        if not self.sequence or not len(values):
            return
        starts_right = float(values[0]).is_integer() if self._last is None else values[0] == self._last + 1
        self.sequence = bool(not any_absent and starts_right and (np.diff(values) == 1).all())
        self._last = float(values[-1])

    def _merge(self, numbers: FloatArray) -> None:
        self.low = min(self.low, float(numbers.min()))
        self.high = max(self.high, float(numbers.max()))
        if self.integers:
            self.integers = bool((numbers == np.floor(numbers)).all())
        count = len(numbers)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
            total = self._finite + count
            apart = mean - self._mean
            self._mean += apart * count / total
            self._squares += squares + apart * apart * self._finite * count / total
        self._finite = total
