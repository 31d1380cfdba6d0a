"""What one changed unit adds to the output of the linear or convolution layer that reads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuitprobe.probe.kernels import FEW_CHANNELS, Layout, lays_down
from circuitprobe.probe.stubs import is_bare

_AFFINE = {
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
}

# fmt: off
_UNITWISE = {
    "ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish",
    "Tanh", "Sigmoid", "LogSigmoid", "Softplus", "Softsign", "Softshrink", "Hardshrink", "Tanhshrink", "Hardtanh",
    "Hardsigmoid", "Hardswish", "Threshold", "Dropout", "AlphaDropout", "Identity",
}
# fmt: on
"""Torch modules whose output unit u depends on input unit u alone, whatever the axis that counts units (in eval mode)."""

# fmt: off
_CHANNELWISE = {
    "BatchNorm1d", "BatchNorm2d", "InstanceNorm2d", "Dropout1d", "Dropout2d", "PReLU", "Upsample", "MaxPool1d", "MaxPool2d",
    "AvgPool1d", "AvgPool2d", "AdaptiveAvgPool2d",
}
# fmt: on
"""The same where units are channels, on axis 1."""


def is_affine(module: nn.Module) -> bool:
    """Whether the module is a linear or convolution layer just as torch defines it, with nothing hooked onto it."""
    kind = type(module).__bases__[0] if nn.utils.parametrize.is_parametrized(module) else type(module)
    return kind in _AFFINE and is_bare(module)


def is_view(module: nn.Module) -> bool:
    """Whether the module gives the numbers it takes, in their order, in another shape."""
    return type(module) in {nn.Flatten, nn.Unflatten, nn.Identity} and is_bare(module)


def keeps_units(module: nn.Module, unit_axis: int) -> bool:
    """Whether unit u of the module's output depends on unit u of its input alone."""
    kind = type(module)
    if not kind.__module__.startswith("torch.nn.modules.") or not is_bare(module):
        return False
    return kind.__name__ in _UNITWISE or (unit_axis == 1 and kind.__name__ in _CHANNELWISE)


def responses(module: nn.Module, basis: Tensor) -> Tensor:
    """The layer's linear part applied to inputs (inputs, ...), without its bias."""
    return (module(basis) - module(torch.zeros_like(basis[:1]))).detach()  # type: ignore[no-any-return]


def one_channel(module: nn.Module) -> ChannelUpdate | None:
    """How a convolution answers to a change in one input channel; None where no short way is known."""
    if type(module) is nn.Conv2d and module.groups == 1 and module.padding_mode == "zeros":
        return ChannelUpdate(module)
    if type(module) is nn.ConvTranspose2d and module.groups == 1 and not isinstance(module.padding, str):
        return ChannelUpdate(module)
    return None


class ChannelUpdate:
    """Convolution of a map in one input channel: 1 / channels of the whole layer's work."""

    def __init__(self, module: nn.Module) -> None:
        self._module: Any = module
        self._transposed = isinstance(module, nn.ConvTranspose2d)

    def __call__(self, delta: Tensor, unit: int) -> Tensor:
        """The output's change, shape (rows, channels, height, width), for a change (rows, height, width) of channel ``unit``."""
        m = self._module
        if not self._transposed:
            kernel = m.weight.detach()[:, unit : unit + 1]
            return functional.conv2d(delta[:, None], kernel, None, m.stride, m.padding, m.dilation)
        kernel = m.weight.detach()[unit : unit + 1]
        size = tuple(_transposed_size(m, axis, delta.shape[1 + axis]) for axis in (0, 1))
        if m.out_channels <= FEW_CHANNELS and lays_down(m):
            layout = Layout.of(m)
            return layout.summed(layout.full(kernel[0]).flatten(1)[..., None, None, None] * delta)
        # a transposed convolution of one channel is slow here; the same as a plain one on a map with zeros in between
        spread = self._spread(delta, size)
        return functional.conv2d(spread, kernel.flip(2, 3).transpose(0, 1), None, 1, 0, m.dilation)

    def _spread(self, delta: Tensor, size: tuple[int, ...]) -> Tensor:
        m = self._module
        reach = [m.dilation[a] * (m.kernel_size[a] - 1) for a in (0, 1)]
        shape = [size[a] + reach[a] for a in (0, 1)]
        full = [reach[a] + (delta.shape[1 + a] - 1) * m.stride[a] + 1 for a in (0, 1)]
        room = delta.new_zeros(
            len(delta), 1, max(full[0], shape[0] + m.padding[0]), max(full[1], shape[1] + m.padding[1])
        )
        room[:, 0, reach[0] : full[0] : m.stride[0], reach[1] : full[1] : m.stride[1]] = delta
        return room[:, :, m.padding[0] : m.padding[0] + shape[0], m.padding[1] : m.padding[1] + shape[1]]


def _transposed_size(module: Any, axis: int, size: int) -> int:  # noqa: ANN401 - its settings are typed as unions
    """Height or width that a transposed convolution makes of a map."""
    reach = int(module.dilation[axis] * (module.kernel_size[axis] - 1))
    return int((size - 1) * module.stride[axis] - 2 * module.padding[axis] + reach + module.output_padding[axis] + 1)
