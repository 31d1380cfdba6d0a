"""Transposed convolutions computed another way give what torch's own give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from circuitprobe.probe.calls import find_calls
from circuitprobe.probe.consumers import ChannelUpdate
from circuitprobe.probe.half import Half
from circuitprobe.probe.kernels import kernel_stubs
from circuitprobe.probe.stubs import stubbed

SETTINGS = [
    (5, 3, 4, 2, 1),
    (5, 1, 2, 2, 0),
    (5, 3, 3, 1, 1),
    (5, 3, 3, 2, 1, 1),
    (5, 2, (3, 5), (2, 1), (1, 2)),
    (5, 3, 5, 3, 2, 2),
    (3, 4, 1, 1, 0),
    (3, 4, 2, 3, 0),
    (5, 3, 3, 2, 0, 1),  # more rows at the end than padding cuts off
    (4, 9, 4, 2, 1),  # many channels
]


def layer(setting: tuple[Any, ...], *, bias: bool, **options: Any) -> nn.ConvTranspose2d:
    torch.manual_seed(0)
    return nn.ConvTranspose2d(*setting, bias=bias, dtype=torch.float64, **options).requires_grad_(False)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_transposed_convolutions(setting: tuple[Any, ...], bias: bool) -> None:
    net = nn.Sequential(layer(setting, bias=bias))
    x = torch.randn(4, setting[0], 6, 7, dtype=torch.float64)
    calls = find_calls(Half("decoder", net, net.forward), x)
    stubs = kernel_stubs(calls)
    assert set(stubs) == {0}
    for maps in (x, x.to(memory_format=torch.channels_last)):
        expected = net(maps)
        with stubbed(calls, stubs):
            found = net(maps)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}])
def test_other_settings_are_left_to_torch_where_no_short_form_is_known(options: dict[str, int]) -> None:
    net = nn.Sequential(layer((4, 2, 3, 2, 1), bias=True, **options))
    x = torch.randn(4, 4, 6, 7, dtype=torch.float64)
    calls = find_calls(Half("decoder", net, net.forward), x)
    expected = net(x)
    with stubbed(calls, kernel_stubs(calls)):
        torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_channel(setting: tuple[Any, ...]) -> None:
    """The layer is affine: one channel's part is its output on that channel alone, less its output on nothing."""
    module = layer(setting, bias=True)
    x = torch.randn(4, setting[0], 6, 7, dtype=torch.float64)
    alone = torch.zeros_like(x)
    alone[:, 2] = x[:, 2]
    expected = module(alone) - module(torch.zeros_like(x))
    torch.testing.assert_close(ChannelUpdate(module)(x[:, 2], 2), expected, rtol=1e-12, atol=1e-12)
