"""Level 3, interchange interventions: a_u(x) <- a_u(x') for every unit of encoder and decoder (METHOD.md section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.interventions.baseline import row_means, to_numpy
from circuitprobe.interventions.measure import CodeMeasure, OutputMeasure, ThroughDecoder
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.interventions.sweep import Pairing, Sweep
from circuitprobe.probe.engine import MEMORY
from circuitprobe.probe.sites import choose_sites
from circuitprobe.types import Feature, Site

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray

HalfName = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Unit:
    """One unit: a neuron of a layer, or a channel of a convolution.

    Attributes:
        half: where it is.
        site: name of the site.
        unit: its number on the site's unit axis.
    """

    half: HalfName
    site: str
    unit: int

    @property
    def name(self) -> str:
        """``decoder.1:17``."""
        return f"{self.site}:{self.unit}"


@dataclass(frozen=True)
class ActivationEffects:
    """Result of interchange interventions.

    Attributes:
        units: every unit of the chosen sites, in execution order; units that do not change have effects 0.
        features: names, F.
        latents: names, d.
        strength: E per row, mean over the source rows, shape (rows, units).
        changes: mean delta_f, shape (units, features).
        shift: mean |mu_i(patched) - mu_i| / s_i for units of the encoder, nan for the decoder's, shape (units, latents).
    """

    units: tuple[Unit, ...]
    features: tuple[str, ...]
    latents: tuple[str, ...]
    strength: FloatArray
    changes: FloatArray
    shift: FloatArray

    @property
    def effect(self) -> FloatArray:
        """Mean E per unit, shape (units,)."""
        return np.asarray(self.strength.mean(axis=0))

    def to_frame(self) -> pd.DataFrame:
        """One row per unit: half, site, unit, effect, changes of the features, shifts of the latents."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "half": [unit.half for unit in self.units],
                "site": [unit.site for unit in self.units],
                "unit": [unit.unit for unit in self.units],
                "effect": self.effect,
            }
        )
        changes = pd.DataFrame(self.changes, columns=list(self.features))
        shifts = pd.DataFrame(self.shift, columns=[f"shift_{name}" for name in self.latents])
        return pd.concat([frame, changes, shifts], axis=1)


def activations(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    sites: str | Sequence[str] | None = None,
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> ActivationEffects:
    """Interchange interventions on their own: every unit in turn takes its value from another row.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        sites: globs over the names of sites (``decoder.*``, ``encoder:trunk.*``); default the activation output of every
            hidden layer of encoder and decoder.
        features: how the dimensions read; default as for ``inputs``.
        groups: not used by this level; every level takes the same arguments.
        sources: R, or source rows of shape (R, rows).
        seed: of the draw of source rows.
        chunk: rows per run of the model without interventions; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Returns:
        Effects in standard deviations (numeric) or probability (categorical), all >= 0.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense, a glob that matches nothing.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        units: list[Unit] = []
        strength, changes, shift = [], [], []
        latents, wide = len(subject.latents), len(subject.features)
        for half, site in chosen_sites(subject, sites):
            for block, values in interchange(subject, half, site):
                units += [Unit(half, site.name, int(unit)) for unit in block]
                inner = latents if half == "encoder" else 0
                strength.append(to_numpy(values[:, :, -1]).T)
                means = row_means(values)
                changes.append(means[:, inner : inner + wide])
                scaled = to_numpy(subject.shifts.scaled) > 0
                shift.append(
                    np.where(scaled, means[:, :latents], np.nan) if inner else np.full((len(block), latents), np.nan)
                )
        return ActivationEffects(
            units=tuple(units),
            features=tuple(feature.name for feature in subject.features),
            latents=subject.latents,
            strength=np.concatenate([np.empty((subject.n, 0)), *strength], axis=1),
            changes=np.concatenate([np.empty((0, wide)), *changes]),
            shift=np.concatenate([np.empty((0, latents)), *shift]),
        )


def chosen_sites(subject: Subject, globs: str | Sequence[str] | None) -> list[tuple[HalfName, Site]]:
    """The sites to intervene on, the encoder's first.

    Raises:
        UsageError: a glob that matches nothing.
    """
    wanted = [globs] if isinstance(globs, str) else globs
    return [(entry.half, entry.site) for entry in choose_sites(subject.halves.found, wanted)]


def interchange(
    subject: Subject, half: HalfName, site: Site, units: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every unit of a site takes its value from the source rows.

    Args:
        subject: the model on its rows.
        half: where the site is.
        site: the site.
        units: which; default all.

    Yields:
        Units and, per unit and row, means over the sources: for the decoder F feature changes and E, for the encoder d
        shifts, F feature changes and E; shape (units, rows, columns).
    """
    engine = subject.encoder if half == "encoder" else subject.halves.decoder
    inputs, pool = (subject.inputs, subject.pool) if half == "encoder" else (subject.base.z, subject.codes)

    @lru_cache(maxsize=1)
    def recorded(start: int, stop: int) -> tuple[object, ...]:
        base = engine.tape(inputs[start:stop], [site])
        return base, measure_of(subject, half, base.output)

    @lru_cache(maxsize=len(subject.sources))
    def source(number: int, start: int, stop: int) -> Tensor:
        return engine.read(pool[subject.sources[number, start:stop]], [site])[1][site]

    def pairing(number: int, rows: slice) -> Pairing:
        base, measure = recorded(rows.start, rows.stop)
        return Pairing(base, {site: source(number, rows.start, rows.stop)}, measure)  # type: ignore[arg-type]

    sweep = Sweep(engine, subject.n, len(subject.sources), pairing)
    columns = len(subject.features) + 1 + (len(subject.latents) if half == "encoder" else 0)
    yield from sweep.units(site, columns, units)


def measure_of(subject: Subject, half: HalfName, output: Tensor) -> OutputMeasure | ThroughDecoder:
    """What interchange interventions read off, against a run that gave ``output``."""
    readout, decoder = subject.readout, subject.halves.decoder
    if half == "decoder":
        return OutputMeasure(readout, readout.read(output))
    columns, width = subject.blocks.columns, subject.base.z.shape[1]
    reading = readout.read(decoder.forward(output[:, :width]))
    codes = CodeMeasure(output[:, :columns], subject.shifts)
    return ThroughDecoder(codes, OutputMeasure(readout, reading), decoder.forward, width)
