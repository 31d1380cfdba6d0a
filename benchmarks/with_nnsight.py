"""nnsight as its documentation shows it: the decoder wrapped once, one trace per intervention."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from benchmarks.tasks import Case, Contender, Run, in_stacks


class WithNnsight(Contender):
    """Wraps on first use; the wrapped model is kept, so that wrapping is not timed."""

    name = "nnsight"

    def __init__(self) -> None:
        import nnsight

        self._wrap = nnsight.NNsight
        self._models: dict[int, Any] = {}

    def model(self, case: Case) -> Any:  # noqa: ANN401
        """The wrapped decoder."""
        if id(case.vae) not in self._models:
            # a copy: wrapping replaces the forward of every module, which would slow the other contenders down
            self._models[id(case.vae)] = self._wrap(copy.deepcopy(case.vae.decoder))
        return self._models[id(case.vae)]

    def outputs(self, case: Case, base: Run, source: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """The layer's output is overwritten at unit u."""
        model = self.model(case)
        values = source.activations[layer]

        def patched(unit: int) -> Any:  # noqa: ANN401
            with model.trace(base.z):
                model[layer].output[:, unit] = values[:, unit]
                output = model.output.save()
            return output  # noqa: RET504 - saved when the trace has ended

        return in_stacks(case, (patched(unit) for unit in units), len(units))

    def path_outputs(self, case: Case, base: Run, moved: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """The sender has its source value; the receiver's layer is held at its baseline, all but unit u."""
        model = self.model(case)
        values = base.activations[layer]

        def patched(unit: int) -> Any:  # noqa: ANN401
            with model.trace(moved.z):
                frozen = values.clone()
                frozen[:, unit] = model[layer].output[:, unit]
                model[layer].output = frozen
                output = model.output.save()
            return output  # noqa: RET504 - saved when the trace has ended

        return in_stacks(case, (patched(unit) for unit in units), len(units))

    def decode(self, case: Case, codes: Tensor) -> Tensor:
        """A trace that saves the output."""
        model = self.model(case)
        with model.trace(codes):
            output = model.output.save()
        result: Tensor = output
        return result
