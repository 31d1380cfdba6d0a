"""METHOD.md sections 1, 3 and 4, written a second time: slow, one intervention and one source at a time, from the text.

Nothing here imports circuitprobe. A network is copied, put into float64 and eval mode, and run from end to end for every
single intervention; forward hooks read and write one place at a time. Results have the field names of the package's.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """A feature: "numeric", "binary", "categorical" or "pixel" (a patch), its dimensions, and its link."""

    name: str
    kind: str
    dims: tuple[int, ...]
    link: str = "identity"


@dataclass(frozen=True)
class Spot:
    """A site: which call of which module in which half, which tensor of its output, and the axis that counts units."""

    half: str
    module: str
    call: int = 0
    axis: int = -1
    selector: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        picked = "".join(f"[{key}]" for key in self.selector)
        return f"{self.module}{picked}" + (f"#{self.call}" if self.call else "")


@dataclass(frozen=True)
class Change:
    """What one run changed: delta_e per end, shape (rows, ends), and one signed vector (rows, entries) per end."""

    delta: Array
    vectors: list[Array]

    @property
    def strength(self) -> Array:
        """E = sqrt(mean delta^2) per row."""
        return np.asarray(np.sqrt(np.mean(self.delta**2, axis=1)))


def dot(a: list[Array], b: list[Array]) -> Array:
    """<a, b> per row over all entries."""
    return np.asarray(sum((u * v).sum(axis=1) for u, v in zip(a, b, strict=True)))


def minus(a: list[Array], b: list[Array]) -> list[Array]:
    return [u - v for u, v in zip(a, b, strict=True)]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is audited; ``model`` is a copy of its own."""

    model: nn.Module
    run_encoder: Callable[[Any, Tensor], Any]
    run_decoder: Callable[[Any, Tensor], Tensor]
    x: Array
    columns: tuple[Column, ...]
    groups: dict[str, tuple[str, ...]]
    sources: Array

    def posterior(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.run_encoder(model, x)
        return (found[0], found[1]) if isinstance(found, tuple) else (found, None)

    def mean(self, model: nn.Module, x: Tensor) -> Tensor:
        return self.posterior(model, x)[0]

    def encoded(self, x: Array) -> tuple[Array, Array | None]:
        """Mean and log-variance, mu and log sigma^2, as arrays."""
        with torch.no_grad():
            mean, log_var = self.posterior(self.model, torch.tensor(x))
        return mean.numpy().copy(), None if log_var is None else log_var.numpy().copy()

    @cached_property
    def z(self) -> Array:
        return self.encoded(self.x)[0]

    @cached_property
    def scale(self) -> Array:
        """s_i = sqrt( Var_x mu_i + mean_x sigma_i^2 )."""
        mean, log_var = self.encoded(self.x)
        variance = mean.var(axis=0) if log_var is None else mean.var(axis=0) + np.exp(log_var).mean(axis=0)
        return np.asarray(np.sqrt(variance))

    def decoded(self, z: Array) -> Tensor:
        return run(self, self.run_decoder, z)[0]

    def output_change(self, after: Tensor, before: Tensor) -> Change:
        """Feature changes between two decoder outputs."""
        deltas, vectors = [], []
        for column in self.columns:
            signed = read(column, after) - read(column, before)
            if column.kind == "numeric":
                signed = signed / self.x[:, column.dims[0]].std()
                deltas.append(np.abs(signed)[:, 0])
            elif column.kind == "binary":
                deltas.append(np.abs(signed)[:, 0])
            elif column.kind == "categorical":
                deltas.append(0.5 * np.abs(signed).sum(axis=1))
            else:
                deltas.append(np.abs(signed).mean(axis=1))
                signed = signed / math.sqrt(len(column.dims))
            vectors.append(signed)
        return Change(np.stack(deltas, axis=1), vectors)

    def latent_change(self, after: Tensor, before: Tensor) -> Change:
        """Latent changes in latent standard deviations between two encoder means."""
        signed = (after - before).numpy() / self.scale
        return Change(np.abs(signed), [signed[:, [i]] for i in range(signed.shape[1])])

    def members(self, group: str) -> list[int]:
        return [f for f, column in enumerate(self.columns) if column.name in self.groups[group]]

    def treated(self, features: Sequence[int], source: Array) -> Array:
        """The rows x with the dimensions of some features taken from the source rows."""
        moved = self.x.copy()
        for f in features:
            for dim in self.columns[f].dims:
                moved[:, dim] = self.x[source, dim]
        return moved

    def with_latent(self, base: Array, latent: int, values: Array) -> Array:
        moved = base.copy()
        moved[:, latent] = values[:, latent]
        return moved


def subject(
    model: nn.Module,
    x: Array,
    encode: Callable[[Any, Tensor], Any],
    decode: Callable[[Any, Tensor], Tensor],
    sources: Sequence[Sequence[int]] | Array,
    columns: Sequence[Column] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Subject:
    """Defaults: one feature per column that is not constant, binary where it holds only 0 and 1; singleton groups."""
    x = np.asarray(x, dtype=np.float64)
    if columns is None:
        varying = [j for j in range(x.shape[1]) if x[:, j].min() < x[:, j].max()]
        columns = [Column(f"x{j}", "binary" if set(x[:, j]) <= {0, 1} else "numeric", (j,)) for j in varying]
    named: Mapping[str, Sequence[str]] = groups or {column.name: (column.name,) for column in columns}
    chosen = {group: tuple(members) for group, members in named.items()}
    own = copy.deepcopy(model).double().eval()
    return Subject(own, encode, decode, x, tuple(columns), chosen, np.atleast_2d(np.asarray(sources)))


def read(column: Column, output: Tensor) -> Array:
    """Values or probabilities of one feature, shape (rows, its dimensions)."""
    part = output[:, list(column.dims)]
    if column.link == "sigmoid":
        part = 1 / (1 + torch.exp(-part))
    elif column.link == "softmax":
        part = torch.exp(part) / torch.exp(part).sum(dim=1, keepdim=True)
    return part.numpy().copy()


Patch = tuple[Spot, "Sequence[int]", Tensor]


def run(
    subject: Subject,
    function: Callable[[Any, Tensor], Tensor],
    start: Array,
    patches: Sequence[Patch] = (),
    record: Sequence[Spot] = (),
) -> tuple[Tensor, dict[Spot, Tensor]]:
    """One forward pass in which some units take given values and some sites are recorded."""
    seen: dict[Spot, Tensor] = {}
    calls: Counter[str] = Counter()

    def hook_for(path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            here = (path, calls[path])
            calls[path] += 1
            for spot in record:
                if (spot.module, spot.call) == here:
                    seen[spot] = pick(output, spot.selector).clone()
            for spot, units, values in patches:
                if (spot.module, spot.call) == here:
                    output = put(output, spot.selector, spot.axis, units, values)
            return output

        return hook

    paths = {spot.module for spot in record} | {spot.module for spot, _, _ in patches}
    handles = [subject.model.get_submodule(path).register_forward_hook(hook_for(path)) for path in sorted(paths)]
    try:
        with torch.no_grad():
            return function(subject.model, torch.tensor(start)).clone(), seen
    finally:
        for handle in handles:
            handle.remove()


def pick(output: Any, selector: tuple[int, ...]) -> Tensor:
    for key in selector:
        output = output[key]
    assert isinstance(output, Tensor)
    return output


def put(output: Any, selector: tuple[int, ...], axis: int, units: Sequence[int], values: Tensor) -> Any:
    """The output with the values of some units replaced, in new tensors."""
    if selector:
        parts = list(output)
        parts[selector[0]] = put(parts[selector[0]], selector[1:], axis, units, values)
        return type(output)(parts)
    replaced = output.clone()
    for u in units:
        replaced.select(axis, u).copy_(values.select(axis, u))
    return replaced


@dataclass(frozen=True)
class InputEffects:
    shift_rows: Array
    info_rows: Array
    group_shift_rows: Array
    group_info_rows: Array

    @property
    def shift(self) -> Array:
        return np.asarray(self.shift_rows.mean(axis=0))

    @property
    def info(self) -> Array:
        return np.asarray(self.info_rows.mean(axis=0))

    @property
    def group_shift(self) -> Array:
        return np.asarray(self.group_shift_rows.mean(axis=0))

    @property
    def group_info(self) -> Array:
        return np.asarray(self.group_info_rows.mean(axis=0))


def inputs(subject: Subject) -> InputEffects:
    """Level 1."""
    alone = [_moved_input(subject, [f]) for f in range(len(subject.columns))]
    together = [_moved_input(subject, subject.members(group)) for group in subject.groups]
    return InputEffects(*(np.stack(part, axis=1) for pairs in (alone, together) for part in zip(*pairs, strict=True)))


def _moved_input(subject: Subject, features: Sequence[int]) -> tuple[Array, Array]:
    """Shift and KL of every latent per row, means over the sources."""
    mean, log_var = subject.encoded(subject.x)
    shifts, infos = np.zeros(mean.shape), np.zeros(mean.shape)
    for source in subject.sources:
        moved, moved_log_var = subject.encoded(subject.treated(features, source))
        with np.errstate(divide="ignore", invalid="ignore"):
            shifts += np.abs(moved - mean) / subject.scale / len(subject.sources)
        if log_var is None or moved_log_var is None:
            infos += math.nan
            continue
        old, new = np.exp(log_var), np.exp(moved_log_var)
        kl = 0.5 * (np.log(old / new) + (new + (moved - mean) ** 2) / old - 1)
        infos += kl / len(subject.sources)
    return shifts, infos


@dataclass(frozen=True)
class ActivationEffects:
    units: list[tuple[str, str, int]]
    strength: Array
    changes: Array
    shift: Array

    @property
    def effect(self) -> Array:
        return np.asarray(self.strength.mean(axis=0))


def widths(subject: Subject, spots: Sequence[Spot]) -> list[int]:
    """Units of each site."""
    return [int(_recorded(subject, spot).shape[spot.axis]) for spot in spots]


def _recorded(subject: Subject, spot: Spot, source: Array | None = None) -> Tensor:
    """A site's activations at baseline, or those of the source rows."""
    rows = np.arange(len(subject.x)) if source is None else source
    if spot.half == "encoder":
        return run(subject, subject.mean, subject.x[rows], record=[spot])[1][spot]
    return run(subject, subject.run_decoder, subject.z[rows], record=[spot])[1][spot]


def activations(subject: Subject, spots: Sequence[Spot]) -> ActivationEffects:
    """Level 3, interchange interventions, unit by unit."""
    units, strengths, changes, shifts = [], [], [], []
    base, count = subject.decoded(subject.z), len(subject.sources)
    for spot, width in zip(spots, widths(subject, spots), strict=True):
        for u in range(width):
            strength, change, shift = np.zeros(1), np.zeros(1), np.zeros(1)
            for source in subject.sources:
                patch = (spot, [u], _recorded(subject, spot, source))
                if spot.half == "encoder":
                    moved = run(subject, subject.mean, subject.x, [patch])[0].numpy()
                    output = subject.decoded(moved)
                    shift = shift + (np.abs(moved - subject.z) / subject.scale).mean(axis=0) / count
                else:
                    output = run(subject, subject.run_decoder, subject.z, [patch])[0]
                    shift = shift + np.full(subject.z.shape[1], math.nan)
                found = subject.output_change(output, base)
                strength = strength + found.strength / count
                change = change + found.delta.mean(axis=0) / count
            units.append((spot.half, spot.name, u))
            strengths.append(strength)
            changes.append(change)
            shifts.append(shift)
    return ActivationEffects(units, np.stack(strengths, axis=1), np.stack(changes), np.stack(shifts))
