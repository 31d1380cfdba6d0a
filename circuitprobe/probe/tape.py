"""A recorded run: every leaf's output on some rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.probe.calls import Calls, rows_of, stand_in
from circuitprobe.probe.half import Half
from circuitprobe.probe.outputs import tensors_in, with_tensors


@dataclass(frozen=True)
class Tape:
    """One run on some rows.

    Attributes:
        inputs: what went in, shape (rows, width).
        output: what came out, shape (rows, width).
        outputs: what each leaf call returned, cloned, by index.
    """

    inputs: Tensor
    output: Tensor
    outputs: dict[int, Any]

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.inputs)


def record(half: Half, calls: Calls, inputs: Tensor) -> Tape:
    """Run once and keep every leaf's output."""
    outputs: dict[int, Any] = {}
    counts: dict[str, int] = {}
    index = {(leaf.path, leaf.call): leaf.index for leaf in calls.leaves}

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401 - whatever a module returns
            number = counts.get(path, 0)
            counts[path] = number + 1
            if (path, number) in index:
                clones = {
                    selector: tensor.detach().clone(memory_format=torch.contiguous_format)
                    for selector, tensor in tensors_in(output)
                }
                outputs[index[path, number]] = with_tensors(output, clones)

        return hook

    with ExitStack() as stack:
        for path, module in {leaf.path: leaf.module for leaf in calls.leaves}.items():
            stack.callback(module.register_forward_hook(keep(path)).remove)
        output = half.run(inputs)
    return Tape(inputs, output, outputs)


def joined(tapes: Sequence[Tape], calls: Calls) -> Tape:
    """Runs on consecutive rows as one."""
    if len(tapes) == 1:
        return tapes[0]
    outputs = {leaf.index: _joined([tape.outputs[leaf.index] for tape in tapes], leaf.axes) for leaf in calls.leaves}
    return Tape(torch.cat([tape.inputs for tape in tapes]), torch.cat([tape.output for tape in tapes]), outputs)


def _joined(outputs: Sequence[Any], axes: tuple[int | None, ...]) -> Any:  # noqa: ANN401 - whatever a module returns
    columns = zip(*(list(tensors_in(output)) for output in outputs), strict=True)
    whole = {
        parts[0][0]: parts[0][1] if axis is None else torch.cat([tensor for _, tensor in parts], axis)
        for parts, axis in zip(columns, axes, strict=True)
    }
    return with_tensors(outputs[0], whole)


def for_rows(output: Any, axes: tuple[int | None, ...], rows: Tensor) -> Any:  # noqa: ANN401
    """A recorded output for some of its rows."""
    if isinstance(output, Tensor):
        return rows_of(output, axes[0], rows)
    found = list(tensors_in(output))
    return with_tensors(output, {s: rows_of(t, axis, rows) for (s, t), axis in zip(found, axes, strict=True)})


def shaped_for(output: Any, axes: tuple[int | None, ...], count: int) -> Any:  # noqa: ANN401
    """Something of the recorded output's shape for ``count`` rows, for callers who do not read it."""
    if isinstance(output, Tensor):
        return stand_in(output, axes[0], count)
    found = list(tensors_in(output))
    return with_tensors(output, {s: stand_in(t, axis, count) for (s, t), axis in zip(found, axes, strict=True)})
