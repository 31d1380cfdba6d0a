"""How many model dimensions an encoder takes, found by running it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from circuitprobe.adapters.models.posterior import named_tensors
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.adapters.models.recognise.outputs import tensors_in
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
    if vae.settle is not None:
        return _width_of_forward(vae, widths) or _only(width for width in widths if _fits(vae, width))
    return _only(width for width in widths if _fits(vae, width))


def _only(widths: Iterable[int]) -> int | None:
    found = list(widths)
    return found[0] if len(found) == 1 else None


def _width_of_forward(vae: ProbedVAE, widths: Sequence[int]) -> int | None:
    """The one width of rows that a model's own forward takes, first among those that it gives back."""
    given = {width: _forward(vae, _two_rows(vae, width)) for width in widths}
    running = [width for width, output in given.items() if output is not None]
    returned = [
        width for width in running if any(tuple(t.shape) == (2, width) for t in tensors_in(given[width]).values())
    ]
    return _only(returned) or (_only(running) if not returned else None)


def _forward(vae: ProbedVAE, rows: Tensor) -> Any:  # noqa: ANN401 - whatever a forward returns
    """What forward returns; None where it does not run."""
    try:
        return vae.model(rows)
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's module may raise anything on input of the wrong width
        return None


def _two_rows(vae: ProbedVAE, width: int) -> Tensor:
    # two different rows, so that an encoder which standardises its batch has something to standardise
    return vae.to_input(torch.linspace(0.0, 1.0, 2 * width).reshape(2, width))


def _decoded_width(vae: ProbedVAE) -> int | None:
    """The width of what a model without an encoder decodes, with its condition."""
    if vae.code_width is None or vae.condition_width:
        return None
    try:
        return int(vae.decode(torch.zeros(2, vae.code_width, dtype=vae.dtype, device=vae.device)).shape[1])
    except ModelError:
        return None


def _fits(vae: ProbedVAE, width: int) -> bool:
    rows = _two_rows(vae, width)
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
    # what the weights suggest counts less than rows that forward takes
    if vae.settle is not None and _forward(vae, _two_rows(vae, seen)) is not None:
        return
    expected = input_width(vae)
    if expected is not None and expected != seen:
        raise ModelError(
            f"rows have {seen} dimensions, the model takes {expected}",
            expected=f"rows of {expected} dimensions",
            fix="leave out the columns that the model was not trained on (--target, --schema), or encode them as in training",
        )
