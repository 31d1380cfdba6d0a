"""The run without an intervention, which every effect is measured against."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.errors import ModelError
from circuitprobe.probe import Readout
from circuitprobe.probe.engine import Engine
from circuitprobe.probe.sites import FoundSite
from circuitprobe.types import Site

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray


@dataclass(frozen=True)
class Baseline:
    """Everything about the audited rows that does not depend on an intervention.

    Attributes:
        mean: mu, shape (rows, code columns), float64; without the condition.
        log_var: log sigma^2, same shape, or None.
        z: mu as the model gave it, on its device in its dtype, with the condition behind it: shape (rows, code width).
        reading: D(mu) as values and probabilities, shape (rows, columns).
        rows: x in the same form.
        sites: the decoder's hidden layers.
        hidden: activations at mu, one (rows, units) tensor per site, spatial means for channels.
        unit_std: s_u per site, shape (units,); 0 for dead units.
        slices: rows of each run of the decoder.
    """

    mean: FloatArray
    log_var: FloatArray | None
    z: Tensor
    reading: Tensor
    rows: Tensor
    sites: tuple[Site, ...]
    hidden: tuple[Tensor, ...]
    unit_std: tuple[Tensor, ...]
    slices: tuple[slice, ...]

    def chunks(self) -> Iterator[slice]:
        """Slices of rows, the same for the baseline and every intervention, so that equal codes give equal output."""
        return iter(self.slices)


@dataclass(frozen=True)
class Halves:
    """A model's two halves, tried out, with the places where they can be intervened on.

    Attributes:
        encoder: rows -> mean, or mean and log-variance side by side; None for a model without one.
        decoder: codes -> output.
        found: every site of both, the encoder's first.
    """

    encoder: Engine | None
    decoder: Engine
    found: tuple[FoundSite, ...]

    @property
    def engines(self) -> dict[str, Engine]:
        """Those that there are, the encoder first."""
        first = {} if self.encoder is None else {"encoder": self.encoder}
        return first | {"decoder": self.decoder}

    @property
    def sites(self) -> tuple[Site, ...]:
        """The decoder's hidden layers, on which modularity is measured."""
        return tuple(entry.site for entry in self.found if entry.half == "decoder" and entry.is_default)


def run_baseline(
    vae: ProbedVAE, halves: Halves, x: FloatArray, readout: Readout, chunk: int | None, codes: Tensor | None = None
) -> Baseline:
    """Encode and decode the rows once.

    Args:
        vae: the model, inside ``untouched``.
        halves: its halves.
        x: rows in the model's space, shape (rows, dims).
        readout: how the output reads.
        chunk: rows per run; None: as many as keep the widest activation near 2 MB.
        codes: of the rows, shape (rows, code width), where there is no encoder.

    Raises:
        ModelError: the model fails or gives nan or infinity on these rows.
    """
    inputs = vae.to_input(x)
    if codes is None:
        encoder = halves.encoder
        codes = posterior_output(vae, inputs) if encoder is None else encoder.read(inputs, (), chunk)[0]
    z, log_var = split_posterior(codes, vae)
    check_finite(z, vae.recognition.encode)
    _check_size(z, vae.recognition.encode)
    engine, sites = halves.decoder, halves.sites
    slices = tuple(engine.pieces(len(z), chunk))
    readings, hidden = [], []
    for rows in slices:
        output, captured = engine.once(z[rows], sites)
        check_finite(output, vae.recognition.decode)
        _check_size(output, vae.recognition.decode)
        readings.append(readout.read(output))
        hidden.append(unit_activations(captured, sites))
    layers = tuple(torch.cat([part[number] for part in hidden]) for number in range(len(sites)))
    return Baseline(
        mean=to_numpy(z[:, : vae.code_columns]),
        log_var=None if log_var is None else to_numpy(log_var[:, : vae.code_columns]),
        z=z,
        reading=torch.cat(readings),
        rows=readout.rows(torch.as_tensor(x, device=inputs.device)),
        sites=sites,
        hidden=layers,
        unit_std=tuple(_unit_std(layer, torch.finfo(z.dtype).eps) for layer in layers),
        slices=slices,
    )


def _check_size(values: Tensor, what: str) -> None:
    """Refuse numbers whose squares, which every effect is made of, are beyond the type's largest."""
    # a factor of 1000 for what interventions add; half precision is squared in single
    most = math.sqrt(torch.finfo(torch.float64 if values.dtype == torch.float64 else torch.float32).max) / 1e3
    reached = float(values.abs().max()) if values.numel() else 0.0
    if reached > most:
        raise ModelError(
            f"{what} gives numbers up to {reached:.3g}",
            expected=f"at most {most:.3g}, so that their squares can be summed in {str(values.dtype).removeprefix('torch.')}",
            fix="look at the weights, some of which are that large; a model in float64 reaches further",
        )


def posterior_output(vae: ProbedVAE, x: Tensor) -> Tensor:
    """The posterior as one tensor: mean, and log-variance beside it where the encoder states one."""
    posterior = vae.encode(x)
    return posterior.mean if posterior.log_var is None else torch.cat([posterior.mean, posterior.log_var], 1)


def split_posterior(output: Tensor, vae: ProbedVAE) -> tuple[Tensor, Tensor | None]:
    """The inverse of ``posterior_output``."""
    if vae.code_width is None or output.shape[1] == vae.code_width:
        return output, None
    return output[:, : vae.code_width], output[:, vae.code_width :]


def _unit_std(layer: Tensor, precision: float) -> Tensor:
    """s_u over the rows, shape (units,); 0 where a unit varies by no more than the rounding of its dtype."""
    std = layer.to(torch.float64).std(dim=0, correction=0)
    return torch.where(std > 8 * precision * layer.abs().amax(dim=0), std, 0.0)


def unit_activations(captured: Mapping[Site, Tensor], sites: Sequence[Site]) -> list[Tensor]:
    """Activations as (rows, units), positions of a map averaged."""
    activations = []
    for site in sites:
        tensor = captured[site].movedim(site.unit_axis, 1)
        activations.append(tensor.flatten(2).mean(dim=2) if tensor.ndim > 2 else tensor)
    return activations


def row_means(values: Tensor) -> FloatArray:
    """Means over axis 1, which counts rows; summed in the model's dtype, in pairs, which torch does fast and exactly enough."""
    return to_numpy(values.sum(1)) / values.shape[1]


def to_numpy(tensor: Tensor) -> FloatArray:
    """A tensor as a float64 array."""
    return np.asarray(tensor.detach().to(dtype=torch.float64, device="cpu").numpy())
