"""Which of the engine's ways an intervention at a site takes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor, nn

from circuitprobe.errors import CircuitProbeError
from circuitprobe.types import Site

FAILURES = (CircuitProbeError, RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError)
"""What a stranger's forward may raise when it is run in a way it was not written for."""


class Way(StrEnum):
    """From the fastest to the plainest; every one gives the same figures."""

    CLOSED_FORM = "closed form"
    SUBSTITUTION = "substitution"
    STUBS = "stubs"
    STACKED = "stacked"
    PLAIN = "plain"


@dataclass(frozen=True)
class Consumer:
    """The linear or convolution layer that reads a site.

    Attributes:
        index: its leaf call.
        chain: indices of modules between site and layer through which units stay apart.
        directions: what a change of 1 in each unit adds to the layer's output, shape (units, ...); None for maps.
        flat: the layer is linear and reads the maps of all units, flattened.
        folded: indices of what is passed over: views, and linear layers whose product with it is in ``directions``.
        closes: the layer's output is the half's output.
    """

    index: int
    chain: tuple[int, ...]
    directions: Tensor | None
    flat: bool
    folded: tuple[int, ...]
    closes: bool
    module: nn.Module


@dataclass(frozen=True)
class Route:
    """How units of one site are patched.

    Attributes:
        site: where.
        way: how.
        reason: why not faster, or what makes it fast.
        at: leaf call of the site; -1 where the site is no leaf.
        read: leaf calls before ``at`` whose output is read after it too, so that stubs must return it.
        consumer: for the two fastest ways.
        consumer_read: like ``read``, for a run that goes on from the consumer.
        row_bytes: of the widest tensor per row from the site on.
    """

    site: Site
    way: Way
    reason: str
    at: int
    read: frozenset[int]
    consumer: Consumer | None
    consumer_read: frozenset[int]
    row_bytes: int
