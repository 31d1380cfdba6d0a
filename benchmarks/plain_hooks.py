"""Plain forward hooks, one intervention at a time, the whole decoder run each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from benchmarks.tasks import Case, Contender, Run, in_stacks


class PlainHooks(Contender):
    """What one writes without a library."""

    name = "plain hooks"

    def outputs(self, case: Case, base: Run, source: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """A hook that overwrites column or channel u of the layer's output."""
        module = case.vae.decoder[layer]
        values = source.activations[layer]

        def patched(unit: int) -> Tensor:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:  # noqa: ANN401
                output[:, unit] = values[:, unit]

            handle = module.register_forward_hook(hook)
            try:
                return case.vae.decode(base.z)
            finally:
                handle.remove()

        return in_stacks(case, (patched(unit) for unit in units), len(units))
