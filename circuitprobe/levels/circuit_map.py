"""The circuit map: input groups -> latents -> units of their circuits -> output groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitprobe.report.levels import ActivationLevel, CircuitMap, Edge, InputLevel, Node, PathLevel

if TYPE_CHECKING:
    from collections.abc import Sequence


def circuit_map(
    inputs: InputLevel, activations: ActivationLevel, paths: PathLevel, groups: Sequence[str]
) -> CircuitMap:
    """Put levels 1 and 3 together; latents are those that paths start from.

    Args:
        inputs: level 1.
        activations: interchange interventions.
        paths: circuits.
        groups: feature groups, in order.
    """
    latents = [sender.sender for sender in paths.decoder]
    sites = {
        site.name: {unit.unit: unit for unit in site.effects} for site in activations.sites if site.half == "decoder"
    }
    edges = [
        Edge(source=f"in:{group}", target=name, effect=inputs.groups[group].shift[name])
        for name in latents
        for group in groups
    ]
    used: dict[str, Node] = {}
    for sender in paths.decoder:
        for circuit in sender.circuits:
            for unit in circuit.units:
                name = f"{circuit.site}:{unit.unit}"
                used[name] = Node(id=name, kind="unit", name=name, site=circuit.site)
                edges.append(Edge(source=sender.sender, target=name, effect=unit.effect))
    for name, node in used.items():
        effects = sites.get(node.site or "", {}).get(int(name.rpartition(":")[2]))
        if effects is not None:
            edges += [
                Edge(source=name, target=f"out:{group}", effect=effect)
                for group, effect in effects.group_effects.items()
            ]
    nodes = (
        *(Node(id=f"in:{group}", kind="input group", name=group, site=None) for group in groups),
        *(Node(id=name, kind="latent", name=name, site=None) for name in latents),
        *used.values(),
        *(Node(id=f"out:{group}", kind="output group", name=group, site=None) for group in groups),
    )
    return CircuitMap(nodes=nodes, edges=tuple(edges))
