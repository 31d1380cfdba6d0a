"""Whether a report that was read agrees with itself: an edited, merged or damaged one must not be compared without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from circuitprobe.report.consistent_numbers import OLDER, inside, of_numbers
from circuitprobe.report.consistent_resamples import of_resamples
from circuitprobe.report.model import SCHEMA_VERSION
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.report.levels import (
        ActivationLevel,
        CircuitMap,
        CircuitReport,
        InputLevel,
        MediationLevel,
        PathLevel,
    )


def contradictions(report: AuditReport) -> Iterator[str]:
    """What in a report cannot be, each with the place, what is there and what was expected."""
    room = OLDER if report.schema_version != SCHEMA_VERSION else 0.0
    for place, part in inside(report, ""):
        yield from of_numbers(part, place, room=room)
    yield from _of_names(report)
    yield from _of_latents(report)
    yield from _of_counts(report)
    if report.inputs is not None:
        yield from _of_inputs(report, report.inputs)
    if report.activations is not None:
        yield from _of_activations(report, report.activations)
    if report.paths is not None:
        yield from _of_paths(report, report.paths)
    if report.mediation is not None:
        yield from _of_mediation(report, report.mediation)
    if report.circuit_map is not None:
        yield from _of_map(report.circuit_map)
    if report.resamples is not None:
        yield from of_resamples(report, report.resamples)


def _of_names(report: AuditReport) -> Iterator[str]:
    features, groups = _features(report), report.data.groups
    yield from _once(features, "data.features")
    yield from _once([latent.name for latent in report.latents], "latents")
    yield from _once([column.name for column in report.data.columns], "data.columns")
    yield from _once([level.level for level in report.levels], "levels")
    members = [name for names in groups.values() for name in names]
    yield from _once(members, "data.groups")
    yield from _same(members, features, "data.groups")
    for feature in report.data.features:
        if feature.name not in groups.get(feature.group, ()):
            yield f"data.features has {feature.name!r} in the group {feature.group!r}; data.groups does not"
    if report.scores is not None:
        yield from _same(report.scores.completeness, groups, "scores.completeness")
    if report.reconstruction is not None:
        yield from _same(report.reconstruction.features, features, "reconstruction.features")


def _of_latents(report: AuditReport) -> Iterator[str]:
    features, measured = _features(report), report.scores is not None
    for number, latent in enumerate(report.latents):
        place = f"latents[{number}]"
        yield from _same(latent.effects, features if measured else (), f"{place}.effects")
        yield from _same(latent.group_effects, report.data.groups if measured else (), f"{place}.group_effects")
        if latent.response:
            yield from _same(latent.response, features, f"{place}.response")


def _of_inputs(report: AuditReport, level: InputLevel) -> Iterator[str]:
    latents = [latent.name for latent in report.latents]
    yield from _same(level.features, _features(report), "inputs.features")
    yield from _same(level.groups, report.data.groups, "inputs.groups")
    for place, row in (*inside(level.features, "inputs.features"), *inside(level.groups, "inputs.groups")):
        yield from _same(row.shift, latents, f"{place}.shift")
        yield from _same(row.info, latents, f"{place}.info")


def _features(report: AuditReport) -> list[str]:
    return [feature.name for feature in report.data.features]


def _once(names: Iterable[object], place: str) -> Iterator[str]:
    seen: set[object] = set()
    for name in names:
        if name in seen:
            yield f"{place} has {name!r} twice; expected each once"
        seen.add(name)


def _same(names: Iterable[str], expected: Iterable[str], place: str) -> Iterator[str]:
    there, wanted = set(names), set(expected)
    if unknown := sorted(there - wanted):
        yield f"{place} has {unknown[0]!r}, which the report does not name elsewhere"
    if absent := sorted(wanted - there):
        yield f"{place} lacks {absent[0]!r}"


def _of_counts(report: AuditReport) -> Iterator[str]:
    data, settings = report.data, report.settings
    yield from _equal(report.model.latents, len(report.latents), "model.latents", "entries of latents")
    yield from _at_most(data.rows_audited, data.rows_total, "data.rows_audited", "data.rows_total")
    for place, count in (
        ("data.rows_audited", data.rows_audited),
        ("settings.resamples", settings.resamples), ("settings.intervention_values", settings.intervention_values),
    ):  # fmt: skip
        if count < 1:
            yield f"{place} is {count}; expected 1 or more"
    if report.scores is not None:
        active = sum(latent.active for latent in report.latents)
        yield from _equal(report.scores.active_latents, active, "scores.active_latents", "active entries of latents")
    if report.twin.scores is not None:
        yield from _at_most(
            report.twin.scores.active_latents, report.model.latents, "twin.scores.active_latents", "model.latents"
        )
    parts = (
        "latents",
        "scores",
        "reconstruction",
        "inputs",
        "activations",
        "paths",
        "mediation",
        "circuit_map",
        "twin",
        "downstream",
    )
    for place, estimate in (found for part in parts for found in _estimates(getattr(report, part), part)):
        yield from _at_most(estimate.n, data.rows_audited, f"{place}.n", "data.rows_audited")
    for column in data.columns:
        yield from _at_most(
            column.missing, data.rows_total, f"data.columns: missing of {column.name!r}", "data.rows_total"
        )
    for entry in data.missing:
        yield from _at_most(
            entry.count, data.rows_audited, f"data.missing: count of {entry.name!r}", "data.rows_audited"
        )


def _estimates(part: Any, place: str) -> Iterator[tuple[str, Estimate]]:  # noqa: ANN401 - a report's
    if isinstance(part, Estimate):
        yield place, part
    for where, value in inside(part, place):
        yield from _estimates(value, where)


def _equal(count: int, other: int, place: str, what: str) -> Iterator[str]:
    if count != other:
        yield f"{place} is {count}; expected {other}, the number of {what}"


def _at_most(count: int, most: int, place: str, what: str) -> Iterator[str]:
    if count > most:
        yield f"{place} is {count}; expected {most} at most, which is {what}"


def _of_activations(report: AuditReport, level: ActivationLevel) -> Iterator[str]:
    yield from _at_most(level.rows, report.data.rows_audited, "activations.rows", "data.rows_audited")
    for site in level.sites:
        place = f"activations: {site.name}"
        yield from _once([unit.unit for unit in site.effects], f"{place}.effects")
        yield from _at_most(
            len(site.effects) + site.unchanged, site.units, f"{place}: units listed and unchanged", "its units"
        )
        for unit in site.effects:
            yield from _at_most(unit.unit, site.units - 1, f"{place}: unit", "its last unit")


def _of_paths(report: AuditReport, level: PathLevel) -> Iterator[str]:
    yield from _at_most(level.rows, report.data.rows_audited, "paths.rows", "data.rows_audited")
    for side, senders in (("decoder", level.decoder), ("encoder", level.encoder)):
        for sender in senders:
            for circuit in sender.circuits:
                yield from _of_circuit(circuit, f"paths.{side}: {sender.sender!r} at {circuit.site}")


def _of_circuit(circuit: CircuitReport, place: str) -> Iterator[str]:
    yield from _equal(circuit.size, len(circuit.units), f"{place}.size", "its units")
    yield from _once([unit.unit for unit in circuit.units], f"{place}.units")
    yield from _at_most(circuit.size, circuit.units_measured, f"{place}.size", "its units_measured")
    yield from _at_most(circuit.units_measured, circuit.units_in_layer, f"{place}.units_measured", "its units_in_layer")


def _of_mediation(report: AuditReport, level: MediationLevel) -> Iterator[str]:
    yield from _at_most(level.rows, report.data.rows_audited, "mediation.rows", "data.rows_audited")
    latents = {latent.name for latent in report.latents}
    for number, entry in enumerate(level.entries):
        if not {entry.treatment, entry.outcome} <= set(report.data.groups) or entry.mediator not in latents:
            seen = f"{entry.treatment!r}, {entry.mediator!r} and {entry.outcome!r}"
            yield f"mediation.entries[{number}] is of {seen}; expected groups, latents and groups of the report"


def _of_map(drawn: CircuitMap) -> Iterator[str]:
    yield from _once([node.id for node in drawn.nodes], "circuit_map.nodes")
    ids = {node.id for node in drawn.nodes}
    for number, edge in enumerate(drawn.edges):
        if not {edge.source, edge.target} <= ids:
            yield f"circuit_map.edges[{number}] goes from {edge.source!r} to {edge.target!r}; expected two nodes of the map"
