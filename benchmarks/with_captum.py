"""captum: LayerFeatureAblation with the other run's activations as the layer's baselines.

captum ablates one unit after the other, several at once along the batch (``perturbations_per_eval``). Its attributions are
differences of the forward function's output; as they would have to be kept for every output of every row, the forward
function puts aside the outputs themselves and returns one number per row, which is the cheapest way to all figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.tasks import Case, Contender, Run


class WithCaptum(Contender):
    """Layer by layer."""

    name = "captum"

    def __init__(self) -> None:
        from captum.attr import LayerFeatureAblation  # type: ignore[import-not-found, unused-ignore]

        self._ablation = LayerFeatureAblation

    def outputs(self, case: Case, base: Run, source: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """Each unit is a group of the layer mask; units that are not wanted are one more group, which is dropped."""
        seen: list[Tensor] = []

        def forward(z: Tensor) -> Tensor:
            output = case.vae.decode(z)
            seen.append(output)
            return output[:, 0]

        rows, at_once = len(base.z), case.stack()
        self._ablation(forward, case.vae.decoder[layer]).attribute(
            base.z,
            layer_baselines=source.activations[layer],
            layer_mask=_mask(base.activations[layer], units),
            perturbations_per_eval=at_once,
        )
        # before the ablations captum runs the model twice as it is
        left = len(units)
        for output in seen[2:]:
            stack = output.reshape(-1, rows, output.shape[1])[:left]
            left -= len(stack)
            if len(stack):
                yield stack


def _mask(activation: Tensor, units: Sequence[int]) -> Tensor:
    """Group numbers, shape (1, units, 1, ...): the position of a unit in ``units``, len(units) for all others."""
    groups = torch.full((activation.shape[1],), len(units))
    groups[torch.as_tensor(list(units))] = torch.arange(len(units))
    return groups.reshape(1, -1, *(1 for _ in activation.shape[2:])).expand(1, *activation.shape[1:])
