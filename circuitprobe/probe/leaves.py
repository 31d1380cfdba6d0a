"""Every tensor that the leaf modules of a half return, found by running it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.probe.half import Half
from circuitprobe.probe.outputs import Selector, tensors_in

_CHANNELS_FIRST = {
    f"torch.nn.modules.{name}"
    for name in (
        "conv",
        "batchnorm",
        "instancenorm",
        "pooling",
        "upsampling",
        "padding",
        "pixelshuffle",
        "channelshuffle",
    )
}
_CHANNEL_MODULES = (nn.GroupNorm, nn.LocalResponseNorm, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Softmax2d, nn.Fold)


@dataclass(frozen=True)
class LeafTensor:
    """One tensor in the output of one call of a leaf: a module none of whose parts ran while it did.

    Attributes:
        path: dotted path of the module.
        call: which call of that module, counted from 0.
        selector: the indices, keys or attribute names that lead from the output to the tensor.
        first: whether it is the first tensor of that output.
        module: the module.
        floating: whether it is of a floating dtype.
        rows_first: whether axis 0 counts the rows, one entry each.
        shape: of one row, without the axis that counts rows.
        unit_axis: the axis of the whole tensor that counts units: 1 for channels, else the last; 0 where it has no second axis.
        units: how many there are; 0 where it has no second axis.
    """

    path: str
    call: int
    selector: Selector
    first: bool
    module: nn.Module
    floating: bool
    rows_first: bool
    shape: tuple[int, ...]
    unit_axis: int
    units: int


@dataclass(frozen=True)
class _Call:
    """What the hooks of one run saw of a leaf's call; shapes as they were when it returned."""

    path: str
    call: int
    module: nn.Module
    inputs: tuple[Tensor, ...]
    tensors: tuple[tuple[Selector, Tensor], ...]
    shapes: tuple[tuple[int, ...], ...]


def leaf_tensors(half: Half, inputs: Tensor) -> tuple[LeafTensor, ...]:
    """Run a half on three rows and on two, and list what its leaves return, in execution order.

    Args:
        half: what to run; no TorchScript, whose modules run no hooks. It is to be in eval mode, without gradients.
        inputs: at least one row, shape (rows, width).
    """
    three = _watched(half, _rows(inputs, 3))
    two = {
        (call.path, call.call, selector): shape
        for call in _watched(half, _rows(inputs, 2))
        for (selector, _), shape in zip(call.tensors, call.shapes, strict=True)
    }
    axes = _unit_axes(three)
    return tuple(
        _leaf_tensor(call, number, axis, two.get((call.path, call.call, selector)))
        for call, axis in zip(three, axes, strict=True)
        for number, (selector, _) in enumerate(call.tensors)
    )


def _leaf_tensor(call: _Call, number: int, axis: int, two: tuple[int, ...] | None) -> LeafTensor:
    """Describe tensor ``number`` of a call; ``axis`` counts the units of its first one."""
    (selector, tensor), shape = call.tensors[number], call.shapes[number]
    row_axis, of_one_row = _per_row(shape, two)
    # a module's second tensor (h of a recurrent one, attention weights) need not be laid out as its first
    axis = axis if number == 0 else len(shape) - 1
    has_units = len(shape) > 1
    return LeafTensor(
        path=call.path,
        call=call.call,
        selector=selector,
        first=number == 0,
        module=call.module,
        floating=tensor.is_floating_point(),
        rows_first=row_axis == 0,
        shape=of_one_row,
        unit_axis=axis if has_units else 0,
        units=shape[axis] if has_units and axis != row_axis else 0,
    )


def _rows(inputs: Tensor, count: int) -> Tensor:
    """The first ``count`` rows, from the first again where there are fewer."""
    return inputs.detach()[torch.arange(count, device=inputs.device) % len(inputs)]


def _watched(half: Half, inputs: Tensor) -> list[_Call]:
    """Run once with hooks on every module, and keep the calls inside which no other module ran."""
    calls: list[_Call] = []
    counts: dict[str, int] = {}
    running: list[tuple[nn.Module, list[bool]]] = []

    def before(module: nn.Module, _inputs: Any) -> None:  # noqa: ANN401 - whatever a module takes
        if running:
            running[-1][1].append(True)
        running.append((module, []))

    def after(path: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, keywords: Any, output: Any) -> None:  # noqa: ANN401
            number = counts.get(path, 0)
            counts[path] = number + 1
            # a module that raised, and whose error its caller caught, is still on top
            while running[-1][0] is not module:
                running.pop()
            if running.pop()[1]:
                return
            given = tuple(x for x in (*inputs, *keywords.values()) if isinstance(x, Tensor))
            tensors = tuple(tensors_in(output))
            calls.append(_Call(path, number, module, given, tensors, tuple(tuple(t.shape) for _, t in tensors)))

        return hook

    with ExitStack() as stack:
        for path, module in half.model.named_modules():
            # what a parametrization (weight_norm, spectral_norm) adds to a leaf is no part of it
            if path and "parametrizations" not in path.split("."):
                stack.callback(module.register_forward_pre_hook(before).remove)
                stack.callback(module.register_forward_hook(after(path), with_kwargs=True).remove)
        half.run(inputs)
    return calls


def _per_row(three: tuple[int, ...], two: tuple[int, ...] | None) -> tuple[int | None, tuple[int, ...]]:
    """The axis that counts the rows, one entry each, and the shape of one row, from the shapes for three rows and two."""
    if two is None or len(two) != len(three):
        return None, three
    changed = [axis for axis in range(len(three)) if three[axis] != two[axis]]
    if len(changed) != 1 or three[changed[0]] * 2 != two[changed[0]] * 3:
        return None, three
    axis = changed[0]
    folded = three[axis] // 3  # above 1 where rows share an axis with positions or heads
    if folded > 1:
        return None, (*three[:axis], folded, *three[axis + 1 :])
    return axis, (*three[:axis], *three[axis + 1 :])


def _unit_axes(calls: list[_Call]) -> list[int]:
    """The axis that counts units of each call's first tensor."""
    read_as_channels = {id(x) for call in calls if _takes_channels(call.module) for x in call.inputs}
    axes = []
    width, channels = 0, False  # of the last mixing module: its units, and whether they are channels
    for call in calls:
        shape = call.shapes[0] if call.shapes else ()
        last, mixes = len(shape) - 1, _mixes(call.module)
        if last < 1:
            axes.append(0)
            continue
        if _takes_channels(call.module):
            axis = 1
        elif mixes or _normalises_last(call.module):
            axis = last
        elif width in (shape[1], shape[last]):
            # what follows a layer has that layer's units, on whichever axis they are now
            axis = 1 if shape[1] == width and (channels or shape[last] != width) else last
        else:
            axis = 1 if channels or id(call.tensors[0][1]) in read_as_channels else last
        if mixes:
            width, channels = shape[axis], _takes_channels(call.module)
        axes.append(axis)
    return axes


def _mixes(module: nn.Module) -> bool:
    """Whether it has a weight matrix or kernel; the weights of a normalisation over several axes are none."""
    return not hasattr(module, "normalized_shape") and any(parameter.ndim > 1 for parameter in module.parameters())


def _takes_channels(module: nn.Module) -> bool:
    """Whether torch counts this module's channels on axis 1."""
    return isinstance(module, _CHANNEL_MODULES) or any(
        base.__module__ in _CHANNELS_FIRST for base in type(module).__mro__
    )


def _normalises_last(module: nn.Module) -> bool:
    return len(getattr(module, "normalized_shape", ())) == 1
