"""Whether a baseline is whole: one that was edited or merged by hand must not make a check weaker without a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from circuitprobe.errors import DataError
from circuitprobe.gate.metrics import COMPLETENESS, LATENT, LEAST_KL, RANGES, SCORES, TRUTH
from circuitprobe.report.consistent_numbers import FROM_0, of_numbers
from circuitprobe.report.consistent_resamples import agreement

if TYPE_CHECKING:
    from circuitprobe.gate.snapshot import Compared, SeenLatent, Snapshot
    from circuitprobe.types import Estimate

OF_HALF, OF_VALUE = 0.1, 1e-3
"""How far a figure may lie from the unrounded one: more than rounding moves it, as a share of half its interval and of itself."""


def lacking(snapshot: Snapshot) -> Iterator[str]:
    """What an audit has, and this one not, or not alike in both places."""
    compared, responses = snapshot.compared, snapshot.details.responses
    if other := sorted(set(responses) ^ set(compared.latents)):
        yield f"{other[0]} is not both among the latents and the responses"
    yield from _figures_missing(compared)
    answered = [name for name, response in responses.items() if response]
    if answered and len(answered) < len(responses):
        yield f"there are responses of {answered[0]} and not of all latents"
    for name, latent in compared.latents.items():
        yield from _of_latent(name, latent, compared)
        response = responses.get(name, {})
        if response and set(response) != set(compared.features):
            yield f"responses of {name} are not those of the features"
        if any(not len(r.value) == len(r.low) == len(r.high) for r in response.values()):
            yield f"responses of {name} have values without intervals"
    yield from _other_values(snapshot)
    yield from _numbers(snapshot)
    yield from _other_resamples(snapshot)


def _figures_missing(compared: Compared) -> Iterator[str]:
    for group, members in compared.groups.items():
        if unknown := sorted(set(members) - set(compared.features)):
            yield f"the group {group} has the unknown feature {unknown[0]}"
    if "ces" in compared.figures:
        wanted = (*SCORES, *(f"{COMPLETENESS}:{group}" for group in compared.groups))
        if missing := [name for name in wanted if name not in compared.figures]:
            yield f"the figure {missing[0]} is missing"
    encoder = any(
        latent.figures["kl"].value is not None for latent in compared.latents.values() if "kl" in latent.figures
    )
    if encoder and "mse" not in compared.figures:
        yield "the figure mse is missing"


def _of_latent(name: str, latent: SeenLatent, compared: Compared) -> Iterator[str]:
    measured = "ces" in compared.figures
    parts = (
        ("figures", latent.figures, LATENT),
        ("effects", latent.effects, compared.features if measured else ()),
        ("group_effects", latent.group_effects, compared.groups if measured else ()),
    )
    for part, entries, expected in parts:
        if other := sorted(set(entries) ^ set(expected)):
            seen = "an unknown" if other[0] in entries else "no"
            yield f"{part} of {name} has {seen} {other[0]}"
    kl = latent.figures.get("kl")
    if kl is None or kl.value is None or abs(kl.value - LEAST_KL) <= _room(kl):
        return
    if latent.active != (kl.value > LEAST_KL):
        yield f"{name} is {'' if latent.active else 'not '}active with a KL of {kl.value:g}"


def _numbers(snapshot: Snapshot) -> Iterator[str]:
    """Numbers that cannot be: without bounds, outside their intervals, of more rows than were audited."""
    compared = snapshot.compared
    if compared.rows.audited < 1:
        yield f"rows.audited is {compared.rows.audited}; expected 1 or more"
    yield from of_numbers(snapshot.details, "details")
    for key, figure in _figures(compared).items():
        metric = key.partition(":")[0]
        yield from of_numbers(figure, key.replace(":", " of "), RANGES.get(metric))
        if figure.n > compared.rows.audited and metric not in TRUTH:
            yield f"{key.replace(':', ' of ')} is of {figure.n} rows; expected {compared.rows.audited} at most, the rows audited"
    for name, latent in compared.latents.items():
        yield from of_numbers(latent.effects, f"effects of {name}", FROM_0)
        yield from of_numbers(latent.group_effects, f"group_effects of {name}", FROM_0)
        for estimate in (*latent.effects.values(), *latent.group_effects.values()):
            if estimate.n > compared.rows.audited:
                yield f"an effect of {name} is of {estimate.n} rows; expected {compared.rows.audited} at most, the rows audited"
    for name, feature in compared.features.items():
        for end in ("spread", "spread_low", "spread_high"):
            yield from of_numbers(getattr(feature, end), f"{end} of {name}", FROM_0)


def _figures(compared: Compared) -> dict[str, Estimate]:
    """Every figure by the name that its resamples have."""
    figures = dict(compared.figures)
    for name, latent in compared.latents.items():
        figures |= {f"{metric}:{name}": figure for metric, figure in latent.figures.items()}
    return figures


def _other_values(snapshot: Snapshot) -> Iterator[str]:
    """Figures that are not those of the details, from which differences are computed."""
    for key, figure in _figures(snapshot.compared).items():
        exact = snapshot.exact(key, figure).value
        if figure.value is not None and exact is not None and abs(exact - figure.value) > _room(figure):
            yield f"{key.replace(':', ' of ')} is {figure.value:g}, and {exact:g} in its details"


def _other_resamples(snapshot: Snapshot) -> Iterator[str]:
    """Intervals that are not those of the resamples in the details."""
    figures, resamples = _figures(snapshot.compared), snapshot.details.resamples
    for name in () if resamples is None else resamples.figures:
        if name not in figures:
            yield f"there are resamples of {name} and no such figure"
        elif resamples is not None:
            try:
                yield from agreement(resamples, name, figures[name], name, every=False, room=_room(figures[name]))
            except DataError as error:
                yield error.seen


def _room(figure: Estimate) -> float:
    half = 0.0 if figure.low is None or figure.high is None else abs(figure.high - figure.low) / 2.0
    return OF_HALF * half + OF_VALUE * abs(figure.value or 0.0)
