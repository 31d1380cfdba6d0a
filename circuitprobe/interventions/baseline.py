"""The run without an intervention, which every effect is measured against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.probe import Readout, capture, hidden_sites
from circuitprobe.types import Site

if TYPE_CHECKING:
    from circuitprobe.probe.hooks import Recording
    from circuitprobe.types import FloatArray

WIDEST_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Baseline:
    """Everything about the audited rows that does not depend on an intervention.

    Attributes:
        mean: mu, shape (rows, latents), float64.
        log_var: log sigma^2, same shape, or None.
        z: mu as the model gave it, on its device in its dtype.
        reading: D(mu) as values and probabilities, shape (rows, columns).
        rows: x in the same form.
        sites: the decoder's hidden layers.
        hidden: activations at mu, one (rows, units) tensor per site, spatial means for channels.
        unit_std: s_u per site, shape (units,); 0 for dead units.
        chunk: rows per run of the decoder.
    """

    mean: FloatArray
    log_var: FloatArray | None
    z: Tensor
    reading: Tensor
    rows: Tensor
    sites: tuple[Site, ...]
    hidden: tuple[Tensor, ...]
    unit_std: tuple[Tensor, ...]
    chunk: int

    def chunks(self) -> Iterator[slice]:
        """Slices of rows, the same for the baseline and every intervention, so that equal codes give equal output."""
        return row_chunks(len(self.z), self.chunk)


def row_chunks(rows: int, chunk: int) -> Iterator[slice]:
    """Slices of at most ``chunk`` rows that cover ``rows``."""
    return (slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk))


def run_baseline(vae: ProbedVAE, x: FloatArray, readout: Readout, chunk: int | None) -> Baseline:
    """Encode and decode the rows once.

    Args:
        vae: the model, inside ``untouched``.
        x: rows in the model's space, shape (rows, dims).
        readout: how the output reads.
        chunk: rows per run; None: as many as keep the widest activation near 2 MB.

    Raises:
        ModelError: the model fails or gives nan or infinity on these rows.
    """
    inputs = vae.to_input(x)
    sites = hidden_sites(vae.model, vae.decode, vae.encode(inputs[:2]).mean)
    width = max([x.shape[1], *(site.units for site in sites)])
    chunk = chunk or max(16, WIDEST_BYTES // (width * inputs.element_size()))
    slices = list(row_chunks(len(inputs), chunk))
    posteriors = [vae.encode(inputs[rows]) for rows in slices]
    z = torch.cat([posterior.mean for posterior in posteriors])
    log_vars = [posterior.log_var for posterior in posteriors if posterior.log_var is not None]
    readings, hidden = [], []
    with capture(vae.model, sites) as recording:
        for rows in slices:
            recording.clear()
            output = vae.decode(z[rows])
            check_finite(output, vae.recognition.decode)
            readings.append(readout.read(output))
            hidden.append(unit_activations(recording, sites))
    layers = tuple(torch.cat([part[number] for part in hidden]) for number in range(len(sites)))
    check_finite(z, vae.recognition.encode)
    return Baseline(
        mean=to_numpy(z),
        log_var=to_numpy(torch.cat(log_vars)) if log_vars else None,
        z=z,
        reading=torch.cat(readings),
        rows=readout.rows(torch.as_tensor(x, device=inputs.device)),
        sites=sites,
        hidden=layers,
        unit_std=tuple(_unit_std(layer, torch.finfo(z.dtype).eps) for layer in layers),
        chunk=chunk,
    )


def _unit_std(layer: Tensor, precision: float) -> Tensor:
    """s_u over the rows, shape (units,); 0 where a unit varies by no more than the rounding of its dtype."""
    std = layer.to(torch.float64).std(dim=0, correction=0)
    return torch.where(std > 8 * precision * layer.abs().amax(dim=0), std, 0.0)


def unit_activations(recording: Recording, sites: tuple[Site, ...]) -> list[Tensor]:
    """Recorded activations as (rows, units), positions of a map averaged."""
    activations = []
    for site in sites:
        tensor = recording.tensors[site].movedim(site.unit_axis, 1)
        activations.append(tensor.flatten(2).mean(dim=2) if tensor.ndim > 2 else tensor)
    return activations


def to_numpy(tensor: Tensor) -> FloatArray:
    """A tensor as a float64 array."""
    return np.asarray(tensor.detach().to(dtype=torch.float64, device="cpu").numpy())
