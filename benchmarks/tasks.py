"""What is timed: cases, runs, and the figures of each task, measured by the same code for every contender.

A contender gives one thing: the decoder's output while one unit takes its value from another run (``Contender.outputs``).
All figures follow from it, and are those of METHOD.md: changes delta_f, effects E, recovered shares, TE, NIE, NDE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models import SIDE, BenchVAE, conv_vae, images, mlp_vae, table
from circuitprobe.stats.corrected import bootstrap_p, holm_sidak
from circuitprobe.types import Decode, Feature, FeatureKind

STACK_BYTES = 2 * 2**20
PATCH = 8

Units = Mapping[int, Sequence[int]]
Figures = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A model, its rows and what is intervened on.

    Attributes:
        name: "mlp" or "conv".
        vae: the model.
        x: shape (rows, dims).
        features: F numeric columns, or F image patches.
        scale: s_f of numeric features, shape (F,); None for patches.
        sources: shape (1, rows): row j takes values from row sources[0, j].
        layers: decoder layer -> number of its units (channels for convolutions); a layer is an index into ``vae.decoder``.
        widest: floats of the widest activation of one row.
    """

    name: str
    vae: BenchVAE
    x: Tensor
    features: tuple[Feature, ...]
    scale: Tensor | None
    sources: np.ndarray
    layers: Mapping[int, int]
    widest: int

    def sample(self, stride: int) -> dict[int, range]:
        """Every ``stride``-th unit of each layer."""
        return {layer: range(0, count, stride) for layer, count in self.layers.items()}

    def stack(self, layer_rows: int | None = None) -> int:
        """Interventions per stacked run that keep the widest activation near 2 MB, at least one."""
        return max(1, STACK_BYTES // (4 * self.widest * (layer_rows or len(self.x))))

    def changes(self, difference: Tensor) -> Tensor:
        """delta_f, shape (..., rows, F), from output differences (..., rows, dims)."""
        return self._per_feature(difference.abs(), 1)

    def products(self, first: Tensor, second: Tensor) -> Tensor:
        """Inner products of the signed change vectors per feature, shape (..., rows, F)."""
        return self._per_feature(first * second, 2)

    def _per_feature(self, values: Tensor, power: int) -> Tensor:
        if self.scale is not None:
            return values / self.scale**power
        maps = values.reshape(-1, 1, SIDE, SIDE)
        return nn.functional.avg_pool2d(maps, PATCH).reshape(*values.shape[:-1], -1)


def mlp_case(rows: int, width: int = 256, dims: int = 64) -> Case:
    """The MLP VAE with all units of its decoder's two hidden layers."""
    x = table(rows, dims)
    features = tuple(Feature(f"x{i}", FeatureKind.NUMERIC, (i,), Decode((i,))) for i in range(dims))
    scale = x.std(dim=0, correction=0)
    return Case("mlp", mlp_vae(width, dims), x, features, scale, _sources(rows), {1: width, 3: width}, max(width, dims))


def conv_case(rows: int) -> Case:
    """The conv VAE with its 256 fully connected units and all channels of the hidden transposed convolutions."""
    number = (
        torch.arange(SIDE**2).reshape(SIDE // PATCH, PATCH, SIDE // PATCH, PATCH).transpose(1, 2).reshape(-1, PATCH**2)
    )
    features = tuple(
        Feature(f"p{i}", FeatureKind.PIXEL, tuple(dims), Decode(tuple(dims))) for i, dims in enumerate(number.tolist())
    )
    layers = {1: 256, 6: 64, 8: 32, 10: 32}
    return Case("conv", conv_vae(), images(rows), features, None, _sources(rows), layers, 32 * 32 * 32)


def _sources(rows: int) -> np.ndarray:
    return np.roll(np.arange(rows), 1 + rows // 3)[None]


@dataclass(frozen=True)
class Run:
    """One run of the decoder with the activations of the layers concerned."""

    z: Tensor
    output: Tensor
    activations: Mapping[int, Tensor]


def run(case: Case, z: Tensor) -> Run:
    """Run layer by layer and keep what is wanted."""
    kept, hidden = {}, z
    for number, module in enumerate(case.vae.decoder):
        hidden = module(hidden)
        if number in case.layers:
            kept[number] = hidden.clone()
    return Run(z, hidden, kept)


@dataclass(frozen=True)
class Runs:
    """The runs that a task's interventions take values from: shared by all contenders, made once per task.

    Attributes:
        base: at mu(x).
        source: at mu of the source rows.
        senders: for each sender i, at mu(x) with z_i from the source row.
    """

    base: Run
    source: Run
    senders: Mapping[int, Run]


@torch.no_grad()
def prepare(case: Case, senders: Sequence[int] = ()) -> Runs:
    """Encode and decode."""
    z = case.vae.encode(case.x)[0]
    other = z[torch.as_tensor(case.sources[0])]
    moved = {}
    for i in senders:
        code = z.clone()
        code[:, i] = other[:, i]
        moved[i] = run(case, code)
    return Runs(run(case, z), run(case, other), moved)


class Contender(ABC):
    """A way to run the decoder with one unit taking its value from another run."""

    name: str

    @abstractmethod
    def outputs(self, case: Case, base: Run, source: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """Outputs on base.z while unit u takes its value in ``source``: stacks (n, rows, dims), in the order of units."""

    def path_outputs(self, case: Case, base: Run, moved: Run, layer: int, units: Sequence[int]) -> Iterator[Tensor]:
        """Outputs of sender -> unit u -> output: the same, for contenders that have no other way to say it."""
        return self.outputs(case, base, moved, layer, units)

    def decode(self, case: Case, codes: Tensor) -> Tensor:
        """The output at codes (rows, latents): interventions on latents need no more than the model itself."""
        return case.vae.decode(codes)


def in_stacks(case: Case, outputs: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """Single outputs (rows, dims) gathered in one buffer of about 2 MB, so that measuring is vectorised for everybody."""
    size = max(1, STACK_BYTES // (4 * case.x.numel()))
    buffer = case.x.new_empty(min(size, count), *case.x.shape)
    filled = 0
    for output in outputs:
        buffer[filled] = output
        filled += 1
        if filled == len(buffer):
            yield buffer
            filled = 0
    if filled:
        yield buffer[:filled]


@torch.no_grad()
def sweep(contender: Contender, case: Case, values: np.ndarray) -> Figures:
    """Level 2: do(z_i := v_ik): effect matrix e_{i,f} and mean E per row."""
    z = case.vae.encode(case.x)[0]
    base = contender.decode(case, z)

    def outputs(i: int) -> Iterator[Tensor]:
        for value in values[i]:
            code = z.clone()
            code[:, i] = float(value)
            yield contender.decode(case, code)

    effects, strength = [], []
    for i, row in enumerate(values):
        changes = [case.changes(stack - base) for stack in in_stacks(case, outputs(i), len(row))]
        effects.append(torch.cat([c.mean(dim=1) for c in changes]).mean(dim=0))
        strength.append(torch.cat([_effect(c) for c in changes]).mean(dim=0))
    return _arrays(effects=torch.stack(effects), strength=torch.stack(strength, dim=1))


@torch.no_grad()
def unit_patching(contender: Contender, case: Case, runs: Runs, units: Units) -> Figures:
    """Level 3, interchange: E per row and unit, mean delta_f per unit."""
    strength, changes = [], []
    for layer, chosen in units.items():
        for stack in contender.outputs(case, runs.base, runs.source, layer, chosen):
            change = case.changes(stack - runs.base.output)
            strength.append(_effect(change))
            changes.append(change.mean(dim=1))
    return _arrays(strength=torch.cat(strength).T, changes=torch.cat(changes))


@torch.no_grad()
def path_patching(contender: Contender, case: Case, runs: Runs, units: Units) -> Figures:
    """Level 3, latent -> unit -> output: E, mean delta_f and recovered share per sender and unit."""
    rows: dict[str, list[Tensor]] = {"strength": [], "changes": [], "recovered": []}
    for moved in runs.senders.values():
        total = moved.output - runs.base.output
        whole = case.products(total, total).sum()
        parts: dict[str, list[Tensor]] = {name: [] for name in rows}
        for layer, chosen in units.items():
            for stack in contender.path_outputs(case, runs.base, moved, layer, chosen):
                difference = stack - runs.base.output
                change = case.changes(difference)
                parts["strength"].append(_effect(change).mean(dim=1))
                parts["changes"].append(change.mean(dim=1))
                parts["recovered"].append(case.products(difference, total).sum(dim=(1, 2)) / whole)
        for name, tensors in parts.items():
            rows[name].append(torch.cat(tensors))
    return _arrays(**{name: torch.stack(tensors) for name, tensors in rows.items()})


@torch.no_grad()
def unit_mediation(contender: Contender, case: Case, runs: Runs, units: Units) -> Figures:
    """Level 4, latent -> unit -> output: RMS of NIE, NDE and interaction and the mediated share, per (sender, unit, feature)."""
    senders: list[dict[str, Tensor]] = []
    for moved in runs.senders.values():
        parts = []
        for layer, chosen in units.items():
            through = contender.path_outputs(case, runs.base, moved, layer, chosen)
            held = contender.outputs(case, moved, runs.base, layer, chosen)
            parts += [
                mediated(case, runs.base.output, moved.output, nie, nde) for nie, nde in zip(through, held, strict=True)
            ]
        senders.append({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    return _arrays(**{name: torch.stack([sender[name] for sender in senders]) for name in senders[0]})


def mediated(case: Case, base: Tensor, total: Tensor, nie_run: Tensor, nde_run: Tensor) -> dict[str, Tensor]:
    """NIE, NDE, interaction (RMS over rows) and mediated share, each (n, features), from stacks of outputs (n, rows, dims)."""
    effect, nie, nde = total - base, nie_run - base, nde_run - base
    rest = effect - nie - nde
    whole = case.products(effect, effect).sum(dim=0)
    return {
        "nie": case.products(nie, nie).mean(dim=1).sqrt(),
        "nde": case.products(nde, nde).mean(dim=1).sqrt(),
        "interaction": case.products(rest, rest).mean(dim=1).sqrt(),
        "proportion": case.products(nie, effect).sum(dim=1) / whole,
    }


@torch.no_grad()
def group_mediation(contender: Contender, case: Case, groups: Sequence[Sequence[int]]) -> Figures:
    """Level 4, group -> latent -> group: RMS of NIE, NDE and interaction, per (group, latent, group), and their tests."""
    z = case.vae.encode(case.x)[0]
    base = contender.decode(case, z)
    other = case.x[torch.as_tensor(case.sources[0])]
    figures: dict[str, list[Tensor]] = {"nie": [], "nde": [], "interaction": []}
    agreement = []
    for group in groups:
        treated = case.x.clone()
        treated[:, list(group)] = other[:, list(group)]
        moved = case.vae.encode(treated)[0]
        effect = contender.decode(case, moved) - base
        runs = [contender.decode(case, code) - base for i in range(z.shape[1]) for code in _swapped(z, moved, i)]
        stack = torch.stack(runs).reshape(z.shape[1], 2, *base.shape)
        nie, nde = stack[:, 0], stack[:, 1]
        for name, part in (("nie", nie), ("nde", nde), ("interaction", effect - nie - nde)):
            squares = case.products(part, part)
            figures[name].append(torch.stack([squares[..., list(h)].mean(dim=(1, 2)).sqrt() for h in groups], dim=1))
        inner = case.products(nie, effect)
        agreement.append(torch.stack([inner[..., list(h)].sum(dim=2) for h in groups], dim=2))
    # no contender brings such a test: all take circuitprobe's
    p = holm_sidak(bootstrap_p(torch.stack(agreement).permute(2, 0, 1, 3).double().numpy(), seed=0))
    return {**_arrays(**{name: torch.stack(parts) for name, parts in figures.items()}), "p_corrected": p}


def _swapped(z: Tensor, moved: Tensor, latent: int) -> Iterator[Tensor]:
    for into, taken in ((z, moved), (moved, z)):
        code = into.clone()
        code[:, latent] = taken[:, latent]
        yield code


def _effect(change: Tensor) -> Tensor:
    return change.square().mean(dim=-1).sqrt()


def _arrays(**tensors: Tensor) -> Figures:
    return {name: tensor.double().numpy() for name, tensor in tensors.items()}
