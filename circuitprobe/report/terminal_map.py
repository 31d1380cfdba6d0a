"""The circuit map as a tree per live latent: what moves it, the units it runs through, what it reaches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text
from rich.tree import Tree

from circuitprobe.report.layout import NARROW, dim, estimate_text, packed, share_text
from circuitprobe.report.level_words import by_strength
from circuitprobe.report.order import group_names, ordered
from circuitprobe.report.words import counted, drives, joined, measured, number, percent, short
from circuitprobe.text import visible

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.report.levels import CircuitReport, PathUnit, SenderReport
    from circuitprobe.report.model import LatentReport
    from circuitprobe.types import Estimate

MOST_LATENTS = 12
MOST_LAYERS = 8
FEW_LAYERS = 3
MOST_UNITS = 3
MOST_GROUPS = 3
ENDS_PER_UNIT = 2
GUIDE = 4
MARGIN = 1


def circuit_map(report: AuditReport, width: int, *, unicode: bool = True) -> RenderableType | None:
    """A tree per live latent, the strongest first.

    Returns:
        None where levels 1 and 3 were not both run, or no latent is active.
    """
    live = by_strength(report.latents)
    if report.circuit_map is None or not live:
        return None
    senders = {} if report.paths is None else {sender.sender: sender for sender in report.paths.decoder}
    parts: list[RenderableType] = []
    for latent in live[:MOST_LATENTS]:
        tree = _Branches(report, width, unicode).of(latent, senders.get(latent.name))
        parts.append(tree if unicode else _Ascii(tree))
    if len(live) > MOST_LATENTS:
        left = counted(len(live) - MOST_LATENTS, "weaker latent")
        parts.append(dim(f"not shown: {left}; report.to_frame('circuits') has them"))
    return Group(*parts)


@dataclass(frozen=True)
class _Ascii:
    """A tree whose branches are drawn without box characters, whatever the console could print."""

    tree: Tree

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plainly = copy.copy(options)
        plainly.encoding = "ascii"
        yield from self.tree.__rich_console__(console, plainly)


@dataclass(frozen=True)
class _Branches:
    """How the branches of one report's map read."""

    report: AuditReport
    width: int
    unicode: bool

    def of(self, latent: LatentReport, sender: SenderReport | None) -> Tree:
        """The tree of one latent."""
        tree = Tree(self._head(latent, sender), guide_style="dim")
        self._moved_by(tree, latent)
        circuits = () if sender is None else sender.circuits
        for circuit in circuits[:MOST_LAYERS]:
            branch = tree.add(self._layer(circuit))
            if circuit.units:
                branch.add(self._units(circuit, MOST_UNITS if len(circuits) <= FEW_LAYERS else 1))
        if len(circuits) > MOST_LAYERS:
            tree.add(dim(f"and {counted(len(circuits) - MOST_LAYERS, 'later layer')}"))
        self._reaches(tree, latent, sender)
        return tree

    def _head(self, latent: LatentReport, sender: SenderReport | None) -> Text:
        head = Text(latent.name, style="bold", overflow="fold")
        if measured(latent):
            head.append(f"  CES {self._figure(latent.ces)}", style="not bold")
            named = drives(latent)
            if named:
                driven = f"{joined([name for name, _ in named])} ({sum(share for _, share in named):.0%} of its effect)"
                head.append(visible(f"; drives {driven}"), style="not bold")
        elif sender is not None:
            head.append(f"  total effect {self._figure(sender.total)}", style="not bold")
        return head

    def _moved_by(self, tree: Tree, latent: LatentReport) -> None:
        moving = self._input_groups(latent.name)
        if moving:
            tree.add(self._listed("moved by", moving, "weaker group"))

    def _input_groups(self, latent: str) -> dict[str, Estimate]:
        """Feature groups with the shift of this latent."""
        if self.report.inputs is not None:
            return {name: row.shift[latent] for name, row in self.report.inputs.groups.items() if latent in row.shift}
        content = self.report.circuit_map
        if content is None:
            return {}
        names = {node.id: node for node in content.nodes}
        return {
            names[edge.source].name: edge.effect
            for edge in content.edges
            if names[edge.target].kind == "latent" and names[edge.target].name == latent
        }

    def _layer(self, circuit: CircuitReport) -> Text:
        if circuit.size == 0:
            return self._line(circuit.site, "no unit carries anything")
        of = f"{circuit.size:,} of {counted(circuit.units_in_layer, 'unit')}"
        if circuit.units_measured < circuit.units_in_layer:
            of += f" ({circuit.units_measured:,} of them measured)"
        share = share_text(circuit.faithfulness, self.width, unicode=self.unicode)
        carried = f"carr{'ies' if circuit.size == 1 else 'y'} {share} of its effect"
        left = f"without {'it' if circuit.size == 1 else 'them'} {percent(circuit.completeness)} is left"
        return self._line(circuit.site, f"{of} {carried}; {left}")

    def _units(self, circuit: CircuitReport, most: int) -> Text:
        """The strongest units, each with its path-specific effect and where it goes."""
        strongest = sorted(circuit.units, key=lambda unit: -(unit.effect.value or 0.0))[:most]
        rest = circuit.size - len(strongest)
        items = [visible(self._unit(unit)) for unit in strongest] + ([counted(rest, "weaker unit")] if rest else [])
        return Text(packed(items, self.width - MARGIN - 2 * GUIDE), overflow="fold")

    def _unit(self, unit: PathUnit) -> str:
        ends = self._largest(unit.end_effects)[: ENDS_PER_UNIT if self.width >= NARROW else 1]
        to = " and ".join(f"{short(name)} {number(e.value, 2)}" for name, e in ends)
        return f"unit {unit.unit}: {number(unit.effect.value)}" + (f" to {to}" if to else "")

    def _reaches(self, tree: Tree, latent: LatentReport, sender: SenderReport | None) -> None:
        if measured(latent) and any(e.value is not None for e in latent.group_effects.values()):
            tree.add(self._listed("reaches", latent.group_effects, "less moved group"))
            return
        # without level 2 the furthest that is known is what its units carry one at a time, in the last layer
        last = next((c for c in reversed(sender.circuits if sender else ()) if c.units), None)
        if last is None:
            return
        through: dict[str, Estimate] = {}
        for unit in last.units:
            for name, e in unit.end_effects.items():
                if name not in through or (e.value or 0.0) > (through[name].value or 0.0):
                    through[name] = e
        if through:
            tree.add(self._listed("single units reach", through, "less moved group"))

    def _listed(self, label: str, effects: Mapping[str, Estimate], rest: str) -> Text:
        """The largest effects, and how many more there are."""
        ranked = self._largest(effects)
        items = [visible(f"{short(name)} {self._figure(e)}") for name, e in ranked[:MOST_GROUPS]]
        if len(ranked) > MOST_GROUPS:
            items.append(counted(len(ranked) - MOST_GROUPS, rest))
        room = self.width - MARGIN - GUIDE
        text = packed(items or ["nothing"], room, first=len(label) + 2)
        return Text(label, style="cyan", overflow="fold").append(f"  {text}", style="default")

    def _line(self, label: str, text: str) -> Text:
        line = Text(visible(short(label)), style="cyan", overflow="fold")
        return line.append(f"  {visible(text)}", style="default")

    def _figure(self, e: Estimate) -> str:
        return estimate_text(e, self.width, unicode=self.unicode)

    def _largest(self, effects: Mapping[str, Estimate]) -> Sequence[tuple[str, Estimate]]:
        """Effects above 0, the largest first; undefined ones are left out."""
        entries = ordered(effects, group_names(self.report)).items()
        known = [(name, e) for name, e in entries if e.value is not None and e.value > 0.0]
        return sorted(known, key=lambda item: -(item[1].value or 0.0))
