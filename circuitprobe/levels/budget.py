"""How many rows and units levels 3 and 4 are run on: a figure of the model and its rows alone, never of the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.stats.draws import Stream, generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.interventions.subject import Subject
    from circuitprobe.types import IntArray, Site

ROW_WORK = 1.4e11
"""Multiplications per level up to which more rows are taken without being asked; a few hundred rows of a small MLP."""

UNIT_WORK = 8e11
"""Multiplications of level 3 on the fewest rows above which only some receivers are patched, which small networks never reach."""

FEWEST_ROWS = 32
FEWEST_UNITS = 8
HELD_BYTES = 2**26
"""What the per-row figures of one treatment may take."""


@dataclass(frozen=True)
class Budget:
    """What levels 3 and 4 are run on.

    Attributes:
        patched: rows that units are patched on, ascending.
        treated: rows of mediation, ascending.
        units: how many receivers per layer and sender are patched; more are screened by attribution first.
    """

    patched: IntArray
    treated: IntArray
    units: int


def plan(
    subject: Subject,
    sites: Sequence[tuple[str, Site]],
    senders: int,
    asked_rows: int | None,
    asked_units: int | None,
    seed: int,
) -> Budget:
    """Rows and units that keep each level near the budget.

    Args:
        subject: the model on all audited rows.
        sites: of level 3, with their halves.
        senders: latents that paths start from.
        asked_rows: rows of levels 3 and 4 as the caller wants them, or None.
        asked_units: receivers per layer and sender as the caller wants them, or None.
        seed: of the choice of rows.
    """
    sources = len(subject.sources)
    per_row = _path_work(subject, sites, senders) * sources
    patched = asked_rows or _between(ROW_WORK / max(1.0, per_row), subject.n)
    treated = asked_rows or _between(ROW_WORK / max(1.0, _mediation_work(subject) * sources), subject.n)
    # never by --memory, which must not change a figure
    treated = min(treated, max(2, HELD_BYTES // (len(subject.latents) * len(subject.groups) * 8 * 5)))
    units = asked_units or _units(sites, UNIT_WORK / max(1.0, per_row * patched))
    return Budget(_some(subject.n, patched, seed), _some(subject.n, treated, seed), units)


def _path_work(subject: Subject, sites: Sequence[tuple[str, Site]], senders: int) -> float:
    """Multiplications per row and source of level 3, if every unit is patched: half of a half is left on average."""
    encoder, decoder = _encoder_work(subject), subject.halves.decoder.work
    total = 0.0
    for half, site in sites:
        if half == "decoder":
            # interchange, paths of every sender, and about as much again for their circuits
            total += site.units * (1 + 2 * senders) * decoder / 2
        else:
            total += site.units * (encoder / 2 + decoder + 2 * len(subject.groups) * encoder / 2)
    return total


def _encoder_work(subject: Subject) -> int:
    return 0 if subject.halves.encoder is None else subject.halves.encoder.work


def _mediation_work(subject: Subject) -> float:
    encoder, decoder = _encoder_work(subject), subject.halves.decoder.work
    return len(subject.groups) * (encoder + (1 + 2 * len(subject.latents)) * decoder)


def _between(rows: float, n: int) -> int:
    return min(n, max(FEWEST_ROWS, int(rows)))


def _units(sites: Sequence[tuple[str, Site]], share: float) -> int:
    """Units per layer such that about this share of all is patched; small layers are patched whole."""
    widest = max((site.units for _, site in sites), default=0)
    if share >= 1.0:
        return max(1, widest)
    allowed = share * sum(site.units for _, site in sites)
    cap = FEWEST_UNITS
    while cap < widest and sum(min(site.units, cap + 1) for _, site in sites) <= allowed:
        cap += 1
    return cap


def _some(n: int, count: int, seed: int) -> IntArray:
    """Some of n rows, ascending: those with the smallest of n uniform keys."""
    if count >= n:
        return np.arange(n)
    keys = generator(seed, Stream.PATCHED).random(n)
    return np.sort(np.argsort(keys, kind="stable")[:count])
