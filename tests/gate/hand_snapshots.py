"""What a gate sees of an audit, put together by hand: every figure, interval and resample is known to the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from circuitprobe.gate.metrics import SCORES
from circuitprobe.gate.snapshot import Compared, Details, SeenFeature, SeenLatent, SeenRows, Snapshot, Source
from circuitprobe.report.model import Response
from circuitprobe.report.resamples import pack
from circuitprobe.types import Estimate, FeatureKind

FEATURES = ("height", "weight", "income", "city")
GROUPS = {"body": ("height", "weight"), "money": ("city", "income")}
MODEL = {"mse": 0.1, "specificity": 0.6, "fgd_adjusted": 0.4, "modularity": 0.5, "completeness:body": 0.7}
HALF = 1.959964
"""Half a 95 % interval in standard deviations."""


@dataclass(frozen=True)
class Z:
    """One latent; CES and response follow from its effects where none is given, activity from its KL."""

    effects: tuple[float | None, ...]
    kl: float | None = 1.0
    specificity: float | None = 0.5
    ces: float | None = None
    active: bool | None = None
    response: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Audit:
    """What an audit is to be like.

    Attributes:
        latents: by name.
        model: figures of the whole model but CES, which is the mean over the latents.
        noise: standard error of every figure as a share of it.
        rows: which rows, in a word; the same word draws the same resamples.
        kept: resamples are kept.
    """

    latents: Mapping[str, Z] = field(
        default_factory=lambda: {
            "z0": Z((0.8, 0.6, 0.01, 0.02)),
            "z1": Z((0.02, 0.03, 0.9, 0.5)),
            "z2": Z((0.001, 0.001, 0.002, 0.001), kl=0.001),
        }
    )
    model: Mapping[str, float | None] = field(default_factory=lambda: dict(MODEL))
    features: tuple[str, ...] = FEATURES
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(GROUPS))
    spreads: Mapping[str, float] = field(default_factory=lambda: {"height": 10.0, "weight": 12.0, "income": 800.0})
    noise: float = 0.01
    n: int = 400
    rows: str = "a"
    seed: int = 0
    level_2: bool = True
    kept: bool = True
    target: str | None = None

    def with_latents(self, **latents: Z) -> Audit:
        """Some latents changed or added."""
        return replace(self, latents={**self.latents, **latents})

    def with_model(self, **model: float | None) -> Audit:
        """Some figures of the model changed or added."""
        return replace(self, model={**self.model, **model})

    def whole(self) -> Audit:
        """With every figure that level 2 gives, as baseline files must have them."""
        every = dict.fromkeys((*SCORES, *(f"completeness:{group}" for group in self.groups)), 0.5)
        return replace(self, model={**{name: value for name, value in every.items() if name != "ces"}, **self.model})

    def without(self, *figures: str) -> Audit:
        """Some figures of the model left out."""
        return replace(self, model={name: value for name, value in self.model.items() if name not in figures})

    def estimate(self, value: float | None) -> Estimate:
        """With the interval of the audit's noise."""
        if value is None:
            return Estimate(None, None, None, self.n)
        half = HALF * self.noise * abs(value)
        return Estimate(value, value - half, value + half, self.n)


def ces_of(latent: Z) -> float:
    """CES as one row has it: the root of the mean square effect."""
    given = [0.0 if effect is None else effect for effect in latent.effects]
    return float(np.sqrt(np.mean(np.square(given)))) if latent.ces is None else latent.ces


def snapshot(audit: Audit | None = None, **changes: object) -> Snapshot:
    """The snapshot of an audit by hand."""
    audit = replace(audit or Audit(), **changes)  # type: ignore[arg-type]
    figures = {"mse": audit.model["mse"]} if "mse" in audit.model else {}
    if audit.level_2:
        figures = {"ces": float(np.mean([ces_of(z) for z in audit.latents.values()] or [0.0])), **audit.model}
    latents = {name: _latent(audit, z) for name, z in audit.latents.items()}
    by_name = {**figures, **{f"{m}:{z}": e.value for z, seen in latents.items() for m, e in seen.figures.items()}}
    return Snapshot(
        compared=Compared(
            method_version="1",
            rows=SeenRows(
                audited=audit.n,
                sha256=audit.rows * 8,
                seed=audit.seed,
                intervention_values=8,
                values_from="posterior",
                grid=None,
            ),
            features={
                name: SeenFeature(
                    kind=FeatureKind.NUMERIC if name in audit.spreads else FeatureKind.CATEGORICAL,
                    spread=audit.spreads.get(name),
                )
                for name in audit.features
            },
            groups=dict(audit.groups),
            condition=(),
            target=audit.target,
            figures={name: audit.estimate(value) for name, value in figures.items()},
            latents=latents,
        ),
        details=Details(
            resamples=pack(_resamples(audit, by_name)) if audit.kept else None,
            responses={name: _responses(audit, z) for name, z in audit.latents.items()},
            categories={},
        ),
        source=Source(
            circuitprobe_version="0.0.0", model=f"{audit.rows}.pt", data=f"{audit.rows}.csv", weights_sha256="0" * 64
        ),
    )


def changed(seen: Snapshot, **parts: object) -> Snapshot:
    """A snapshot whose compared part has other values."""
    return seen.model_copy(update={"compared": seen.compared.model_copy(update=parts)})


def _latent(audit: Audit, z: Z) -> SeenLatent:
    known = audit.level_2
    by_feature = dict(zip(audit.features, z.effects, strict=True))
    group_effects = {
        group: float(np.mean([by_feature[member] or 0.0 for member in members]))
        for group, members in audit.groups.items()
    }
    figures = {
        "ces": ces_of(z) if known else None,
        "specificity": z.specificity if known else None,
        "disentanglement": 0.5 if known else None,
        "kl": z.kl,
        "on_support_rate": 0.98 if known else None,
    }
    return SeenLatent(
        active=(z.kl or 0.0) > 0.01 if z.active is None else z.active,
        figures={name: audit.estimate(value) for name, value in figures.items()},
        effects={name: audit.estimate(value) for name, value in by_feature.items()} if known else {},
        group_effects={name: audit.estimate(value) for name, value in group_effects.items()} if known else {},
    )


def _responses(audit: Audit, z: Z) -> dict[str, Response]:
    """Responses of one entry per feature: the effects where nothing else is given."""
    if not audit.level_2:
        return {}
    given = z.effects if z.response is None else z.response
    found = {}
    for name, value in zip(audit.features, given, strict=True):
        e = audit.estimate(value or 0.0)
        found[name] = Response(value=(e.value or 0.0,), low=(e.low or 0.0,), high=(e.high or 0.0,))
    return found


def _resamples(audit: Audit, values: Mapping[str, float | None]) -> dict[str, tuple[float, np.ndarray]]:
    """Every figure with the noise of the rows drawn, which is the same for all of them and for every audit of those rows."""
    noise = np.random.default_rng([audit.seed, *audit.rows.encode()]).standard_normal(1000)
    filled = {name: np.nan if value is None else value for name, value in values.items()}
    return {name: (value, value + audit.noise * abs(value) * noise) for name, value in filled.items()}
