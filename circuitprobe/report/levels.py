"""The parts of the report on levels 1, 3 and 4, and the circuit map."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from circuitprobe.report.model import _Model
from circuitprobe.types import Estimate

Half = Literal["encoder", "decoder"]


class InputRow(_Model):
    """METHOD.md section 1 for one feature or feature group."""

    shift: dict[str, Estimate] = Field(
        description="mean |mu_i(do) - mu_i(x)| / s_i per latent, mean over its columns; for a discrete code the "
        "share of indices that change"
    )
    info: dict[str, Estimate] = Field(
        description="mean KL( q(z_i|do) || q(z_i|x) ) per latent, nats, summed over its columns; null without a variance"
    )


class InputLevel(_Model):
    """Level 1, input manipulation: the input matrix."""

    features: dict[str, InputRow]
    groups: dict[str, InputRow] = Field(description="a whole feature group takes its source values")


class UnitReport(_Model):
    """Interchange intervention on one unit."""

    unit: int = Field(description="number on the site's unit axis")
    effect: Estimate = Field(description="mean E at the decoder's output")
    group_effects: dict[str, Estimate] = Field(description="mean delta_f over the features of each group")
    shift: dict[str, Estimate] | None = Field(
        description="mean |d mu_i| / s_i per latent, as in level 1; encoder units only"
    )


class SiteReport(_Model):
    """One layer's site and its units."""

    name: str
    half: Half
    unit_axis: int
    units: int
    unchanged: int = Field(description="units without any effect on any row and source; they are not listed")
    way: str = Field(description="which of the engine's ways patches took; every way gives the same figures")
    way_reason: str
    effects: tuple[UnitReport, ...] = Field(description="units with an effect, in order")


class ActivationLevel(_Model):
    """Level 3, interchange interventions on every unit."""

    rows: int = Field(description="rows that units were patched on")
    sites: tuple[SiteReport, ...]


class PathUnit(_Model):
    """One unit of a circuit."""

    unit: int
    effect: Estimate = Field(description="path-specific effect as E: sender -> unit -> output")
    recovered: Estimate = Field(description="share of the sender's total effect through this unit alone")
    end_effects: dict[str, Estimate] = Field(
        description="mean delta_f over each feature group, or shift of each latent on the encoder side"
    )


class CircuitReport(_Model):
    """The smallest set of a layer's units, strongest path first, that recovers the wanted share of a sender's effect."""

    site: str
    units: tuple[PathUnit, ...]
    size: int
    units_in_layer: int
    units_measured: int = Field(description="fewer than units_in_layer where only candidates were patched")
    complete: bool = Field(description="the wanted share was reached")
    faithfulness: Estimate = Field(description="recovered share with the circuit alone")
    completeness: Estimate = Field(description="share left when the circuit is held and the rest of the layer moves")
    additivity: Estimate = Field(description="E of all receivers of the layer together over the sender's total effect")


class SenderReport(_Model):
    """Path-specific patching from one sender."""

    sender: str
    total: Estimate = Field(description="mean E of the sender's total effect")
    circuits: tuple[CircuitReport, ...] = Field(description="one per layer, in execution order")


class Overlap(_Model):
    """How many units two circuits of one layer share."""

    site: str
    first: str
    second: str
    jaccard: float
    null: float = Field(description="expected Jaccard of two random sets of these sizes")


class PathLevel(_Model):
    """Level 3, path-specific patching and circuits."""

    rows: int = Field(description="rows that paths were patched on")
    share: float = Field(description="of the total effect that a circuit must recover")
    decoder: tuple[SenderReport, ...] = Field(description="active latents -> decoder units -> features")
    encoder: tuple[SenderReport, ...] = Field(description="feature groups -> encoder units -> latents")
    overlaps: tuple[Overlap, ...] = Field(description="of the decoder circuits of two latents")
    mean_size: float | None = Field(description="mean over decoder circuits of size / units that carry anything")
    mean_overlap: float | None = Field(description="mean over the overlaps")
    mean_overlap_null: float | None = Field(description="mean over their values for random sets")


class MediationEntry(_Model):
    """METHOD.md section 4 for one treatment, mediator and outcome."""

    treatment: str
    mediator: str
    outcome: str
    te: Estimate
    nie: Estimate
    nde: Estimate
    interaction: Estimate
    proportion_mediated: Estimate
    p: float = Field(description="two-sided bootstrap p-value of mean <NIE, TE> = 0")
    p_corrected: float = Field(description="Holm-Sidak over all entries")


class MediationLevel(_Model):
    """Level 4, causal mediation: feature group -> latent -> feature group."""

    rows: int
    resamples: int = Field(description="of the tests")
    entries: tuple[MediationEntry, ...]


class Node(_Model):
    """A node of the circuit map."""

    id: str
    kind: Literal["input group", "latent", "unit", "output group"]
    name: str
    site: str | None = Field(description="units only")


class Edge(_Model):
    """An edge of the circuit map."""

    source: str
    target: str
    effect: Estimate = Field(
        description="input group -> latent: shift; latent -> unit: path-specific effect as E; unit -> output group: mean delta_f "
        "of an interchange intervention on the unit"
    )


class CircuitMap(_Model):
    """Input groups -> latents -> units of their circuits -> output groups."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
