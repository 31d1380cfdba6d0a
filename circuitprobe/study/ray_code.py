"""What is sent to nodes as code rather than by name.

Functions inside functions cross by value: they run where circuitprobe is absent or another version, and can tell so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from circuitprobe.study.parcels import Parcel


class Method(Protocol):
    """A method of an actor."""

    def remote(self, *given: object) -> object:
        """Call it; a reference to what it will return."""


class Board(Protocol):
    """A board, from anywhere in the cluster."""

    tell: Method
    take: Method


def task_function(version: str) -> Callable[..., object]:
    """A run as a task.

    Args:
        version: of circuitprobe, without which the run is not begun.

    Returns:
        A function that returns what the run left, or in words what version is there instead.
    """

    def run(name: str, job: str, places: tuple[str, ...], board: Board, *parcels: Parcel) -> object:
        try:
            from circuitprobe import __version__ as found
        except ImportError:
            return "no circuitprobe"
        if found != version:
            return f"circuitprobe {found}"
        from circuitprobe.study.on_node import carry_out

        def tell(phase: str, done: int, total: int | None) -> None:
            board.tell.remote(name, phase, done, total)

        return carry_out(job, places, parcels, tell)

    return run


def board_class() -> type:
    """Where runs write how far they are, for the study to read."""

    class Written:
        """The last word of each run since the study last read it."""

        def __init__(self) -> None:
            self.told: dict[str, tuple[str, int, int | None]] = {}

        def tell(self, name: str, phase: str, done: int, total: int | None) -> None:
            self.told[name] = (phase, done, total)

        def take(self) -> dict[str, tuple[str, int, int | None]]:
            told, self.told = self.told, {}
            return told

    return Written
