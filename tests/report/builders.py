"""Audit reports put together by hand: plausible figures that are known to the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitprobe.report import AuditReport
from circuitprobe.report.levels import (
    ActivationLevel,
    CircuitMap,
    CircuitReport,
    Edge,
    InputLevel,
    InputRow,
    MediationEntry,
    MediationLevel,
    Node,
    Overlap,
    PathLevel,
    PathUnit,
    SenderReport,
    SiteReport,
    UnitReport,
)
from circuitprobe.report.model import (
    DataReport,
    FeatureReconstruction,
    FeatureReport,
    LatentReport,
    LevelStatus,
    ModelReport,
    Reconstruction,
    Response,
    Scores,
    Settings,
    Twin,
)
from circuitprobe.types import Estimate, FeatureKind, Link

N = 500
UNDEFINED = Estimate(None, None, None, N)
LEVEL_NAMES = {1: "input manipulation", 2: "latent perturbation", 3: "activation patching", 4: "causal mediation"}


def e(value: float, null: float | None = None) -> Estimate:
    """A value with an interval of a tenth of it to both sides."""
    return Estimate(value, value - 0.1 * abs(value), value + 0.1 * abs(value), N, null)


def share(value: float) -> Estimate:
    """A share, whose interval ends at 1."""
    return Estimate(value, 0.9 * value, min(1.1 * value, 1.0), N)


@dataclass(frozen=True)
class Shape:
    """What a report is to be like.

    Attributes:
        latents: d; the last is inactive where there are several.
        groups: feature groups by name.
        layers: decoder sites with their number of units.
        encoder: encoder sites with theirs.
        levels: which were run.
        circuit: units of each circuit.
        significant: share of the mediations that are.
        undefined: every estimate of a latent is undefined, as for a model that gives no effect.
        variance: the encoder states one, so that information is defined.
    """

    latents: int = 4
    groups: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("body", ("height", "weight")),
        ("money", ("income", "city")),
        ("habits", ("smoker",)),
    )
    layers: tuple[tuple[str, int], ...] = (("decoder.1", 256), ("decoder.3", 64))
    encoder: tuple[tuple[str, int], ...] = (("encoder.1", 64),)
    levels: tuple[int, ...] = (1, 2, 3, 4)
    circuit: int = 41
    significant: float = 0.25
    undefined: bool = False
    variance: bool = True


def make_report(shape: Shape | None = None) -> AuditReport:
    """A report of that shape; every figure follows from the names' places, none is drawn."""
    shape = shape or Shape()
    names = [name for _, members in shape.groups for name in members]
    latents = tuple(_latent(shape, i, names) for i in range(shape.latents))
    run = set(shape.levels)
    paths = _paths(shape) if 3 in run else None
    return AuditReport(
        circuitprobe_version="0.0.0",
        model=_model(shape),
        data=_data(shape, names),
        settings=Settings(
            seed=0,
            intervention_values=8,
            resamples=1000,
            permutations=500,
            values_from="posterior",
            levels=shape.levels,
            sources=4,
            sources_from="drawn",
            sites=None,
            backend="hooks",
        ),
        verdict=("The model reconstructs.",),
        warnings=(),
        levels=tuple(
            LevelStatus(
                level=level, name=LEVEL_NAMES[level], run=level in run, reason=None if level in run else "not asked for"
            )  # type: ignore[arg-type]
            for level in LEVEL_NAMES
        ),
        reconstruction=Reconstruction(
            mse=e(0.1, 1.0),
            reconstructs=True,
            features={name: FeatureReconstruction(mse=e(0.1, 1.0), r2=e(0.9), accuracy=None) for name in names},
        ),
        latents=latents,
        scores=_scores(shape) if 2 in run else None,
        inputs=_inputs(shape) if 1 in run else None,
        activations=_activations(shape) if 3 in run else None,
        paths=paths,
        mediation=_mediation(shape) if 4 in run else None,
        circuit_map=_map(shape, paths) if paths is not None and 1 in run else None,
        twin=Twin(how="not asked for", scores=None, mse=None),
        downstream=None,
    )


def _latent(shape: Shape, i: int, names: list[str]) -> LatentReport:
    known = 2 in shape.levels and not shape.undefined

    def maybe(value: float) -> Estimate:
        return e(value) if known else UNDEFINED

    return LatentReport(
        name=f"z{i}",
        active=shape.latents == 1 or i < shape.latents - 1,
        kl=e(1.0 / (i + 1) if shape.latents == 1 or i < shape.latents - 1 else 0.001),
        scale=e(1.0),
        posterior_values=(-1.0, 1.0),
        prior_values=(-3.0, 3.0),
        ces=maybe(0.4 / (i + 1)),
        ces_prior=maybe(0.5 / (i + 1)),
        on_support_rate=UNDEFINED if shape.undefined else share(0.98),
        on_support_rate_prior=maybe(0.5),
        specificity=maybe(0.6),
        inverse_entropy=maybe(1.5),
        disentanglement=maybe(0.7),
        effects={}
        if 2 not in shape.levels
        else {name: maybe(1.0 / (1 + (i + f) % len(names)) ** 2) for f, name in enumerate(names)},
        group_effects={}
        if 2 not in shape.levels
        else {name: maybe(0.8 / (1 + (i + g) % len(shape.groups))) for g, (name, _) in enumerate(shape.groups)},
        response={name: _response(1.0 / (1 + (i + f) % len(names)) ** 2) for f, name in enumerate(names)} if known else {},
    )  # fmt: skip


def _response(value: float) -> Response:
    return Response(value=(value,), low=(0.99 * value,), high=(1.01 * value,))


def _scores(shape: Shape) -> Scores:
    def maybe(value: float, null: float | None = None) -> Estimate:
        return UNDEFINED if shape.undefined else e(value, null)

    rate = UNDEFINED if shape.undefined else share(0.98)
    active = max(shape.latents - 1, min(shape.latents, 1))
    return Scores(
        ces=maybe(0.3), ces_active=maybe(0.33), ces_prior=maybe(0.4), calibration_ratio=maybe(1.33), on_support_rate=rate,
        on_support_rate_prior=maybe(0.5), specificity=maybe(0.6), inverse_entropy=maybe(1.5), fgd=maybe(0.6, 0.3),
        fgd_adjusted=maybe(0.43), fgd_p=0.002, fgc=maybe(0.5), completeness={name: maybe(0.5) for name, _ in shape.groups},
        modularity=maybe(0.5), modularity_by_layer={name: maybe(0.5) for name, _ in shape.layers}, active_latents=active,
    )  # fmt: skip


def _inputs(shape: Shape) -> InputLevel:
    latents = range(shape.latents)

    def row(place: int, size: float) -> InputRow:
        shift = {f"z{i}": UNDEFINED if shape.undefined else e(size / (1 + abs(place - i))) for i in latents}
        info = {f"z{i}": e(2 * size / (1 + abs(place - i))) if shape.variance else UNDEFINED for i in latents}
        return InputRow(shift=shift, info=info)

    names = [name for _, members in shape.groups for name in members]
    return InputLevel(
        features={name: row(f, 0.5) for f, name in enumerate(names)},
        groups={name: row(g, 0.9) for g, (name, _) in enumerate(shape.groups)},
    )


def _activations(shape: Shape) -> ActivationLevel:
    groups = [name for name, _ in shape.groups]

    def unit(half: str, number: int) -> UnitReport:
        shift = {f"z{i}": e(0.1) for i in range(shape.latents)} if half == "encoder" else None
        effects = {name: e(0.1 / (1 + g)) for g, name in enumerate(groups)}
        return UnitReport(unit=number, effect=e(0.2 / (1 + number)), group_effects=effects, shift=shift)

    sites = [("encoder", *site) for site in shape.encoder] + [("decoder", *site) for site in shape.layers]
    return ActivationLevel(
        rows=256,
        sites=tuple(
            SiteReport(
                name=name,
                half=half,  # type: ignore[arg-type]
                unit_axis=1,
                units=units,
                unchanged=min(2, units - 1),
                way="substitution",
                way_reason="the next layer reads it",
                effects=tuple(unit(half, number) for number in range(units - min(2, units - 1))),
            )
            for half, name, units in sites
        ),
    )


def _circuit(shape: Shape, site: str, units: int, place: int, ends: list[str]) -> CircuitReport:
    size = 0 if shape.undefined else min(shape.circuit, units)
    return CircuitReport(
        site=site,
        units=tuple(
            PathUnit(
                unit=(place + 7 * number) % units,
                effect=e(0.15 / (1 + number)),
                recovered=e(0.3 / (1 + number)),
                end_effects={name: e(0.2 / (1 + (place + k) % len(ends))) for k, name in enumerate(ends)},
            )
            for number in range(size)
        ),
        size=size,
        units_in_layer=units,
        units_measured=units if units < 200 else 128,
        complete=size > 0 and site != "decoder.3",
        faithfulness=UNDEFINED if shape.undefined else e(0.92),
        completeness=UNDEFINED if shape.undefined else e(0.06),
        additivity=UNDEFINED if shape.undefined else e(1.0),
    )


def _paths(shape: Shape) -> PathLevel:
    groups, latents = [name for name, _ in shape.groups], [f"z{i}" for i in range(shape.latents)]

    def sender(name: str, place: int, sites: tuple[tuple[str, int], ...], ends: list[str]) -> SenderReport:
        total = UNDEFINED if shape.undefined else e(0.5 / (1 + place))
        circuits = tuple(_circuit(shape, site, units, place, ends) for site, units in sites)
        return SenderReport(sender=name, total=total, circuits=circuits)

    active = latents[:-1] or latents
    overlaps = tuple(
        Overlap(site=site, first=active[0], second=other, jaccard=0.3, null=0.1)
        for site, _ in shape.layers
        for other in active[1:]
    )
    undefined = shape.undefined or not overlaps
    return PathLevel(
        rows=256,
        share=0.9,
        decoder=tuple(sender(name, i, shape.layers, groups) for i, name in enumerate(active)),
        encoder=tuple(sender(name, g, shape.encoder, active) for g, name in enumerate(groups)),
        overlaps=overlaps,
        mean_size=None if undefined else 0.2,
        mean_overlap=None if undefined else 0.3,
        mean_overlap_null=None if undefined else 0.1,
    )


def _mediation(shape: Shape) -> MediationLevel:
    groups = [name for name, _ in shape.groups]
    keys = [(g, i, h) for g in groups for i in range(shape.latents) for h in groups]
    real = round(shape.significant * len(keys))
    undefined = shape.undefined
    return MediationLevel(
        rows=N,
        resamples=1000,
        entries=tuple(
            MediationEntry(
                treatment=g,
                mediator=f"z{i}",
                outcome=h,
                te=e(0.5),
                nie=e(0.3 / (1 + place)),
                nde=e(0.2),
                interaction=e(0.01),
                proportion_mediated=UNDEFINED if undefined else e(0.9 / (1 + place) ** 0.5),
                p=0.0001 if place < real else 0.5,
                p_corrected=0.004 if place < real else 1.0,
            )
            for place, (g, i, h) in enumerate(keys)
        ),
    )


def _map(shape: Shape, paths: PathLevel) -> CircuitMap:
    groups = [name for name, _ in shape.groups]
    nodes = [Node(id=f"in:{name}", kind="input group", name=name, site=None) for name in groups]
    nodes += [Node(id=sender.sender, kind="latent", name=sender.sender, site=None) for sender in paths.decoder]
    nodes += [Node(id=f"out:{name}", kind="output group", name=name, site=None) for name in groups]
    edges = [
        Edge(source=f"in:{name}", target=sender.sender, effect=UNDEFINED if shape.undefined else e(0.5))
        for name in groups
        for sender in paths.decoder
    ]
    seen = set[str]()
    for sender in paths.decoder:
        for circuit in sender.circuits:
            for unit in circuit.units:
                name = f"{circuit.site}:{unit.unit}"
                if name not in seen:
                    nodes.append(Node(id=name, kind="unit", name=name, site=circuit.site))
                    edges += [Edge(source=name, target=f"out:{group}", effect=e(0.1)) for group in groups]
                seen.add(name)
                edges.append(Edge(source=sender.sender, target=name, effect=unit.effect))
    return CircuitMap(nodes=tuple(nodes), edges=tuple(edges))


def _model(shape: Shape) -> ModelReport:
    return ModelReport(
        source="vae.pt", class_name="VAE", latents=shape.latents, input_width=7, parameters=1234, dtype="float32",
        weights_sha256="0" * 64, encode="encode", decode="decode", posterior="(mean, log_var)", evidence=(),
    )  # fmt: skip


def _data(shape: Shape, names: list[str]) -> DataReport:
    group_of = {name: group for group, members in shape.groups for name in members}
    return DataReport(
        source="people.csv",
        rows_total=2 * N,
        rows_audited=N,
        rows_sha256="0" * 64,
        columns=(),
        features=tuple(
            FeatureReport(
                name=name, kind=FeatureKind.NUMERIC, group=group_of[name], dims=(f,), link=Link.IDENTITY, std=1.0, center=0.0,
                scale=1.0, categories=(),
            )
            for f, name in enumerate(names)
        ),
        groups=dict(shape.groups),
        groups_from="file",
        scaling=None,
        encodings_tried=(),
        left_out=(),
        missing=(),
        target=None,
    )  # fmt: skip


def wide_shape() -> Shape:
    """Long names, many latents and layers, as a large table and a deep model have them."""
    rng = np.random.default_rng(0)
    groups = tuple(
        (f"group_{g}_" + "".join(rng.choice(list("abcdefgh"), 30)), tuple(f"column_{g}_{f}" for f in range(3)))
        for g in range(12)
    )
    layers = tuple((f"decoder.blocks.{number}.feed_forward.activation", 128) for number in range(10))
    return Shape(latents=20, groups=groups, layers=layers, encoder=layers[:2])
