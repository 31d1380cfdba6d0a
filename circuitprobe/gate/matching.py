"""Which latent of a retrained model is which of the baseline: the assignment that maximises the cosine of their effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.gate.snapshot import Compared, SeenLatent
    from circuitprobe.types import FloatArray

NEAR_TIE = 0.05


@dataclass(frozen=True)
class Match:
    """One latent of the baseline and its counterpart.

    Attributes:
        baseline: its name.
        new: name of the counterpart; None where the new model has fewer latents.
        similarity: cosine of both effect rows e_i, in [0, 1]; nan where one of them has no effect.
    """

    baseline: str
    new: str | None
    similarity: float


def match_latents(baseline: Compared, new: Compared, alike: FloatArray | None = None) -> tuple[Match, ...]:
    """Match by effect profile (METHOD.md section 7); permutations and sign flips of latents change nothing.

    Args:
        baseline: the audit before.
        new: the one to match.
        alike: |cosine| of the responses to every two latents, shape (baseline's latents, new ones), nan where there are none. It
            counts a twentieth: effects decide, but where two assignments are as good but for noise, since latents change
            the same columns, the one is taken in which they do so in the same way.

    Returns:
        One match per latent of the baseline, in its order. A latent without any effect is as similar to every other as 0.
    """
    features, ratios = list(baseline.features), unit_ratios(baseline, new)
    own = np.array([ratios[name] for name in features])
    first = effect_rows(list(baseline.latents.values()), features)
    names = list(new.latents)
    cosine = cosines(first, effect_rows(list(new.latents.values()), features) * own)
    merit = np.nan_to_num(cosine) + (0.0 if alike is None else NEAR_TIE * np.nan_to_num(alike))
    rows, columns = linear_sum_assignment(-merit)
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return tuple(
        Match(name, names[partner[i]], float(cosine[i, partner[i]]))
        if i in partner
        else Match(name, None, float("nan"))
        for i, name in enumerate(baseline.latents)
    )


def unit_ratios(baseline: Compared, new: Compared) -> dict[str, float]:
    """By feature: what turns an effect in standard deviations of the new rows into the baseline's."""
    ratios = {}
    for name, feature in baseline.features.items():
        now = new.features[name].spread
        ratios[name] = 1.0 if not feature.spread or not now else now / feature.spread
    return ratios


def effect_rows(latents: Sequence[SeenLatent], features: Sequence[str]) -> FloatArray:
    """The effect matrix, shape (latents, features); rows of zeros without level 2."""
    rows = [[_value(latent, name) for name in features] for latent in latents]
    return np.array(rows, dtype=np.float64).reshape(len(latents), len(features))


def cosines(first: FloatArray, second: FloatArray) -> FloatArray:
    """Cosine of every row of one matrix with every row of another, nan for rows of zeros."""
    with np.errstate(invalid="ignore", divide="ignore"):
        a = first / np.linalg.norm(first, axis=1, keepdims=True)
        b = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.asarray(a @ b.T)


def _value(latent: SeenLatent, name: str) -> float:
    effect = latent.effects.get(name)
    return 0.0 if effect is None or effect.value is None else effect.value
