"""How much a latent still does what it did: the cosine of its responses with those in the baseline, with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from circuitprobe.gate.matching import cosines
from circuitprobe.stats.bootstrap import CONFIDENCE, estimate
from circuitprobe.stats.difference import COUNT
from circuitprobe.stats.draws import Stream
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.gate.snapshot import Snapshot
    from circuitprobe.types import FloatArray

MOST_NOISE = 0.5
"""Share of a squared length that may be noise."""

Entries = Mapping[tuple[str, str], tuple[float, float, float]]
"""Value, lower and upper end by feature and category."""


def entries_of(snapshot: Snapshot, latent: str, ratios: Mapping[str, float] | None = None) -> Entries:
    """The responses to one latent.

    Args:
        snapshot: an audit.
        latent: its name.
        ratios: by feature, what turns them into other units.
    """
    found: dict[tuple[str, str], tuple[float, float, float]] = {}
    for feature, response in snapshot.details.responses[latent].items():
        named = snapshot.details.categories.get(feature, ())
        # a binary feature has two categories and one entry
        names = named if len(named) == len(response.value) else [str(entry) for entry in range(len(response.value))]
        unit = 1.0 if ratios is None else ratios[feature]
        for name, *ends in zip(names, response.value, response.low, response.high, strict=True):
            found[feature, name] = (unit * ends[0], unit * ends[1], unit * ends[2])
    return found


def similarity(before: Entries, now: Entries | None, n: int, *, paired: bool) -> tuple[Estimate, FloatArray | None]:
    """|cosine| of the responses to two latents, in [0, 1], and on 1,000 draws.

    Effects e_i have no sign: two latents that change the same columns have the same effects, and so do mixtures of them.
    Responses tell them apart; the sign of the whole, which a flipped latent changes, does not count. A category that one side
    does not know is answered by 0 there.

    Each entry is drawn from a normal distribution with the reported value and interval, entries apart: reports do not hold
    responses on resamples, so the interval is an approximation. Noise makes vectors longer and so any two of them less alike: its
    expected share, the sum of the squared standard errors, is taken out of each squared length, once of the audits' own and once
    more of the draws'. Audits of the same rows share their own noise, which takes nothing from the cosine: there it stays.

    Args:
        before: the baseline's latent.
        now: its counterpart, if there is one.
        n: rows.
        paired: both audits are of the same rows.

    Returns:
        Undefined where there is no counterpart, or a latent without any response. Where noise is more than half of a squared length
        nothing can be told of the latent's direction: the interval is then [0, 1].
    """
    keys = sorted({*before, *(now or ())})
    first, second = _array(before, keys), _array(now or {}, keys)
    noise = np.array([np.square(_errors(side)).sum() for side in (first, second)])
    length = np.array([np.square(side[0]).sum() for side in (first, second)])
    if now is None or not length.all():
        return Estimate(None, None, None, n), None
    own = 0.0 if paired else 1.0
    if (noise > MOST_NOISE * length).any():
        drawn = np.linspace(0.0, 1.0, COUNT)
        plain = float(first[0] @ second[0] / np.sqrt(length.prod()))
        return Estimate(abs(plain), 0.0, 1.0, n), drawn
    value = float(first[0] @ second[0] / np.sqrt((length - own * noise).prod()))
    a, b = _drawn(first, 0), _drawn(second, 1)
    squares = np.stack([np.square(a).sum(axis=1), np.square(b).sum(axis=1)]) - (own + 1.0) * noise[:, None]
    # a draw whose length is all noise says nothing: it counts as any
    told = (squares > 0).all(axis=0)
    drawn = np.copysign(1.0, value) * (a * b).sum(axis=1) / np.sqrt(np.where(told, squares.prod(axis=0), np.inf))
    drawn = np.clip(drawn, 0.0, 1.0)
    return estimate(min(abs(value), 1.0), drawn, n), drawn


def alike(baseline: Snapshot, new: Snapshot, ratios: Mapping[str, float]) -> FloatArray:
    """|cosine| of the responses to every two latents, shape (baseline's latents, new ones); nan where one has none."""
    before = [entries_of(baseline, name) for name in baseline.compared.latents]
    now = [entries_of(new, name, ratios) for name in new.compared.latents]
    keys = sorted({key for entries in (*before, *now) for key in entries})
    if not keys:
        return np.full((len(before), len(now)), np.nan)
    first, second = (
        np.array([_array(entries, keys)[0] for entries in side]).reshape(-1, len(keys)) for side in (before, now)
    )
    return np.abs(cosines(first, second))


def responds(entries: Entries) -> bool:
    """Whether a latent has any response."""
    return any(value for value, _, _ in entries.values())


def _array(entries: Entries, keys: list[tuple[str, str]]) -> FloatArray:
    """Values, lower and upper ends, shape (3, entries)."""
    return np.array([entries.get(key, (0.0, 0.0, 0.0)) for key in keys], dtype=np.float64).reshape(-1, 3).T


def _errors(entries: FloatArray) -> FloatArray:
    """Standard errors, shape (entries,)."""
    _, low, high = entries
    return np.asarray((high - low) / (2.0 * float(ndtri(0.5 + CONFIDENCE / 2.0))))


def _drawn(entries: FloatArray, side: int) -> FloatArray:
    """Shape (draws, entries)."""
    rng = np.random.default_rng([0, int(Stream.COMPARED), 2 + side])
    return np.asarray(entries[0] + _errors(entries) * rng.standard_normal((COUNT, entries.shape[1])))
