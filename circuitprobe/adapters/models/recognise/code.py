"""Finding the code in tapped runs: the tensor that is affine in noise, and what its mean and spread are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitprobe.adapters.models.recognise.noise import Capture, Step, Trace

# relative to the size of what is compared, in float32
TOLERANCE = 2e-4
_TINY = 1e-7


@dataclass(frozen=True, eq=False)
class Code:
    """A sampled tensor: mean + spread x noise.

    Attributes:
        step: its number in the tapped run.
        draw: number of the draw in it.
        shape: of one row's code.
        mean: shape (rows, entries).
        std: shape (rows, entries), not negative.
        capture: where the spread is to be had in a run; None where no single tensor is it.
        constant: whether the spread is the same for all rows.
        deviation: how far from affine in the noise, relative.
    """

    step: int
    draw: int
    shape: tuple[int, ...]
    mean: Tensor
    std: Tensor
    capture: Capture | None
    constant: bool
    deviation: float


def sampled_code(draw: int, traces: Sequence[Trace], rows: int) -> Code | None:
    """What a draw of noise makes a sampled code of.

    Args:
        draw: its number.
        traces: of the same rows with that noise 0, 1 and 2, all other noise 0.
        rows: how many.

    Returns:
        The first tensor whose mean and spread differ between rows, or else the last one whose mean does; None where there is
        none.
    """
    at_zero, at_one, at_two = (trace.steps for trace in traces)
    if not len(at_zero) == len(at_one) == len(at_two):
        return None
    found = [
        code
        for number, runs in enumerate(zip(at_zero, at_one, at_two, strict=True))
        if runs[0].draws == {draw} and (code := _code(number, runs, at_zero, rows)) is not None
    ]
    return next((code for code in found if not code.constant), found[-1] if found else None)


def _code(number: int, runs: tuple[Step, Step, Step], steps: Sequence[Step], rows: int) -> Code | None:
    zero, one, two = (step.value for step in runs)
    if not zero.shape == one.shape == two.shape or not zero.is_floating_point():
        return None
    lead = 0 if zero.ndim and zero.shape[0] == rows else 1 if zero.ndim > 1 and zero.shape[:2] == (1, rows) else None
    if lead is None:
        return None
    zero, one, two = (value.reshape(rows, -1).double() for value in (zero, one, two))
    size = float(max(zero.abs().max(), two.abs().max(), torch.tensor(_TINY)))
    if not torch.isfinite(two).all() or zero.shape[1] == 0:
        return None
    deviation = float((two - 2 * one + zero).abs().max()) / size
    std = (one - zero).abs()
    if deviation > TOLERANCE or float(std.max()) <= TOLERANCE * size or not varies(zero):
        return None
    shape = tuple(runs[0].value.shape[lead + 1 :])
    return Code(number, min(runs[0].draws), shape, zero, std, _capture(number, steps, std), not varies(std), deviation)


def varies(values: Tensor) -> bool:
    """Whether rows differ by more than rounding, shape (rows, entries)."""
    spread = float((values.amax(0) - values.amin(0)).max())
    return spread > TOLERANCE * max(float(values.abs().max()), _TINY)


def _capture(number: int, steps: Sequence[Step], std: Tensor) -> Capture | None:
    """The tensor beside the noise that the spread is a multiple of."""
    seen, open_steps = {number}, [number]
    while open_steps:
        current = open_steps.pop()
        for position, tensor in steps[current].given.items():
            factor = _multiple(tensor, std)
            if factor is not None:
                return Capture(current, position, factor)
        fresh = [parent for parent in steps[current].parents if parent not in seen]
        seen.update(fresh)
        open_steps.extend(fresh)
    return None


def _multiple(tensor: Tensor, std: Tensor) -> float | None:
    """The factor that makes a tensor's size the spread; None where there is none."""
    if tensor.numel() != std.numel() or not tensor.is_floating_point():
        return None
    size = tensor.reshape(std.shape).double().abs()
    factor = float((std * size).sum() / size.square().sum()) if float(size.max()) > 0 else 0.0
    if factor <= 0 or float((factor * size - std).abs().max()) > TOLERANCE * float(std.max()):
        return None
    return factor


def is_scaled_input(code: Code, x: Tensor) -> bool:
    """Whether a code is nothing but the rows themselves, each column times a number plus a number.

    Args:
        code: the code.
        x: the rows, shape (rows, dims).
    """
    if code.mean.shape != x.shape:
        return False
    mean, rows = code.mean - code.mean.mean(0), x.double() - x.double().mean(0)
    fitted = rows * ((mean * rows).sum(0) / rows.square().sum(0).clamp_min(_TINY))
    return float((mean - fitted).abs().max()) <= TOLERANCE * max(float(code.mean.abs().max()), _TINY)
