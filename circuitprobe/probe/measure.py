"""What is read off patched runs, as the engine sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Measure(Protocol):
    """Turns the output of patched runs into numbers."""

    @property
    def columns(self) -> int:
        """How many numbers per run and row."""
        ...

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, columns); all 0 where the output is the recorded one.

        Args:
            output: shape (runs, width).
            rows: which recorded row each of them belongs to.
        """
        ...

    def along(self, delta: Tensor, directions: Tensor) -> Tensor | None:
        """The same where the output of row r under unit u is the recorded one plus delta[r, u] directions[u].

        Args:
            delta: shape (rows, units).
            directions: shape (units, width).

        Returns:
            Shape (units, rows, columns); None where that has no closed form.
        """
        ...


@dataclass(frozen=True)
class Block:
    """Measured effects of some units of a site.

    Attributes:
        units: which, ascending, shape (units,).
        values: shape (units, rows, columns of the measure).
    """

    units: Tensor
    values: Tensor


class Difference:
    """By how much the output differs from the recorded one."""

    def __init__(self, output: Tensor) -> None:
        self._output = output
        self.columns = output.shape[1]

    def of(self, output: Tensor, rows: Tensor) -> Tensor:
        """Shape (runs, width)."""
        return output - self._output.index_select(0, rows)

    def along(self, delta: Tensor, directions: Tensor) -> Tensor:
        """Shape (units, rows, width)."""
        return delta.t()[:, :, None] * directions[:, None, :]
