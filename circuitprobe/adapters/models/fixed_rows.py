"""A module that takes a fixed number of rows, run on any number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree


class FixedRows(nn.Module):
    """Runs a module in batches of exactly ``rows`` rows; the last is filled up with copies of its last row.

    Rows must not depend on each other, which holds in eval mode. The module's weights are the very same tensors; the module
    itself is not registered, because what it computes inside is in batches, too.

    Args:
        module: what is run.
        rows: how many rows it takes.
    """

    def __init__(self, module: nn.Module, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self._inner = (module,)
        for name, parameter in module.named_parameters():
            self.register_parameter(name.replace(".", "__"), parameter)
        for name, buffer in module.named_buffers():
            self.register_buffer(name.replace(".", "__"), buffer)

    def forward(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - whatever the module takes and returns
        """The module's output for all rows; tensors that are not per row come back one per batch."""
        values, spec = pytree.tree_flatten((arguments, keywords))
        count = next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 0)
        outputs = []
        for start in range(0, count, self.rows):
            batch = [self._batch(value, start, count) for value in values]
            given, named = pytree.tree_unflatten(batch, spec)
            outputs.append(pytree.tree_flatten(self._inner[0](*given, **named)))
        if not outputs:
            return self._inner[0](*arguments, **keywords)
        merged = [self._merged(list(parts), count) for parts in zip(*(flat for flat, _ in outputs), strict=True)]
        return pytree.tree_unflatten(merged, outputs[0][1])

    def _batch(self, value: Any, start: int, count: int) -> Any:  # noqa: ANN401
        if not isinstance(value, Tensor) or not value.ndim or len(value) != count:
            return value
        part = value[start : start + self.rows]
        missing = self.rows - len(part)
        return torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part

    def _merged(self, parts: list[Any], count: int) -> Any:  # noqa: ANN401
        if not isinstance(parts[0], Tensor):
            return parts[0]
        if parts[0].ndim and len(parts[0]) == self.rows:
            return torch.cat(parts)[:count]
        return torch.stack(parts)

    def _apply(self, function: Any, recurse: bool = True) -> FixedRows:  # noqa: ANN401 - torch's own signature
        """Moves and casts reach the module that is run."""
        self._inner[0]._apply(function, recurse)  # type: ignore[no-untyped-call]  # noqa: SLF001
        super()._apply(function, recurse)  # type: ignore[no-untyped-call]
        for name, parameter in self._inner[0].named_parameters():
            self._parameters[name.replace(".", "__")] = parameter
        for name, buffer in self._inner[0].named_buffers():
            self._buffers[name.replace(".", "__")] = buffer
        return self

    def train(self, mode: bool = True) -> FixedRows:
        """Modes reach the module that is run."""
        self._inner[0].train(mode)
        super().train(mode)
        return self
