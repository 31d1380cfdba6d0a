"""Recognition: every claim about a model's halves is tried on real rows (DESIGN section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuitprobe.adapters.models.names import Half
from circuitprobe.adapters.models.probed import check_finite
from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.by_index import by_index
from circuitprobe.adapters.models.recognise.by_name import by_name
from circuitprobe.adapters.models.recognise.by_noise import by_noise
from circuitprobe.adapters.models.recognise.explore import NO_FORWARD_WORDS, explore
from circuitprobe.adapters.models.recognise.found import fixed_rows
from circuitprobe.adapters.models.recognise.named import encoder_that_agrees
from circuitprobe.adapters.models.recognise.outputs import tensors_in
from circuitprobe.adapters.models.recognise.ways import required_beyond_rows
from circuitprobe.errors import CircuitProbeError

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE
    from circuitprobe.errors import ModelError

# rows that claims are tried on
ROWS = 48


@dataclass(frozen=True)
class Suggested:
    """What names say.

    Attributes:
        encoder: what is called an encoder, or None.
        decoder: likewise.
        confirmed: the user has said that what forward samples is the code.
    """

    encoder: Half | None
    decoder: Half | None
    confirmed: bool = False


def recognise(vae: ProbedVAE, x: Tensor, suggested: Suggested, *, real: bool = True) -> ProbedVAE:
    """Settle what encodes and decodes, by what the model does with noise and what its parts are called.

    Args:
        vae: the model, its halves not settled, inside ``untouched``.
        x: rows, shape (rows, dims).
        suggested: what names say.
        real: whether the rows are such as the model was made for; made-up ones need not come back.

    Returns:
        The model with both halves, how they read, and the evidence.

    Raises:
        ModelError: it is no VAE, or it cannot be told; with a spec file to fill in.
    """
    rows = _some(vae, x)
    with torch.no_grad():
        return _recognised(vae, rows, suggested, real=real)


def _some(vae: ProbedVAE, x: Tensor) -> Tensor:
    """Rows from all over the table, which may be sorted; as many as a program takes that takes a fixed number."""
    fixed = fixed_rows(vae.model)
    if fixed is not None and fixed > len(x):
        return x[torch.arange(fixed, device=x.device) % len(x)]
    return x[torch.linspace(0, len(x) - 1, fixed or min(ROWS, len(x)), device=x.device).long()]


def with_order(vae: ProbedVAE, x: Tensor, halves: Suggested) -> ProbedVAE:
    """Settle what an encoder that the user has named returns; which parts they are is the user's word.

    Args:
        vae: the model with the halves that the user named, inside ``untouched``.
        x: rows, shape (rows, dims).
        halves: the same halves, both there.

    Raises:
        ModelError: nothing says what the encoder returns.
    """
    assert halves.encoder is not None  # noqa: S101 - wrap has refused anything else
    assert halves.decoder is not None  # noqa: S101
    rows = _some(vae, x)
    shaped = rows.reshape(len(rows), *vae.row_shape) if vae.row_shape else rows
    with torch.no_grad():
        found = explore(vae.model, rows, vae.row_shape, vae.condition_width)
        if len(found.codes) == 1 and found.zero is not None:
            mean, std = found.codes[0].mean, found.codes[0].std
            agreed = encoder_that_agrees(vae.model, shaped, mean, std, halves.encoder, replace(found.zero, calls=[]))
            if agreed is not None:
                reading = agreed.reading
                said = f"{agreed.name}{reading.spread.words} is the spread of what forward samples, as {reading.kind}"
                recognition = replace(vae.recognition, evidence=(said,))
                return replace(vae, run_encoder=reading, order=("mean", reading.kind), recognition=recognition)
        return by_name(vae, rows, halves.encoder, halves.decoder)


def _recognised(vae: ProbedVAE, rows: Tensor, suggested: Suggested, *, real: bool) -> ProbedVAE:
    methods = [half.name for half in (suggested.encoder, suggested.decoder) if half is not None]
    found = explore(vae.model, rows, vae.row_shape, vae.condition_width, methods)
    for tensor in tensors_in(found.zero.output).values() if found.zero is not None else ():
        check_finite(tensor, "forward")
    with _failures_told(vae):
        if found.codes:
            names = (suggested.encoder, suggested.decoder)
            return by_noise(vae, rows, found, *names, confirmed=suggested.confirmed, real=real)
        if found.zero is not None and found.zero.trace.picks and not found.noise:
            quantised = by_index(vae, rows, found, real=real)
            if quantised is not None:
                return quantised
    # a forward that cannot be run, or whose noise makes no code, says something else than the names
    shows_nothing = found.error == NO_FORWARD_WORDS or (found.way is not None and not found.noise and not found.other)
    if suggested.encoder is not None and suggested.decoder is not None and not suggested.confirmed and shows_nothing:
        return by_name(vae, rows, suggested.encoder, suggested.decoder)
    raise _nothing(vae, found.error if found.way is None else "", found.noise, found.other, suggested)


@contextmanager
def _failures_told(vae: ProbedVAE) -> Iterator[None]:
    """What a model raises on fewer rows or on codes that are not its own becomes a question."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, CircuitProbeError):
        raise
    except (Exception, SystemExit) as error:
        told = str(error).strip().splitlines()
        raise ask(
            vae.model,
            "its forward runs on the rows, but fails on some of them or with other codes or noise "
            f"({type(error).__name__}: {told[-1] if told else 'no reason given'})",
            expected="a forward that takes any number of rows and any code",
        ) from error


def _nothing(
    vae: ProbedVAE,
    error: str,
    noise: bool,
    other: tuple[str, ...],
    suggested: Suggested,
) -> ModelError:
    """Why a model shows no code."""
    missing = " and ".join(
        role for role, half in (("encoder", suggested.encoder), ("decoder", suggested.decoder)) if half is None
    )
    unnamed = f"no {missing} that is known by name, and " if missing else ""
    needed = required_beyond_rows(vae.model)
    if error and needed and not vae.condition_width:
        seen = (
            f"{unnamed}its forward wants {', '.join(needed)} beside the rows; "
            "a condition comes from columns that --condition COLUMN names"
        )
    elif error:
        seen = f"{unnamed}its forward cannot be run on the rows ({error})"
    elif noise:
        seen = (
            f"{unnamed}no noise that it draws makes a code: nothing is mean(x) + sigma(x) * noise, entry by entry, "
            "in evaluation or training mode"
        ) + (f"; its weights are {vae.dtype}, whose rounding hides that" if vae.dtype.itemsize < 4 else "")
    elif other:
        seen = f"{unnamed}it draws no normal noise, only {', '.join(other)}: a code that is not Gaussian"
    else:
        seen = f"{unnamed}its forward draws no noise, neither in evaluation nor in training mode"
    names = [half.name if half else "" for half in (suggested.encoder, suggested.decoder)]
    return ask(vae.model, seen, encode=names[0], decode=names[1])
