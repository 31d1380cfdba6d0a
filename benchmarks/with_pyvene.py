"""pyvene as its documentation shows it: IntervenableModel with VanillaIntervention, base and source given as inputs.

pyvene runs the source once more for every intervention, as in all of its tutorials. A unit of a layer is a subspace where
the layer's output is (rows, units), and a position where it is (rows, channels, height, width).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.tasks import Case, Contender, Run, in_stacks


class _Wanted(nn.Module):
    """The decoder with what pyvene asks of a model beyond a forward: ``config``, ``device`` and named inputs."""

    def __init__(self, decoder: nn.Sequential) -> None:
        super().__init__()
        self.decoder = decoder
        self.config = SimpleNamespace()
        self.device = torch.device("cpu")

    def forward(self, z: Tensor) -> Tensor:
        output: Tensor = self.decoder(z)
        return output


class WithPyvene(Contender):
    """One intervenable model per layer, made on first use and kept, so that making it is not timed."""

    name = "pyvene"

    def __init__(self) -> None:
        import pyvene  # type: ignore[import-not-found, unused-ignore]

        self._pyvene = pyvene
        self._models: dict[tuple[int, int], Any] = {}

    def model(self, case: Case, layer: int) -> Any:  # noqa: ANN401
        """The intervenable model of a layer."""
        key = (id(case.vae), layer)
        if key not in self._models:
            where = {
                "component": f"decoder[{layer}].output",
                "unit": "pos",
                "intervention_type": self._pyvene.VanillaIntervention,
            }
            # a model type of one's own is made known by an entry, empty where components are named by their paths
            self._pyvene.type_to_module_mapping[_Wanted] = {}
            self._pyvene.type_to_dimension_mapping[_Wanted] = {}
            decoder = copy.deepcopy(case.vae.decoder)  # pyvene changes requires_grad
            self._models[key] = self._pyvene.IntervenableModel(where, model=_Wanted(decoder))
        return self._models[key]

    def outputs(self, case: Case, base: Run, source: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """Unit u of the run on base.z is interchanged with that of the run on source.z."""
        model = self.model(case, layer)
        flat = base.activations[layer].ndim == 2

        def patched(unit: int) -> Tensor:
            where: dict[str, Any] = {"subspaces": unit} if flat else {"unit_locations": {"sources->base": unit}}
            return model(base={"z": base.z}, sources=[{"z": source.z}], **where)[1]  # type: ignore[no-any-return]

        return in_stacks(case, (patched(unit) for unit in units), len(units))
