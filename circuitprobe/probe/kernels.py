"""Convolutions computed another way where that is faster on a CPU; the figures differ by rounding only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuitprobe.probe.calls import Calls
from circuitprobe.probe.stubs import Stub, is_bare

FEW_CHANNELS = 4
LARGE = 2**20


def kernel_stubs(calls: Calls) -> dict[int, Stub]:
    """Stubs for the convolutions of a half that have a faster form here.

    Transposed convolutions to few channels become one matrix product and a few sums (5x faster from 32 channels to 1); others
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
    if type(module) is not nn.ConvTranspose2d or module.groups > 1 or not is_bare(module):
        return None
    if module.out_channels <= FEW_CHANNELS and lays_down(module):
        return _as_product(module)
    return _channels_last(module) if weight.numel() <= LARGE else None


def _channels_last(module: nn.ConvTranspose2d) -> Stub:
    # turned once, not in every run
    weight = module.weight.detach().contiguous(memory_format=torch.channels_last)
    bias = None if module.bias is None else module.bias.detach()

    def stub(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        x = arguments[0]
        if keywords or len(arguments) > 1 or x.ndim != 4:
            return original(*arguments, **keywords)
        turned = x.contiguous(memory_format=torch.channels_last)
        return functional.conv_transpose2d(
            turned, weight, bias, module.stride, _pair(module.padding), module.output_padding, 1, module.dilation
        )

    return stub


def _as_product(module: nn.ConvTranspose2d) -> Stub:
    layout = Layout.of(module)
    # detached: a product with a view of something that wants gradients copies it first, also where there are none
    weight = layout.full(module.weight.detach()).flatten(1).t().contiguous()
    bias = None if module.bias is None else module.bias.detach()[:, None, None]

    def stub(original: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        x = arguments[0]
        if keywords or len(arguments) > 1 or x.ndim != 4:
            return original(*arguments, **keywords)
        # one product for all rows; a view of maps that lie channels last
        columns = weight @ x.transpose(0, 1).flatten(1)
        out = layout.summed(columns.view(module.out_channels, -1, len(x), *x.shape[2:]))
        return out.contiguous() if bias is None else out + bias

    return stub


@dataclass(frozen=True)
class Layout:
    """How a transposed convolution without dilation lays its kernel down around every place of a map, and sums.

    The kernel is filled up with zeros to a multiple of the stride. Places of the output that are the same distance from the
    last place of the input then make a map of the input's size, so that the sum is a few sums of shifted maps.

    Attributes:
        kernel: height and width of the layer's own kernel.
        stride: of the layer.
        padding: cut off all around.
        extra: rows and columns added at the end (output padding).
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    extra: tuple[int, int]

    @classmethod
    def of(cls, module: nn.ConvTranspose2d) -> Layout:
        """The layout of a layer for which ``lays_down`` is true."""
        return cls(_pair(module.kernel_size), _pair(module.stride), _pair(module.padding), _pair(module.output_padding))

    def full(self, weight: Tensor) -> Tensor:
        """Kernels (..., height, width), filled up."""
        (high, wide), (shifts_y, shifts_x) = self.kernel, self._shifts
        return functional.pad(weight, (0, shifts_x * self.stride[1] - wide, 0, shifts_y * self.stride[0] - high))

    def summed(self, columns: Tensor) -> Tensor:
        """What the layer gives, but for its bias, shape (rows, channels, height out, width out), a view.

        Args:
            columns: each place's filled-up kernel times its value, shape (channels, kernel, rows, height, width).
        """
        (down, across), (shifts_y, shifts_x) = self.stride, self._shifts
        channels, _, count, high, wide = columns.shape
        parts = columns.view(channels, shifts_y, down, shifts_x, across, count, high, wide)
        maps = columns.new_zeros(channels, down, across, count, high + shifts_y - 1, wide + shifts_x - 1)
        for y in range(shifts_y):
            for x in range(shifts_x):
                maps[..., y : y + high, x : x + wide] += parts[:, y, :, x]
        whole = maps.permute(3, 0, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
        top, left = self.padding
        size = [
            (n - 1) * s - 2 * p + k + e
            for n, s, p, k, e in zip((high, wide), self.stride, self.padding, self.kernel, self.extra, strict=True)
        ]
        return whole[:, :, top : top + size[0], left : left + size[1]]

    @property
    def _shifts(self) -> tuple[int, int]:
        """How many places of the input reach one place of the output, down and across."""
        return -(-self.kernel[0] // self.stride[0]), -(-self.kernel[1] // self.stride[1])


def lays_down(module: nn.ConvTranspose2d) -> bool:
    """Whether ``Layout`` gives what the layer gives."""
    inside = all(e <= p for e, p in zip(_pair(module.output_padding), _pair(module.padding), strict=True))
    return module.groups == 1 and module.padding_mode == "zeros" and _pair(module.dilation) == (1, 1) and inside


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401 - torch keeps an int, a tuple or a string
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))
