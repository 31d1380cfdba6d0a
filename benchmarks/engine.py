"""circuitprobe itself: one call per task, with the default backend.

It tries a model out before it intervenes on it (``cp.interventions.prepared``), once for any number of levels, as the other
tools wrap a model once. Tasks are timed on a prepared model, and, as one more contender, together with the preparation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

import circuitprobe as cp
from benchmarks.tasks import Case, Figures
from circuitprobe.interventions.activations import chosen_sites
from circuitprobe.interventions.subject import Subject
from circuitprobe.probe.routing import find_route


@contextmanager
def prepared(case: Case, groups: Sequence[Sequence[int]] | None = None) -> Iterator[Subject]:
    """The model on its rows, tried out, with the way to each layer found."""
    named = (
        None if groups is None else {f"g{n}": [case.features[f].name for f in group] for n, group in enumerate(groups)}
    )
    with cp.interventions.prepared(
        cp.wrap(case.vae), case.x, features=case.features, groups=named, sources=case.sources
    ) as ready:
        for half, site in chosen_sites(ready, _sites(case)):
            find_route(ready.halves.decoder if half == "decoder" else ready.halves.encoder, site)
        yield ready


def sweep(ready: Subject, values: np.ndarray) -> Figures:
    """Level 2."""
    found = cp.interventions.latents(ready, values=values)
    return {"effects": found.effects, "strength": found.strength}


def unit_patching(ready: Subject, case: Case) -> Figures:
    """Level 3, interchange, every unit of the case's layers."""
    found = cp.interventions.activations(ready, sites=_sites(case))
    return {"strength": found.strength, "changes": found.changes}


def path_patching(ready: Subject, case: Case, senders: Sequence[int]) -> Figures:
    """Level 3, latent -> unit -> output, without the search for circuits."""
    found = cp.interventions.paths(ready, senders=[f"z{i}" for i in senders], sites=_sites(case), circuits=False)
    return {"strength": found.strength, "changes": found.changes, "recovered": found.recovered}


def unit_mediation(ready: Subject, case: Case, senders: Sequence[int]) -> Figures:
    """Level 4, latent -> unit -> output."""
    found = cp.interventions.unit_mediation(ready, senders=[f"z{i}" for i in senders], sites=_sites(case))
    return {name: getattr(found, name) for name in ("nie", "nde", "interaction", "proportion")}


def group_mediation(ready: Subject) -> Figures:
    """Level 4, group -> latent -> group."""
    found = cp.interventions.mediation(ready)
    return {name: getattr(found, name) for name in ("nie", "nde", "interaction", "p_corrected")}


def picked(case: Case, figures: Figures, units: Mapping[int, Sequence[int]]) -> Figures:
    """The figures of some units only: the unit axis is the one as long as all units together."""
    starts = np.cumsum([0, *case.layers.values()])
    index = np.concatenate(
        [start + np.asarray(units[layer]) for layer, start in zip(case.layers, starts, strict=False)]
    )
    axes = {"strength": -1, "changes": -2, "recovered": -1}
    return {name: array.take(index, axis=axes.get(name, -2)) for name, array in figures.items()}


def _sites(case: Case) -> list[str]:
    return [f"decoder:decoder.{layer}" for layer in case.layers]
