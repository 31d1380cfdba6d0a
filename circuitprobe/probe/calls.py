"""The leaf calls of one run, in execution order, and how their tensors hang together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.probe.half import Half
from circuitprobe.probe.outputs import Selector, tensors_in

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class LeafCall:
    """One call of a leaf: a module none of whose parts ran while it did.

    Attributes:
        index: place in the execution order.
        path: dotted path of the module.
        call: which call of that module, counted from 0.
        module: the module.
        source: index of the call whose only tensor is this call's only argument, by identity or as a view of all of it;
            None where the argument was made in between.
        argument_shape: shape of that argument per row; () where ``source`` is None.
        axes: the axis that counts rows of each tensor in its output; None for a tensor without one.
        row_bytes: bytes of its output per row.
        work: multiplications per row, of its weights, and its output's elements.
        single: its output is one tensor with the rows on axis 0.
        entangled: its output grows with the rows along no axis that counts them, as where rows x positions are one axis: what
            was recorded for some rows cannot be returned for others.
    """

    index: int
    path: str
    call: int
    module: nn.Module
    source: int | None
    argument_shape: tuple[int, ...]
    axes: tuple[int | None, ...]
    row_bytes: int
    work: int
    single: bool
    entangled: bool = False


@dataclass(frozen=True)
class Calls:
    """All leaf calls of a half.

    Attributes:
        leaves: in execution order.
        output_of: index of the call whose output is the half's output, by identity or as a view; None if made after it.
    """

    leaves: tuple[LeafCall, ...]
    output_of: int | None

    def at(self, path: str, call: int) -> LeafCall | None:
        """The call of a module, None where that module is no leaf or does not run so often."""
        return next((leaf for leaf in self.leaves if leaf.path == path and leaf.call == call), None)


@dataclass
class _Running:
    """A module that is running: its arguments with their versions, and whether no other has run inside it so far."""

    arguments: list[tuple[Tensor, int]]
    is_leaf: bool = True


@dataclass
class _Seen:
    """What the hooks of one run saw of a call."""

    path: str
    call: int
    module: nn.Module
    arguments: list[tuple[Tensor, int]]
    bare: bool
    output: Any
    version: int


def find_calls(half: Half, inputs: Tensor) -> Calls:
    """Run a half on three rows and on two, and read off its leaf calls.

    Args:
        half: what to run.
        inputs: at least three rows.
    """
    three, result = _watched(half, inputs[:3])
    two, _ = _watched(half, inputs[:2])
    if [(s.path, s.call) for s in three] != [(s.path, s.call) for s in two]:
        return Calls((), None)
    leaves = []
    for index, (seen, again) in enumerate(zip(three, two, strict=True)):
        tensors = [tensor for _, tensor in tensors_in(seen.output)]
        fewer = [tensor for _, tensor in tensors_in(again.output)]
        axes = tuple(_row_axis(a, b) for a, b in zip(tensors, fewer, strict=True))
        source = _source(seen, three[:index])
        leaves.append(
            LeafCall(
                index,
                seen.path,
                seen.call,
                seen.module,
                source,
                () if source is None else tuple(seen.arguments[0][0].shape[1:]),
                axes,
                sum(t.numel() * t.element_size() for t, axis in zip(tensors, axes, strict=True) if axis is not None)
                // 3,
                _work(seen.module, tensors) // 3,
                isinstance(seen.output, Tensor) and axes == (0,),
                any(axis is None and a.shape != b.shape for axis, a, b in zip(axes, tensors, fewer, strict=True)),
            )
        )
    whole = [
        i
        for i, seen in enumerate(three)
        if isinstance(seen.output, Tensor) and _same(seen.output, result) and result._version == seen.version  # noqa: SLF001
    ]
    return Calls(tuple(leaves), whole[-1] if whole and leaves[whole[-1]].single else None)


def _watched(half: Half, inputs: Tensor) -> tuple[list[_Seen], Tensor]:
    """Run once with hooks on every module; a module is a leaf of this run where no other ran inside it."""
    seen: list[_Seen] = []
    counts: dict[str, int] = {}
    running: list[_Running] = []

    def before(_module: nn.Module, arguments: Any) -> None:  # noqa: ANN401
        if running:
            running[-1].is_leaf = False
        # the versions before the module ran: it may work in place
        running.append(_Running([(item, item._version) for item in arguments if isinstance(item, Tensor)]))  # noqa: SLF001

    def after(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, keywords: Any, output: Any) -> None:  # noqa: ANN401
            number = counts.get(path, 0)
            counts[path] = number + 1
            entered = running.pop()
            if entered.is_leaf:
                version = output._version if isinstance(output, Tensor) else 0  # noqa: SLF001
                bare = len(arguments) == 1 and not keywords
                seen.append(_Seen(path, number, module, entered.arguments, bare, output, version))

        return hook

    with ExitStack() as stack:
        for path, module in half.model.named_modules():
            if "parametrizations" in path.split("."):
                continue
            stack.callback(module.register_forward_pre_hook(before, prepend=True).remove)
            stack.callback(module.register_forward_hook(after(path), with_kwargs=True).remove)
        result = half.run(inputs)
    return seen, result


def _work(module: nn.Module, outputs: Sequence[Tensor]) -> int:
    """Multiplications of one call: every weight is used once per position."""
    elements = sum(tensor.numel() for tensor in outputs)
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.ndim >= 2 and outputs:
        # one output element of a linear layer or convolution reads a whole row of the weight; of a transposed convolution
        # its share of it
        width = weight.shape[1] * weight[0, 0].numel() if isinstance(module, (nn.Linear, *_CONVOLUTIONS)) else 0
        if isinstance(module, _TRANSPOSED):
            steps = [int(s) for s in module.stride]
            width = weight.shape[0] * weight[0, 0].numel() // max(1, int(torch.tensor(steps).prod()))
        if width:
            return elements * width
    return elements + sum(parameter.numel() for parameter in module.parameters()) * (
        outputs[0].shape[0] if outputs else 1
    )


def _row_axis(three: Tensor, two: Tensor) -> int | None:
    """The first axis that is 3 long for three rows and 2 long for two."""
    if three.ndim != two.ndim:
        return None
    changed = [axis for axis in range(three.ndim) if three.shape[axis] != two.shape[axis]]
    return changed[0] if len(changed) == 1 and three.shape[changed[0]] == 3 else None


def _source(seen: _Seen, earlier: list[_Seen]) -> int | None:
    """The latest call whose output is the argument."""
    if not seen.bare or len(seen.arguments) != 1:
        return None
    argument, version = seen.arguments[0]
    for index in range(len(earlier) - 1, -1, -1):
        output = earlier[index].output
        if isinstance(output, Tensor) and _same(output, argument):
            # what was written into after the call that made it is no longer that call's output
            return index if version == earlier[index].version else None
    return None


def _same(tensor: Tensor, other: Tensor) -> bool:
    """The same tensor, or a view of all of it in the same order."""
    if tensor is other:
        return True
    return (
        tensor.device == other.device
        and tensor.dtype == other.dtype
        and tensor.numel() == other.numel()
        and tensor.shape[:1] == other.shape[:1]
        and tensor.is_contiguous()
        and other.is_contiguous()
        and tensor.numel() > 0
        and tensor.data_ptr() == other.data_ptr()
        and tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    )


def rows_of(tensor: Tensor, axis: int | None, rows: Tensor) -> Tensor:
    """Some rows of a recorded tensor."""
    return tensor if axis is None else tensor.index_select(axis, rows)


def stand_in(tensor: Tensor, axis: int | None, count: int) -> Tensor:
    """A tensor of the shape that ``count`` rows would have, made of the first row without using memory."""
    if axis is None:
        return tensor
    shape = list(tensor.shape)
    shape[axis] = count
    return tensor.narrow(axis, 0, 1).expand(shape)


def noise_like(tensor: Tensor, axis: int | None, count: int, generator: torch.Generator) -> Tensor:
    """Random numbers in the shape of ``stand_in``, to find out whether anybody reads it."""
    shape = list(tensor.shape)
    if axis is not None:
        shape[axis] = count
    if not tensor.is_floating_point():
        return stand_in(tensor, axis, count)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(tensor)


__all__ = ["Calls", "LeafCall", "Selector", "find_calls", "noise_like", "rows_of", "stand_in"]
