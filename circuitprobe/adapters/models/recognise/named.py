"""What names and structure suggest for the halves, to be held against what noise shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.names import Half
from circuitprobe.adapters.models.recognise.code import Code
from circuitprobe.adapters.models.recognise.noise import NoiseTap
from circuitprobe.adapters.models.recognise.reading import (
    PosteriorReading,
    RowReading,
    close,
    read_posterior_of,
    read_rows_of,
    tried,
)
from circuitprobe.adapters.models.recognise.trial import Trial, seeded


@dataclass(frozen=True)
class NamedEncoder:
    """A part that gives the posterior that noise shows."""

    reading: PosteriorReading
    name: str
    by_name: bool


@dataclass(frozen=True)
class NamedDecoder:
    """A part that gives the reconstruction that forward gives."""

    reading: RowReading
    name: str
    largest: float
    by_name: bool


def encoder_that_agrees(
    model: nn.Module, x: Tensor, mean: Tensor, std: Tensor, suggested: Half | None, trial: Trial
) -> NamedEncoder | None:
    """The named encoder, or a module that forward calls on the rows, whose output holds mean and spread.

    Args:
        model: the model.
        x: rows as the model takes them.
        mean: shape (rows, entries), float64.
        std: likewise.
        suggested: what is called an encoder.
        trial: a run of forward on the same rows.
    """
    called = [
        (c.path, tuple(c.first.shape[1:]))
        for c in trial.calls
        if not c.leaf and c.first is not None and is_same(c.first, x)
    ]
    halves = ([suggested] if suggested else []) + [module_half(path, shape) for path, shape in called]
    for half in halves:
        with seeded(1, x.device), NoiseTap(1.0):
            output = tried(half.run, model, x)
        if output is None:
            continue
        reading = read_posterior_of(half.run, output, mean, std)
        if reading is not None:
            return NamedEncoder(reading, half.name, half is suggested)
    return None


def decoder_that_agrees(
    model: nn.Module, codes: list[Tensor], wanted: list[Tensor], code: Code, suggested: Half | None, trial: Trial
) -> NamedDecoder | None:
    """The named decoder, or a module that forward calls on the code, that gives what forward gives for the same codes.

    Args:
        model: the model.
        codes: several batches of codes as the decoder takes them.
        wanted: what forward gives for them, each (rows, dims).
        code: the code.
        suggested: what is called a decoder.
        trial: a run of forward without noise, so that the code was its mean.
    """
    called = [
        (c.path, tuple(c.first.shape[1:])) for c in trial.calls if c.first is not None and is_same(c.first, code.mean)
    ]
    halves = ([suggested] if suggested else []) + [module_half(path, shape) for path, shape in called]
    for half in halves:
        readings = []
        for z, rows in zip(codes, wanted, strict=True):
            with seeded(1, z.device), NoiseTap(0.0):
                output = tried(half.run, model, z)
            reading = None if output is None else read_rows_of(half.run, output, rows)
            readings.append(reading if reading is None or _gives_again(reading, model, z, rows) else None)
        first = readings[0]
        if first is not None and all(r is not None and _alike(r, first) for r in readings):
            largest = max(
                float((first(model, z).flatten(1) - rows).abs().max()) for z, rows in zip(codes, wanted, strict=True)
            )
            return NamedDecoder(
                first,
                half.name + (f", then {first.activation}" if first.activation else ""),
                largest,
                half is suggested,
            )
    return None


def _gives_again(reading: RowReading, model: nn.Module, z: Tensor, rows: Tensor) -> bool:
    """Whether a decoder gives the same with other noise: an audit runs it as it is."""
    with seeded(2, z.device), NoiseTap(1.0):
        return close(reading(model, z).flatten(1).double(), rows.double())


def _alike(one: RowReading, other: RowReading) -> bool:
    return one.place == other.place and one.activation == other.activation


def is_same(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, whatever their shape."""
    if tensor.numel() != other.numel() or not tensor.is_floating_point():
        return False
    return close(tensor.double().reshape(other.shape), other.double())


def module_half(path: str, shape: tuple[int, ...] | None = None) -> Half:
    """A module by its dotted path.

    Args:
        path: inside the model.
        shape: in which it takes one row; None: as it comes.
    """

    def run(model: nn.Module, argument: Tensor) -> Any:  # noqa: ANN401
        return model.get_submodule(path)(argument if shape is None else argument.reshape(len(argument), *shape))

    return Half(run, path)


def spread_codes(mean: Tensor, std: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Three batches of codes that differ from the rows' own: two samples of the posterior, one far beyond it.

    Beyond it because forward may clamp a code that a named decoder does not.

    Args:
        mean: shape (rows, entries).
        std: likewise.
        shape: of one code as the decoder takes it.
        dtype: of the model.
    """
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(mean.shape, generator=generator, dtype=torch.float64).to(mean.device) for _ in range(3)]
    made = [
        mean + std * noise[0],
        mean.flip(0) - std * noise[1],
        3 * noise[2] * max(1.0, float(mean.square().mean().sqrt())),
    ]
    return [z.to(dtype).reshape(len(mean), *shape) for z in made]
