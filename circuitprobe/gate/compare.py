"""``circuitprobe compare``: audits side by side, latents matched, what changed most first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.gate.comparable import check_comparable
from circuitprobe.gate.decide import Side
from circuitprobe.gate.metrics import LATENT
from circuitprobe.gate.questions import Pair, latent_side, side_of
from circuitprobe.gate.snapshot import Snapshot, snapshot_of
from circuitprobe.stats.difference import difference

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport
    from circuitprobe.types import Estimate


@dataclass(frozen=True)
class ComparedRow:
    """One figure in every audit.

    Attributes:
        metric: its name.
        latent: the first audit's latent; None for a figure of the model.
        names: that latent's counterparts, one per audit; None where there is none.
        figures: one per audit; None where it is not there.
        change: the largest |difference to the first| over half the width of its interval; nan where there is none.
    """

    metric: str
    latent: str | None
    names: tuple[str | None, ...]
    figures: tuple[Estimate | None, ...]
    change: float


def compare(audits: Sequence[AuditReport | Snapshot]) -> tuple[ComparedRow, ...]:
    """Every figure that two of the audits have, the one that changed most beyond chance first.

    Args:
        audits: at least two; the others are compared with the first.

    Raises:
        NotComparable: they measure different things.
    """
    seen = [audit if isinstance(audit, Snapshot) else snapshot_of(audit) for audit in audits]
    for other in seen[1:]:
        check_comparable(seen[0].compared, other.compared)
    pairs = [Pair.of(seen[0], other) for other in seen[1:]]
    rows = [*_of_model(pairs), *_of_latents(pairs)]
    # stable: figures that changed alike stay in the order of METHOD.md
    return tuple(sorted(rows, key=lambda row: -row.change if np.isfinite(row.change) else _last(row.change)))


def _last(change: float) -> float:
    """Beyond every finite change where nothing but the value is known, behind them all where not even that."""
    return float("-inf") if change == float("inf") else 1.0


def _of_model(pairs: Sequence[Pair]) -> Iterator[ComparedRow]:
    first = pairs[0].baseline
    names = dict.fromkeys(name for side in (first, *(pair.new for pair in pairs)) for name in side.compared.figures)
    for name in names:
        sides = [side_of(first, name), *(side_of(pair.new, name) for pair in pairs)]
        if sum(side is not None and side.figure.value is not None for side in sides) > 1:
            yield ComparedRow(name, None, (), _figures(sides), _change(pairs, sides))


def _of_latents(pairs: Sequence[Pair]) -> Iterator[ComparedRow]:
    first = pairs[0].baseline
    partner = [{match.baseline: match.new for match in pair.matches} for pair in pairs]
    for own in first.compared.latents:
        names = (own, *(partners[own] for partners in partner))
        owners = (first, *(pair.new for pair in pairs))
        found = [(side, name) for side, name in zip(owners, names, strict=True)]
        if not any(name is not None and side.compared.latents[name].active for side, name in found):
            continue
        for metric in LATENT:
            sides = [None if name is None else latent_side(side, name, metric) for side, name in found]
            yield ComparedRow(metric, own, names, _figures(sides), _change(pairs, sides))


def _figures(sides: Sequence[Side | None]) -> tuple[Estimate | None, ...]:
    return tuple(None if side is None else side.figure for side in sides)


def _change(pairs: Sequence[Pair], sides: Sequence[Side | None]) -> float:
    """Over all but the first audit: |difference| in half widths of its interval; above 1 it is beyond chance."""
    base, most = sides[0], float("nan")
    for pair, side in zip(pairs, sides[1:], strict=True):
        if base is None or side is None or base.figure.value is None or side.figure.value is None:
            continue
        paired = pair.paired and base.kept is not None and side.kept is not None
        found = difference(side.figure.value, base.figure.value, side.drawn(1), base.drawn(0), paired=paired)
        half = (found.high - found.low) / 2.0
        size = abs(found.value) / half if half > 0 else (0.0 if found.value == 0 else float("inf"))
        most = float(np.nanmax([most, size]))
    return most
