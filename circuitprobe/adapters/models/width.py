"""How many model dimensions an encoder takes, found by running it."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitprobe.adapters.models.posterior import named_tensors
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.errors import ModelError
from circuitprobe.types import Posterior


def input_width(vae: ProbedVAE) -> int | None:
    """The one width at which rows go through encoder and decoder and come back as wide as they went in.

    Widths are tried that the weight matrices suggest. None where no width or several fit.
    """
    if vae.encoding is not None:
        return vae.encoding.width
    if vae.input_width is not None:
        return vae.input_width
    if vae.prior_only:
        return _decoded_width(vae)
    widths = sorted({int(p.shape[1]) for p in vae.model.parameters() if p.ndim == 2})
    fitting = [width for width in widths if _fits(vae, width)]
    return fitting[0] if len(fitting) == 1 else None


def _decoded_width(vae: ProbedVAE) -> int | None:
    """The width of what a model without an encoder decodes, with its condition."""
    if vae.code_width is None or vae.condition_width:
        return None
    try:
        return int(vae.decode(torch.zeros(2, vae.code_width, dtype=vae.dtype, device=vae.device)).shape[1])
    except ModelError:
        return None


def _fits(vae: ProbedVAE, width: int) -> bool:
    # two different rows, so that an encoder which standardises its batch has something to standardise
    rows = vae.to_input(torch.linspace(0.0, 1.0, 2 * width).reshape(2, width))
    try:
        output = vae.run_encoder(vae.model, rows)
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's module may raise anything on input of the wrong width
        return False
    return _returns_to(vae, output, rows)


def _returns_to(vae: ProbedVAE, output: object, rows: torch.Tensor) -> bool:
    codes = [output.mean] if isinstance(output, Posterior) else named_tensors(output)[1]
    if isinstance(output, torch.distributions.Distribution):
        codes = [output.mean]
    return any(_decodes_to(vae, code, rows.shape) for code in codes)


def _decodes_to(vae: ProbedVAE, code: Tensor, shape: torch.Size) -> bool:
    try:
        decoded = vae.run_decoder(vae.model, code)
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        return False
    return any(tensor.shape == shape for tensor in named_tensors(decoded)[1])


def require_width(vae: ProbedVAE, seen: int) -> None:
    """Refuse rows whose number of dimensions does not fit the model.

    Raises:
        ModelError: naming both widths.
    """
    expected = input_width(vae)
    if expected is not None and expected != seen:
        raise ModelError(
            f"rows have {seen} dimensions, the model takes {expected}",
            expected=f"rows of {expected} dimensions",
            fix="leave out the columns that the model was not trained on (--target, --schema), or encode them as in training",
        )
