"""Matching what named parts return with the mean, the spread and the reconstruction that the noise tap found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.posterior import PosteriorPart
from circuitprobe.adapters.models.recognise.outputs import Path, at, tensors_in
from circuitprobe.errors import ModelError

Run = Callable[[nn.Module, Tensor], Any]
_CLOSE = 1e-3

# what a tensor that is written down for the spread may be, and the standard deviation that it then means
SPREADS: Mapping[PosteriorPart, Callable[[Tensor], Tensor]] = {
    "log_var": lambda t: torch.exp(t / 2),
    "std": lambda t: t,
    "var": lambda t: t.clamp_min(0).sqrt(),
    "log_std": torch.exp,
    "softplus": nn.functional.softplus,
}
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "": lambda t: t,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Place:
    """A tensor of an output, or one half of it along axis 1."""

    path: Path
    half: int | None = None

    def of(self, output: Any) -> Tensor:  # noqa: ANN401
        """The tensor."""
        tensor: Tensor = at(output, self.path)
        return tensor if self.half is None else tensor.chunk(2, 1)[self.half]

    @property
    def words(self) -> str:
        """Such as ``[1]`` or ``[:, :half]``."""
        named = "".join(f"[{key!r}]" if isinstance(key, str) else f"[{key}]" for key in self.path)
        return named + ("" if self.half is None else ("[:, :half]", "[:, half:]")[self.half])


@dataclass(frozen=True)
class PosteriorReading:
    """An encoder whose output holds mean and spread.

    Attributes:
        run: (model, x) -> its output.
        mean: where the mean is.
        spread: where the spread is.
        kind: what the spread is written down as.
    """

    run: Run
    mean: Place
    spread: Place
    kind: PosteriorPart

    def __call__(self, model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread as the encoder gives them."""
        output = self.run(model, x)
        return self.mean.of(output), self.spread.of(output)


@dataclass(frozen=True)
class RowReading:
    """A decoder whose output, after an activation of forward's own, is the reconstruction."""

    run: Run
    place: Place
    activation: str

    def __call__(self, model: nn.Module, z: Tensor) -> Tensor:
        """The reconstruction, shape (rows, ...)."""
        return ACTIVATIONS[self.activation](self.place.of(self.run(model, z)))


def read_posterior_of(run: Run, output: Any, mean: Tensor, std: Tensor) -> PosteriorReading | None:  # noqa: ANN401
    """How an output holds a posterior; None where it does not.

    Args:
        run: what gave the output.
        output: with noise that is not 0, so that a sample is not taken for the mean.
        mean: shape (rows, entries), float64.
        std: shape (rows, entries), float64.
    """
    places = list(_places(output, mean))
    means = [place for place, tensor in places if close(tensor, mean)]
    for place, tensor in places:
        for kind, deviation in SPREADS.items():
            if means and place != means[0] and close(deviation(tensor), std):
                return PosteriorReading(run, means[0], place, kind)
    return None


def holds(output: Any, mean: Tensor) -> bool:  # noqa: ANN401
    """Whether an output holds the mean."""
    return any(close(tensor, mean) for _, tensor in _places(output, mean))


def looks_like_posterior(output: Any, rows: int) -> bool:  # noqa: ANN401
    """Whether an output holds two tensors of one shape (rows, ...)."""
    shapes = [t.shape for t in tensors_in(output).values() if t.ndim > 1 and t.shape[0] == rows]
    return any(shapes.count(shape) > 1 for shape in shapes)


def _places(output: Any, like: Tensor) -> Iterator[tuple[Place, Tensor]]:  # noqa: ANN401
    """Tensors of an output that have as many entries as ``like``, in double precision and flat; halves of larger ones too."""
    for path, tensor in tensors_in(output).items():
        if tensor.ndim < 2 or tensor.shape[0] != len(like):
            continue
        if tensor.numel() == like.numel():
            yield Place(path), tensor.double().flatten(1)
        elif tensor.numel() == 2 * like.numel() and tensor.shape[1] % 2 == 0:
            for half, part in enumerate(tensor.chunk(2, 1)):
                yield Place(path, half), part.double().flatten(1)


def read_rows_of(run: Run, output: Any, wanted: Tensor) -> RowReading | None:  # noqa: ANN401
    """How an output holds the reconstruction; None where it does not.

    Args:
        run: what gave the output.
        output: what a decoder returned.
        wanted: what forward gives for the same codes, shape (rows, dims).
    """
    for path, tensor in tensors_in(output).items():
        if tensor.numel() != wanted.numel() or tensor.ndim < 2 or tensor.shape[0] != len(wanted):
            continue
        for name, activation in ACTIVATIONS.items():
            if close(activation(tensor.flatten(1)).double(), wanted.double()):
                return RowReading(run, Place(path), name)
    return None


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal but for rounding, relative to the size of the second."""
    size = max(float(other.abs().max()), 1e-6) if other.numel() else 1.0
    return one.shape == other.shape and bool(torch.isfinite(one).all()) and deviation(one, other) <= _CLOSE * size


def deviation(one: Tensor, other: Tensor) -> float:
    """The largest difference."""
    return float((one - other).abs().max()) if one.numel() else 0.0


def tried(run: Run, model: nn.Module, argument: Tensor) -> Any:  # noqa: ANN401
    """What a part returns; None where it cannot be run on this."""
    try:
        return run(model, argument.clone())
    except (MemoryError, torch.OutOfMemoryError, ModelError):
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's module may raise anything on input that is not for it
        return None
