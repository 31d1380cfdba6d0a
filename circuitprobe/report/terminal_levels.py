"""Levels 1, 3 and 4 in a terminal: the input matrix, the units of every site, circuits, mediations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuitprobe.report.heat import input_strip
from circuitprobe.report.layout import NARROW, add_row, dim, estimate_text, plain_table, share_text
from circuitprobe.report.level_words import by_strength, live_senders, significant
from circuitprobe.report.order import feature_names, ordered
from circuitprobe.report.words import counted, number, short

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.report.levels import (
        ActivationLevel,
        CircuitReport,
        InputLevel,
        MediationEntry,
        MediationLevel,
        PathLevel,
        SenderReport,
        SiteReport,
    )
    from circuitprobe.types import Estimate

MOST_MEDIATIONS = 15
MOST_CIRCUITS = 40
MOST_SITES = 40
MOST_LATENTS = 12
MOST_NAMED = 3
WITH_INTERVALS = 150

Section = tuple[str, RenderableType]


def level_sections(report: AuditReport, width: int, *, unicode: bool = True) -> Iterator[Section]:
    """Title and body of every level but the second that was run.

    Args:
        report: what to show.
        width: columns of the terminal.
        unicode: whether shades and dashes can be printed.
    """
    if report.inputs is not None:
        inputs = inputs_body(report, report.inputs, width, unicode=unicode)
        if inputs is not None:
            yield f"Level 1: how far each feature group moves each latent ({_unit_of_shifts(report)})", inputs
    if report.activations is not None:
        sites = sites_body(report.activations, width, unicode=unicode)
        yield "Level 3, units: what changes in the output when one unit takes its value from another row", sites
    if report.paths is not None:
        share = f"{report.paths.share:.0%}"
        circuits = circuits_body(report, report.paths, width, unicode=unicode)
        yield f"Level 3, circuits: the fewest units of a layer that carry {share} of an effect", circuits
    if report.mediation is not None:
        mediations = mediation_body(report.mediation, width, unicode=unicode)
        yield "Level 4: how much of what one feature group does to another passes through a latent", mediations


def _unit_of_shifts(report: AuditReport) -> str:
    return "standard deviations of the latent" if report.model.codes is None else "share of indices that change"


def inputs_body(report: AuditReport, level: InputLevel, width: int, *, unicode: bool) -> RenderableType | None:
    """Groups x latents as a heat strip, and the features that tell each latent most; None where no latent is active."""
    strip = input_strip(report, width, unicode=unicode)
    if strip is None:
        return None
    live = [latent.name for latent in by_strength(report.latents)]
    features = ordered(level.features, feature_names(report))
    told = any(e is not None and e.value is not None for row in features.values() for e in map(row.info.get, live))
    unit = "standard deviations" if report.model.codes is None else _unit_of_shifts(report)
    header = "most information from (nats)" if told else f"moved most by ({unit})"
    table = plain_table([("", False), (header, False)])
    for latent in live[:MOST_LATENTS]:
        per_feature = {name: (row.info if told else row.shift).get(latent) for name, row in features.items()}
        add_row(table, latent, _ranked(per_feature, width, unicode=unicode) or "no feature")
    return Group(strip, Text(), table, *_and_more(len(live) - MOST_LATENTS))


def _ranked(effects: Mapping[str, Estimate | None], width: int, *, unicode: bool) -> str:
    known = [(name, e) for name, e in effects.items() if e is not None and e.value is not None and e.value > 0.0]
    known.sort(key=lambda item: -(item[1].value or 0.0))
    return ", ".join(f"{short(name)} {estimate_text(e, width, unicode=unicode)}" for name, e in known[:MOST_NAMED])


def sites_body(level: ActivationLevel, width: int, *, unicode: bool) -> RenderableType:
    """One row per site: its units, those that never change, and the strongest."""
    wide = width >= NARROW
    columns = [("half", False), ("site", False), ("units", True), ("unchanged", True), ("strongest units", False)]
    table = plain_table([*columns, ("way", False)])
    for site in level.sites[:MOST_SITES]:
        way = f"{site.way} ({site.way_reason})" if wide and site.way_reason else site.way
        figures = (f"{site.units:,}", f"{site.unchanged:,}")
        add_row(table, site.half, short(site.name), *figures, _strongest_units(site, width, unicode=unicode), way)
    note = f"{counted(level.rows, 'row')}; unchanged units are the same on all of them and have no effect"
    return Group(table, *_and_more(len(level.sites) - MOST_SITES), dim(note))


def _strongest_units(site: SiteReport, width: int, *, unicode: bool) -> Text:
    ranked = sorted(site.effects, key=lambda unit: -(unit.effect.value or 0.0))[:MOST_NAMED]
    named = [f"{unit.unit}: {estimate_text(unit.effect, width, unicode=unicode)}" for unit in ranked]
    return Text((", " if width >= WITH_INTERVALS else "\n").join(named) or "none", overflow="fold")


def circuits_body(report: AuditReport, level: PathLevel, width: int, *, unicode: bool) -> RenderableType:
    """Circuits of the latents in the decoder, how much they overlap, and those of the feature groups in the encoder."""
    live = [sender for sender in live_senders(report.latents, level) if sender.circuits]
    parts: list[RenderableType] = []
    if live:
        parts += _circuit_table("latent", live, width, unicode=unicode)
    overlap = _overlap(level)
    if overlap:
        parts.append(dim(overlap))
    moved = [sender for sender in level.encoder if sender.circuits]
    groups = sorted(moved, key=lambda sender: -(sender.total.value or 0.0))
    if groups:
        parts += [Text()] if parts else []
        parts += _circuit_table("feature group", groups, width, unicode=unicode)
    if not parts:
        return dim("none was looked for: no latent is active, or no layer was chosen")
    alone, left, whole = _figures(wide=width >= NARROW)
    notes = (
        f"{counted(level.rows, 'row')}; {alone}: share of the sender's effect with these units alone; {left}: share left "
        f"when they are held; {whole}: effect through the whole layer over the total, 1 where every path passes through it"
    )
    return Group(*parts, dim(notes))


def _figures(*, wide: bool) -> tuple[str, str, str]:
    return ("faithfulness", "completeness", "additivity") if wide else ("faithful", "left", "additive")


def _circuit_table(
    sender_word: str, senders: Sequence[SenderReport], width: int, *, unicode: bool
) -> list[RenderableType]:
    wide = width >= NARROW
    columns = [(sender_word, False), ("layer", False), ("units", True), *((name, True) for name in _figures(wide=wide))]
    table = plain_table(columns)
    pairs = [(sender, circuit) for sender in senders for circuit in sender.circuits]
    before = ""
    for sender, circuit in pairs[:MOST_CIRCUITS]:
        cells = (
            _size(circuit, wide=wide),
            share_text(circuit.faithfulness, width, unicode=unicode),
            share_text(circuit.completeness, width, unicode=unicode),
            estimate_text(circuit.additivity, width, unicode=unicode),
        )
        name = short(sender.sender)
        add_row(table, "" if name == before else name, short(circuit.site), *cells)
        before = name
    parts: list[RenderableType] = [table, *_and_more(len(pairs) - MOST_CIRCUITS)]
    if any(not circuit.complete and circuit.size for _, circuit in pairs[:MOST_CIRCUITS]):
        parts.append(dim("* all units that carry anything together do not reach the wanted share"))
    if any(circuit.units_measured < circuit.units_in_layer for _, circuit in pairs[:MOST_CIRCUITS]):
        parts.append(dim("~ looked for among candidates only; not every unit of the layer was patched"))
    return parts


def _size(circuit: CircuitReport, *, wide: bool) -> str:
    """``41 of 256``; ~ where only candidates were measured, * where the wanted share was not reached."""
    if circuit.size == 0:
        return "none"
    marks = ("~" if circuit.units_measured < circuit.units_in_layer else "") + ("" if circuit.complete else "*")
    return f"{marks}{circuit.size:,}{' of ' if wide else '/'}{circuit.units_in_layer:,}"


def _overlap(level: PathLevel) -> str:
    """How many units two latents' circuits share, beside what random sets of these sizes would."""
    if level.mean_overlap is None:
        return ""
    chance = level.mean_overlap_null
    against = "" if chance is None else f" ({number(chance)} for random sets of these sizes)"
    text = f"overlap of two latents' circuits in one layer (Jaccard): {number(level.mean_overlap)} on average{against}"
    if level.overlaps:
        most = max(level.overlaps, key=lambda pair: pair.jaccard - pair.null)
        text += f"; furthest above: {most.first} and {most.second} in {most.site}, {number(most.jaccard)} ({number(most.null)})"
    return text


def mediation_body(level: MediationLevel, width: int, *, unicode: bool) -> RenderableType:
    """The significant mediations, the strongest proportion first."""
    found = significant(level)
    total = counted(len(level.entries), "mediation")
    are = "is" if len(found) == 1 else "are"
    head = Text(f"{len(found):,} of {total} {are} significant after correction (Holm-Sidak, p < 0.05)")
    head.append(f"; {counted(level.rows, 'row')}, {level.resamples:,} resamples", style="dim")
    if not found:
        return head
    table = _mediation_table(found[:MOST_MEDIATIONS], width, unicode=unicode)
    note = (
        "mediated: share of TE that passes through the latent; TE: total effect; NIE: through the latent alone; NDE: with "
        f"the latent held; {'interaction' if width >= NARROW else 'rest'}: TE - NIE - NDE"
    )
    return Group(head, table, *_and_more(len(found) - MOST_MEDIATIONS), dim(note))


def _mediation_table(entries: Sequence[MediationEntry], width: int, *, unicode: bool) -> Table:
    wide = width >= NARROW
    path = [("from", False), ("through", False), ("to", False)] if wide else [("path", False)]
    figures = ("mediated", "TE", "NIE", "NDE", "interaction" if wide else "rest", "corrected p" if wide else "p")
    table = plain_table([*path, *((name, True) for name in figures)])
    arrow = " → " if unicode else " -> "
    for entry in entries:
        names = (short(entry.treatment), entry.mediator, short(entry.outcome))
        effects = (entry.te, entry.nie, entry.nde, entry.interaction)
        add_row(
            table,
            *(names if wide else (arrow.join(names),)),
            share_text(entry.proportion_mediated, width, unicode=unicode),
            *(
                estimate_text(e, width, unicode=unicode)
                if width >= WITH_INTERVALS
                else number(e.value, 3 if wide else 2)
                for e in effects
            ),
            number(entry.p_corrected, 2),
        )
    return table


def _and_more(count: int) -> list[RenderableType]:
    return [dim(f"and {count:,} more")] if count > 0 else []
