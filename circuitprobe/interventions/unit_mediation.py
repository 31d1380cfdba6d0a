"""Level 4 one step further: latent -> decoder unit -> outputs (METHOD.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.interventions.activations import Unit
from circuitprobe.interventions.baseline import to_numpy
from circuitprobe.interventions.measure import VectorMeasure
from circuitprobe.interventions.mediation import outcome_groups
from circuitprobe.interventions.paths import side_sites
from circuitprobe.interventions.senders import Side, decoder_side
from circuitprobe.interventions.sources import SOURCES
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.probe.engine import MEMORY, Recorded
from circuitprobe.probe.routing import patch
from circuitprobe.types import Feature, Site

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray


@dataclass(frozen=True)
class UnitMediation:
    """Result of mediation from latents through decoder units to feature groups.

    Attributes:
        latents: names, d.
        units: the mediators, in execution order.
        groups: names of the outcomes, H.
        te: root mean square of the latent's total effect, shape (latents, outcomes).
        nie: of the effect through the unit alone, shape (latents, units, outcomes); the run is that of its PSE.
        nde: of the latent's effect with the unit held at its baseline value, same shape.
        interaction: of TE - NIE - NDE, same shape.
        proportion: sum <NIE, TE> / sum <TE, TE>, same shape; nan where TE is 0.
    """

    latents: tuple[str, ...]
    units: tuple[Unit, ...]
    groups: tuple[str, ...]
    te: FloatArray
    nie: FloatArray
    nde: FloatArray
    interaction: FloatArray
    proportion: FloatArray

    def to_frame(self) -> pd.DataFrame:
        """One row per latent, unit and outcome."""
        import pandas as pd

        names = [unit.name for unit in self.units]
        index = pd.MultiIndex.from_product([self.latents, names, self.groups], names=["latent", "unit", "outcome"])
        columns = {
            "te": np.broadcast_to(self.te[:, None], self.nie.shape),
            "nie": self.nie,
            "nde": self.nde,
            "interaction": self.interaction,
            "proportion_mediated": self.proportion,
        }
        return pd.DataFrame({name: values.reshape(-1) for name, values in columns.items()}, index=index).reset_index()


def unit_mediation(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    senders: str | int | Sequence[str | int] | None = None,
    sites: str | Sequence[str] | None = None,
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    sources: int | npt.ArrayLike = SOURCES,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> UnitMediation:
    """How much of a latent's effect passes through each decoder unit.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        senders: latents (``"z3"`` or 3); default all.
        sites: globs over the names of sites; default the decoder's hidden layers.
        features: how the dimensions read; default as for ``inputs``.
        groups: feature groups by name; default every feature its own.
        sources: R, or source rows of shape (R, rows).
        seed: of the draw of source rows.
        chunk: rows per run of the model without interventions; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: an argument that makes no sense.
    """
    asked = Asked(features, groups, sources, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        side, receivers = decoder_side(subject), side_sites(subject, "decoder", sites)
        numbers = range(len(side.senders)) if senders is None else side.numbers(senders)
        found = [_through_units(subject, side, number, receivers) for number in numbers]
        sizes = np.array([len(group.features) for group in subject.groups], dtype=np.float64)
        runs = subject.n * len(subject.sources)

        def rms(name: str) -> FloatArray:
            return np.sqrt(np.stack([getattr(part, name) for part in found]) / runs / sizes)

        whole = np.stack([part.te for part in found])
        with np.errstate(invalid="ignore", divide="ignore"):
            proportion = np.stack([part.agreement for part in found]) / np.where(whole > 0, whole, np.nan)[:, None]
        return UnitMediation(
            latents=tuple(side.senders[number] for number in numbers),
            units=tuple(Unit("decoder", site.name, unit) for site in receivers for unit in range(site.units)),
            groups=tuple(group.name for group in subject.groups),
            te=rms("te"),
            nie=rms("nie"),
            nde=rms("nde"),
            interaction=rms("interaction"),
            proportion=proportion,
        )


@dataclass(frozen=True)
class _Through:
    """Sums over rows and sources, squares summed over each outcome group: te (outcomes,), the rest (units, outcomes)."""

    te: FloatArray
    nie: FloatArray
    nde: FloatArray
    interaction: FloatArray
    agreement: FloatArray


def _through_units(subject: Subject, side: Side, number: int, receivers: Sequence[Site]) -> _Through:
    into = outcome_groups(subject)
    one_by_one = bool((into.sum(0) == 1).all()) and into.shape[0] == into.shape[1]
    units, outcomes = sum(site.units for site in receivers), into.shape[1]
    te = np.zeros(outcomes)
    sums = {name: np.zeros((units, outcomes)) for name in ("nie", "nde", "interaction", "agreement")}

    @lru_cache(maxsize=1)
    def base_of(start: int, stop: int) -> Recorded:
        return side.engine.tape(side.inputs[start:stop], receivers)

    for rows in side.engine.pieces(subject.n, max(1, subject.run.memory // 16 // side.engine.row_bytes)):
        for source in range(len(subject.sources)):
            base = base_of(rows.start, rows.stop)
            moved = side.engine.tape(side.moved(number, source, rows), receivers)
            total = side.vectors(moved.output, base.output)
            te += to_numpy(_grouped(total.square().sum(0)[None], into, one_by_one=one_by_one))[0]
            first = 0
            for site in receivers:
                for name, values in _site_sums(subject, (base, moved, total), site):
                    sums[name][first : first + site.units] += to_numpy(_grouped(values, into, one_by_one=one_by_one))
                first += site.units
    return _Through(te, **sums)


def _grouped(values: Tensor, into: Tensor, *, one_by_one: bool) -> Tensor:
    return values if one_by_one else values @ into


def _site_sums(subject: Subject, runs: tuple[Recorded, Recorded, Tensor], site: Site) -> list[tuple[str, Tensor]]:
    """Sums over rows per unit and reading column, each (units, readings)."""
    base, moved, total = runs
    readout = subject.readout
    # a unit sees the latent alone; all but the unit see it
    alone = patch(base, site, moved.at(site), VectorMeasure(readout, readout.read(base.output)))
    held = patch(moved, site, base.at(site), VectorMeasure(readout, readout.read(moved.output)))
    parts: dict[str, list[Tensor]] = {"nie": [], "nde": [], "interaction": [], "agreement": []}
    for indirect, back in zip(alone, held, strict=True):
        nie, late = indirect.values, back.values
        parts["nie"].append(nie.square().sum(1))
        parts["agreement"].append((nie * total).sum(1))
        # in place: blocks of many pixels do not stay in the cache, and nothing else reads them
        parts["interaction"].append(nie.add_(late).square().sum(1))
        parts["nde"].append(late.add_(total).square().sum(1))
    return [(name, torch.cat(tensors)) for name, tensors in parts.items()]
