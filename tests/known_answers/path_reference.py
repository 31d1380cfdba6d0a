"""The second half of ``intervention_reference``: path-specific patching, circuits and mediation, slow and from the text."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .intervention_reference import dot, minus, run, widths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .intervention_reference import Array, Change, Patch, Spot, Subject


@dataclass(frozen=True)
class Half:
    """One half of the model as paths see it: what runs, on what, from which senders to which ends."""

    run: Callable[[Any, Tensor], Tensor]
    start: Array
    senders: tuple[str, ...]
    ends: tuple[str, ...]
    change: Callable[[Tensor, Tensor], Change]


def half_of(subject: Subject, side: str) -> Half:
    latents = tuple(f"z{i}" for i in range(subject.z.shape[1]))
    if side == "decoder":
        names = tuple(column.name for column in subject.columns)
        return Half(subject.run_decoder, subject.z, latents, names, subject.output_change)
    return Half(subject.mean, subject.x, tuple(subject.groups), latents, subject.latent_change)


def sent(subject: Subject, side: str, sender: str, source: Array) -> Array:
    """The input of the half when the sender takes its source value."""
    if side == "decoder":
        return subject.with_latent(subject.z, int(sender[1:]), subject.z[source])
    if sender in subject.groups:
        return subject.treated(subject.members(sender), source)
    return subject.treated([f for f, column in enumerate(subject.columns) if column.name == sender], source)


@dataclass(frozen=True)
class Circuit:
    sender: str
    site: str
    units: tuple[int, ...]
    faithfulness: float
    completeness: float
    complete: bool

    @property
    def size(self) -> int:
        return len(self.units)


@dataclass(frozen=True)
class PathEffects:
    senders: tuple[str, ...]
    ends: tuple[str, ...]
    layers: tuple[str, ...]
    units: list[tuple[str, str, int]]
    strength: Array
    changes: Array
    recovered: Array
    total: Array
    additivity: Array
    circuits: list[Circuit]

    def overlap(self, site: str) -> Array:
        """Jaccard of the senders' circuits in one layer; nan where either is empty."""
        sets = [set(c.units) for s in self.senders for c in self.circuits if (c.sender, c.site) == (s, site)]
        return np.array([[len(a & b) / len(a | b) if a and b else math.nan for b in sets] for a in sets])


@functools.lru_cache(maxsize=64)
def base_output(subject: Subject, side: str) -> Tensor:
    """The half's output without an intervention."""
    half = half_of(subject, side)
    return run(subject, half.run, half.start)[0]


@functools.lru_cache(maxsize=1024)
def sender_run(subject: Subject, side: str, sender: str, number: int, spot: Spot) -> tuple[Change, Tensor]:
    """The sender's total change for one source, and the site's activations in that run."""
    half = half_of(subject, side)
    total, seen = run(subject, half.run, sent(subject, side, sender, subject.sources[number]), record=[spot])
    return half.change(total, base_output(subject, side)), seen[spot]


@dataclass(frozen=True)
class Share:
    """Of a set of receivers together: E and feature changes, means over rows and sources, and the recovered share."""

    strength: float
    changes: Array
    recovered: float


def joint(subject: Subject, side: str, sender: str, spot: Spot, units: Sequence[int]) -> Share:
    """Sender -> these units -> output: they take the values they have in the sender's run, all else starts at baseline."""
    half, count = half_of(subject, side), len(subject.sources)
    base = base_output(subject, side)
    strength, changes, along, whole = 0.0, np.zeros(len(half.ends)), 0.0, 0.0
    for number in range(count):
        t, seen = sender_run(subject, side, sender, number, spot)
        b = half.change(run(subject, half.run, half.start, [(spot, units, seen)])[0], base)
        strength += float(b.strength.mean()) / count
        changes += b.delta.mean(axis=0) / count
        along += float(dot(b.vectors, t.vectors).sum())
        whole += float(dot(t.vectors, t.vectors).sum())
    return Share(strength, changes, along / whole if whole > 0 else math.nan)


def total_strength(subject: Subject, side: str, sender: str) -> float:
    half = half_of(subject, side)
    base = run(subject, half.run, half.start)[0]
    runs = [run(subject, half.run, sent(subject, side, sender, source))[0] for source in subject.sources]
    return float(np.mean([half.change(after, base).strength.mean() for after in runs]))


def circuit(subject: Subject, side: str, sender: str, spot: Spot, strength: Array, share: float) -> Circuit:
    """Units added by strength, largest first, ties by lower number, until the recovered share is reached."""
    if math.isnan(joint(subject, side, sender, spot, []).recovered):
        return Circuit(sender, spot.name, (), math.nan, math.nan, complete=False)
    order = sorted(range(len(strength)), key=lambda u: (-strength[u], u))
    chosen = [u for u in order if strength[u] > 0]
    complete = False
    for size in range(1, len(chosen) + 1):
        if joint(subject, side, sender, spot, chosen[:size]).recovered >= share:
            chosen, complete = chosen[:size], True
            break
    rest = [u for u in range(len(strength)) if u not in chosen]
    alone = joint(subject, side, sender, spot, chosen).recovered
    return Circuit(
        sender, spot.name, tuple(chosen), alone, joint(subject, side, sender, spot, rest).recovered, complete
    )


def paths(
    subject: Subject,
    spots: Sequence[Spot],
    side: str = "decoder",
    senders: Sequence[str] | None = None,
    share: float = 0.9,
) -> PathEffects:
    """Level 3, path-specific patching."""
    half = half_of(subject, side)
    chosen, sizes = tuple(senders or half.senders), widths(subject, spots)
    units = [(spot, u) for spot, size in zip(spots, sizes, strict=True) for u in range(size)]
    found = [[joint(subject, side, sender, spot, [u]) for spot, u in units] for sender in chosen]
    total = [total_strength(subject, side, sender) for sender in chosen]
    additivity = np.full((len(chosen), len(spots)), math.nan)
    circuits = []
    for number, sender in enumerate(chosen):
        for layer, (spot, size) in enumerate(zip(spots, sizes, strict=True)):
            if total[number] > 0:
                everything = joint(subject, side, sender, spot, range(size)).strength
                additivity[number, layer] = everything / total[number]
            strength = [f.strength for f, (where, _) in zip(found[number], units, strict=True) if where == spot]
            circuits.append(circuit(subject, side, sender, spot, np.array(strength), share))
    return PathEffects(
        senders=chosen,
        ends=half.ends,
        layers=tuple(spot.name for spot in spots),
        units=[(spot.half, spot.name, u) for spot, u in units],
        strength=np.array([[f.strength for f in row] for row in found]),
        changes=np.array([[f.changes for f in row] for row in found]),
        recovered=np.array([[f.recovered for f in row] for row in found]),
        total=np.array(total),
        additivity=additivity,
        circuits=circuits,
    )


@dataclass(frozen=True)
class PathEffect:
    ends: tuple[str, ...]
    changes: Array
    strength_rows: Array

    @property
    def strength(self) -> float:
        return float(self.strength_rows.mean())


def path(subject: Subject, sender: str, steps: Sequence[tuple[Spot, int]]) -> PathEffect:
    """Sender -> u -> v ... -> output: at each layer only the named unit moves."""
    side = steps[0][0].half
    half, count = half_of(subject, side), len(subject.sources)
    base = run(subject, half.run, half.start)[0]
    changes, strength = np.zeros(len(half.ends)), np.zeros(len(subject.x))
    for source in subject.sources:
        start = sent(subject, side, sender, source)
        patches: list[Patch] = []
        for spot, unit in steps:
            seen = run(subject, half.run, start, patches, [spot])[1]
            start, patches = half.start, [(spot, [unit], seen[spot])]
        found = half.change(run(subject, half.run, half.start, patches)[0], base)
        changes += found.delta.mean(axis=0) / count
        strength += found.strength / count
    return PathEffect(half.ends, changes, strength)


@dataclass(frozen=True)
class Parts:
    """TE, NIE and NDE of one treatment and mediator: one signed vector (rows, entries) per feature and source."""

    te: list[list[Array]]
    nie: list[list[Array]]
    nde: list[list[Array]]

    def rms(self, which: str, features: Sequence[int]) -> float:
        """sqrt( mean over rows, sources of (1/|h|) sum_{f in h} |v_f|^2 )."""
        if which == "interaction":
            runs = [minus(minus(a, b), c) for a, b, c in zip(self.te, self.nie, self.nde, strict=True)]
        else:
            runs = getattr(self, which)
        squares = [np.mean([(vectors[f] ** 2).sum(axis=1) for f in features], axis=0) for vectors in runs]
        return math.sqrt(float(np.mean(squares)))

    def product(self, a: str, b: str, features: Sequence[int]) -> Array:
        """<a, b> per row over the features' entries, mean over the sources."""
        pairs = zip(getattr(self, a), getattr(self, b), strict=True)
        return np.asarray(np.mean([dot([u[f] for f in features], [v[f] for f in features]) for u, v in pairs], axis=0))


@dataclass(frozen=True)
class Mediated:
    """Shapes (treatments, mediators, outcomes), te (treatments, outcomes), agreement (rows, ...)."""

    te: Array
    nie: Array
    nde: Array
    interaction: Array
    proportion: Array
    agreement: Array


def _table(subject: Subject, parts: list[list[Parts]]) -> Mediated:
    outcomes = [subject.members(group) for group in subject.groups]

    def tabulated(number: Callable[[Parts, list[int]], Any]) -> Array:
        return np.array([[[number(part, h) for h in outcomes] for part in row] for row in parts])

    def proportion(part: Parts, h: list[int]) -> float:
        whole = float(part.product("te", "te", h).sum())
        return float(part.product("nie", "te", h).sum()) / whole if whole > 0 else math.nan

    return Mediated(
        te=tabulated(lambda part, h: part.rms("te", h))[:, 0],
        nie=tabulated(lambda part, h: part.rms("nie", h)),
        nde=tabulated(lambda part, h: part.rms("nde", h)),
        interaction=tabulated(lambda part, h: part.rms("interaction", h)),
        proportion=tabulated(proportion),
        agreement=np.moveaxis(tabulated(lambda part, h: part.product("nie", "te", h)), -1, 0),
    )


def mediation(subject: Subject) -> Mediated:
    """Level 4: feature group -> latent -> feature group."""
    base = subject.decoded(subject.z)

    def vectors(z: Array) -> list[Array]:
        return subject.output_change(subject.decoded(z), base).vectors

    parts = []
    for group in subject.groups:
        codes = [subject.encoded(subject.treated(subject.members(group), source))[0] for source in subject.sources]
        te = [vectors(code) for code in codes]
        row = []
        for i in range(subject.z.shape[1]):
            nie = [vectors(subject.with_latent(subject.z, i, code)) for code in codes]
            nde = [vectors(subject.with_latent(code, i, subject.z)) for code in codes]
            row.append(Parts(te, nie, nde))
        parts.append(row)
    return _table(subject, parts)


def unit_mediation(subject: Subject, spots: Sequence[Spot]) -> Mediated:
    """Latent -> decoder unit -> feature group."""
    base = subject.decoded(subject.z)
    baseline = {spot: run(subject, subject.run_decoder, subject.z, record=[spot])[1][spot] for spot in spots}

    def vectors(start: Array, spot: Spot, unit: int, values: Tensor) -> list[Array]:
        output = run(subject, subject.run_decoder, start, [(spot, [unit], values)])[0]
        return subject.output_change(output, base).vectors

    parts = []
    for i in range(subject.z.shape[1]):
        codes = [subject.with_latent(subject.z, i, subject.z[source]) for source in subject.sources]
        te = [subject.output_change(subject.decoded(code), base).vectors for code in codes]
        row = []
        for spot, width in zip(spots, widths(subject, spots), strict=True):
            seen = [run(subject, subject.run_decoder, code, record=[spot])[1][spot] for code in codes]
            for u in range(width):
                nie = [vectors(subject.z, spot, u, values) for values in seen]
                nde = [vectors(code, spot, u, baseline[spot]) for code in codes]
                row.append(Parts(te, nie, nde))
        parts.append(row)
    return _table(subject, parts)
