"""Trying the ways to run a model until one shows a code."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.recognise.code import Code, sampled_code
from circuitprobe.adapters.models.recognise.trial import Trial, tapped
from circuitprobe.adapters.models.recognise.ways import Way, ways

# a model that draws more often is no VAE with a few groups of latents
MOST_DRAWS = 16
NO_FORWARD = "_forward_unimplemented"
NO_FORWARD_WORDS = "it has no forward"


@dataclass
class Exploration:
    """What the ways to run a model showed.

    Attributes:
        way: the way that shows a code, else the first that runs at all; None where none does.
        zero: the run without noise that way.
        codes: sampled codes.
        noise: whether some run drew from a normal distribution.
        other: random operations that are no normal draws.
        error: what the plainest way raised, where none runs.
    """

    way: Way | None = None
    zero: Trial | None = None
    codes: tuple[Code, ...] = ()
    noise: bool = False
    other: tuple[str, ...] = field(default=())
    error: str = ""


def explore(
    model: nn.Module, x: Tensor, row_shape: tuple[int, ...], condition_width: int, methods: Sequence[str] = ()
) -> Exploration:
    """Run a model on rows in every way until one shows a sampled code.

    Args:
        model: any module, inside ``untouched``.
        x: a few rows, shape (rows, dims), the condition last.
        row_shape: shape in which the rows came.
        condition_width: dimensions that condition both halves.
        methods: names of methods whose calls are of interest.
    """
    found = Exploration()
    # a script module without forward has none at all
    forward = getattr(model, "forward", None)
    if forward is None or getattr(forward, "__name__", "") == NO_FORWARD:
        found.error = NO_FORWARD_WORDS
        return found
    for way in ways(model, x.shape[1] - condition_width, row_shape, condition_width):
        if found.way is not None and not _same_form(way, found.way):
            continue
        zero = _run(model, way, x, found, calls=methods)
        if zero is None:
            continue
        if found.way is None:
            found.way, found.zero = way, zero
        found.other = tuple(dict.fromkeys((*found.other, *zero.trace.other)))
        found.noise = found.noise or bool(zero.trace.draws)
        if not zero.trace.draws:
            continue
        codes = _codes(model, way, x, zero, found)
        if codes:
            found.way, found.zero, found.codes = way, zero, codes
            return found
    return found


def _codes(model: nn.Module, way: Way, x: Tensor, zero: Trial, found: Exploration) -> tuple[Code, ...]:
    """The code of each draw, the other draws held at 0."""
    codes = []
    for draw in range(min(len(zero.trace.draws), MOST_DRAWS)):
        one, two = (_run(model, way, x, found, constant=constant, only={draw}) for constant in (1.0, 2.0))
        if one is not None and two is not None:
            code = sampled_code(draw, (zero.trace, one.trace, two.trace), len(x))
            codes += [] if code is None else [code]
    return tuple(codes)


def _same_form(way: Way, other: Way) -> bool:
    """Whether two ways hand the rows over alike."""
    return (way.row_shape, way.key, way.condition) == (other.row_shape, other.key, other.condition)


def _run(
    model: nn.Module,
    way: Way,
    x: Tensor,
    found: Exploration,
    *,
    constant: float = 0.0,
    only: Collection[int] | None = None,
    calls: Sequence[str] | None = None,
) -> Trial | None:
    """A tapped run; None where the model fails, which is remembered."""
    try:
        return tapped(model, way, x, constant, only=only, calls=calls)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
        told = str(error).strip().splitlines()
        found.error = found.error or f"{type(error).__name__}: {told[-1] if told else 'no reason given'}"
        return None
