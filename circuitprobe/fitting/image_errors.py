"""The error for images that do not fit a model: what they are, and what the model takes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from circuitprobe.errors import CircuitProbeError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from circuitprobe.adapters.models import ProbedVAE

SIDES = (8, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 100, 112, 128, 160, 192, 218, 224, 256)
MOST_CHANNELS = 4
# what ProbedVAE says of rows that a half cannot take
_MISFITS = (" failed on input of shape ", " returns ")


def is_misfit(error: CircuitProbeError) -> bool:
    """Whether a model failed as it does on rows of a wrong shape."""
    return any(words in error.seen for words in _MISFITS)


def does_not_fit(
    vae: ProbedVAE, shape: tuple[int, int, int], source: str, first: CircuitProbeError | None
) -> DataError:
    """Both sides: the images, and what the model's first layer and a few trials say that it takes.

    Args:
        vae: the model, inside ``untouched``.
        shape: (channels, height, width) of the images.
        source: where they come from.
        first: what the model said to them.
    """
    channels, height, width = shape
    layer = _first_layer(vae)
    taken = tuple(_sizes_taken(vae, shape))
    lines = [f"    the images   {_sized(shape)}", f"    the model    {layer}"]
    if taken:
        lines.append(f"                 takes {', '.join(map(_sized, taken))} (tried)")
    if first is not None:
        lines.append(f"    it said      {first.seen}")
    expected, fix = layer, "see what the model takes: circuitprobe inspect MODEL"
    if taken:
        expected = f"images of {' or '.join(map(_sized, taken))}"
        side = min(taken, key=lambda size: abs(size[1] - height))
        fix = (
            f"give images of {side[1]} x {side[2]} pixels; in Python, images a tensor (rows, channels, height, width):\n"
            "    small = torch.nn.functional.interpolate(images.float(), size="
            f"({side[1]}, {side[2]}), mode='bilinear', antialias=True)\n"
            "    cp.audit(vae, small)"
        )
        if side[0] not in (1, 3, channels):
            fix = f"give images of {_sized(side)}"
    elif vae.row_shape and vae.row_shape != shape:
        expected = f"images of {' x '.join(map(str, vae.row_shape))}"
    seen = f"{source} holds images of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}, "
    return DataError(seen + "which the model does not take:\n" + "\n".join(lines), expected=expected, fix=fix)


def _sized(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{height} x {width} with {channels} channel{'s' * (channels > 1)}"


def _first_layer(vae: ProbedVAE) -> str:
    """What the first weight outside the decoder says of its input."""
    named = [(name, p) for name, p in vae.model.named_parameters() if p.ndim >= 2]
    outside = [(name, p) for name, p in named if not name.lower().startswith(("dec", "p_", "gen"))]
    for name, parameter in outside or named:
        layer = name.rpartition(".")[0] or name
        if parameter.ndim == 2:
            return f"first layer {layer}: {parameter.shape[1]:,} values in a row"
        return f"first layer {layer}: a convolution of {parameter.shape[1]} channel{'s' * (parameter.shape[1] > 1)}"
    return "no layer with weights"


def _sizes_taken(vae: ProbedVAE, shape: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    """Square images that go through both halves and come back whole; at most the first few."""
    widths = {parameter.shape[1] for parameter in vae.model.parameters() if parameter.ndim == 4}
    counts = [count for count in range(1, MOST_CHANNELS + 1) if count in widths] or [1, 3]
    found = 0
    for channels in counts:
        for side in SIDES:
            size = (channels, side, side)
            if size != shape and found < 3 and (_runs(vae, size, size) or _runs(vae, size, ())):
                found += 1
                yield size


def _runs(vae: ProbedVAE, size: tuple[int, int, int], row_shape: tuple[int, ...]) -> bool:
    rows = torch.linspace(0.0, 1.0, 4 * math.prod(size)).reshape(4, -1)
    try:
        replace(vae, row_shape=row_shape).resolved(vae.to_input(rows))
    except CircuitProbeError:
        return False
    return True
