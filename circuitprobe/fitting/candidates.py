"""The encoding of a table under which a model reconstructs best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitprobe.adapters.data import apply_encoding, encoding_features
from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.errors import CircuitProbeError, DataError
from circuitprobe.fitting.finishing import is_constant, nothing_varies
from circuitprobe.fitting.links import choose_links, decoded_rows, some_rows
from circuitprobe.fitting.options import Tried
from circuitprobe.interventions.conditions import without_condition
from circuitprobe.levels.reconstruction import squared_errors
from circuitprobe.probe import Readout
from circuitprobe.probe.readout import feature_std
from circuitprobe.types import MissingValues, Table, TableEncoding

if TYPE_CHECKING:
    from circuitprobe.fitting.condition import Condition
    from circuitprobe.types import FloatArray


SHOWN = 12


@dataclass(frozen=True)
class Candidate:
    """One way of turning a table into a model's rows.

    Attributes:
        encoding: of the columns that are features.
        condition: of those that condition the model, None where there are none.
    """

    encoding: TableEncoding
    condition: Condition | None = None

    def rows(self, vae: ProbedVAE, table: Table) -> tuple[FloatArray, tuple[MissingValues, ...]]:
        """Rows [data dimensions | condition dimensions], shape (rows, dims), and what was missing in them.

        The condition is that of columns, then what the model computes from a row.
        """
        x, missing = apply_encoding(table, self.encoding)
        behind = [] if self.condition is None else [self.condition.rows(table)]
        behind += [] if vae.row_condition is None else [vae.row_condition(x)]
        return np.concatenate([x, *behind], axis=1), missing

    def model(self, vae: ProbedVAE) -> ProbedVAE:
        """The model with the width of the condition told."""
        if self.condition is None:
            return vae
        return replace(vae, condition_width=vae.condition_width + self.condition.width)

    @property
    def described(self) -> TableEncoding:
        """The encoding with the condition's coding among its words."""
        if self.condition is None:
            return self.encoding
        return replace(self.encoding, layout=f"{self.encoding.layout}; condition {self.condition.words}")


def choose(
    vae: ProbedVAE, table: Table, candidates: Sequence[Candidate]
) -> tuple[ProbedVAE, Candidate, tuple[Tried, ...]]:
    """The candidate under which the model reconstructs best, the model settled on it, and what was tried.

    Raises:
        CircuitProbeError: the model fails under all of them.
    """
    tried: list[Tried] = []
    errors: list[CircuitProbeError] = []
    for candidate in candidates:
        try:
            tried.append(Tried(candidate.described, relative_mse(vae, table, candidate)))
        except CircuitProbeError as error:
            errors.append(error)
            tried.append(Tried(candidate.described, None))
    scored = [(entry.mse, number) for number, entry in enumerate(tried) if entry.mse is not None]
    if not scored:
        raise errors[0] if candidates[0].condition is None else no_condition_fits(table, candidates, errors[0])
    best = min(scored)[1]
    tried[best] = replace(tried[best], chosen=True)
    x, _ = candidates[best].rows(vae, table)
    settled = candidates[best].model(vae).resolved(vae.to_input(some_rows(x)))
    return settled, candidates[best], tuple(tried) if len(candidates) > 1 or vae.encoding is None else ()


def no_condition_fits(table: Table, candidates: Sequence[Candidate], first: CircuitProbeError) -> DataError:
    """The error for a model that takes the table under no coding of its condition.

    Args:
        table: the table.
        candidates: all that were tried.
        first: what the model said to the plainest.
    """
    ways = dict.fromkeys(
        (each.encoding.width, each.condition.width, each.condition.words) for each in candidates if each.condition
    )
    shown = [f"    {data} dimensions of the data + {given} of the condition ({words})" for data, given, words in ways]
    names = (
        ", ".join(column.name for column in candidates[0].condition.encoding.columns) if candidates[0].condition else ""
    )
    return DataError(
        f"The model takes {table.source} with the condition {names} in none of these forms:\n"
        + "\n".join(shown[:SHOWN])
        + f"\n    it said: {first.seen}",
        expected="a model whose encoder and decoder both take the condition behind the data or the code",
        fix="other columns (--condition a,b in the model's order), and leave out what is no feature with --target and --ignore",
    )


def relative_mse(vae: ProbedVAE, table: Table, candidate: Candidate) -> float:
    """Reconstruction MSE (METHOD.md section 5) of the table's rows under a candidate, over that of the column means.

    Without an encoder nothing is reconstructed: how far the mean of decoded codes from N(0, I) lies from the mean row, as the
    mean over features of delta_f^2.

    Raises:
        CircuitProbeError: the candidate does not fit the table, or the model fails on it.
    """
    x = some_rows(candidate.rows(vae, table)[0])
    settled = candidate.model(vae).resolved(vae.to_input(x))
    own, _ = without_condition(settled, encoding_features(candidate.encoding), x.shape[1])
    features = tuple(f for f in choose_links(settled, x, own) if not is_constant(x, f))
    if not features:
        raise nothing_varies(table.source)
    readout = Readout.build(features, feature_std(x, features), settled.device)
    inputs = settled.to_input(x)
    reading = readout.read(decoded_rows(settled, inputs))
    rows = readout.rows(torch.as_tensor(x, device=inputs.device))
    if settled.prior_only:
        return float(readout.change(reading.mean(0, keepdim=True), rows.mean(0, keepdim=True)).square().mean())
    errors, constant = squared_errors(readout, reading, rows)
    return float(errors.mean() / constant.mean())
