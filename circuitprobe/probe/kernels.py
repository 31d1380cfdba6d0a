"""Convolutions computed another way where that is faster on a CPU; the figures differ by rounding only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuitprobe.probe.calls import Calls
from circuitprobe.probe.stubs import Stub

FEW_CHANNELS = 4


def kernel_stubs(calls: Calls) -> dict[int, Stub]:
    """Stubs for the convolutions of a half that have a faster form here.

    Transposed convolutions to few channels become one matrix product and a fold (4x faster from 32 channels to 1); others
    take their input, and give their output, channels last (up to 3x).
    """
    stubs: dict[int, Stub] = {}
    for leaf in calls.leaves:
        stub = _faster(leaf.module)
        if stub is not None:
            stubs[leaf.index] = stub
    return stubs


def _faster(module: nn.Module) -> Stub | None:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.device.type != "cpu" or weight.ndim != 4:
        return None
    if type(module) is nn.ConvTranspose2d and _plain(module):
        return _folded(module) if module.out_channels <= FEW_CHANNELS else _channels_last
    return None


def _plain(module: nn.ConvTranspose2d) -> bool:
    return module.groups == 1 and module.padding_mode == "zeros"


def _channels_last(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
    first, *rest = arguments
    if keywords or rest or first.ndim != 4:
        return original(*arguments, **keywords)
    return original(first.contiguous(memory_format=torch.channels_last))


def _folded(module: nn.ConvTranspose2d) -> Stub:
    stride, padding, dilation = _pair(module.stride), _pair(module.padding), _pair(module.dilation)
    extra, kernel = _pair(module.output_padding), _pair(module.kernel_size)

    def stub(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        x = arguments[0]
        if keywords or len(arguments) > 1 or x.ndim != 4:
            return original(*arguments, **keywords)
        size = [
            (x.shape[2 + a] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (kernel[a] - 1) + extra[a] + 1
            for a in (0, 1)
        ]
        # detached: a product with a view of something that wants gradients copies it first, also where there are none
        columns = module.weight.detach().reshape(module.in_channels, -1).t() @ x.flatten(2)
        out = functional.fold(columns, tuple(size), kernel, dilation=dilation, padding=padding, stride=stride)
        return out if module.bias is None else out.add_(module.bias[:, None, None])

    return stub


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401 - torch keeps an int, a tuple or a string
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
