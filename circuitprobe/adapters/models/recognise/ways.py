"""The ways in which a model can be made to run as in training: what it is called with, and in which mode."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# flags of forward methods that ask for a sample of the posterior
_FLAGS = (
    "sample_posterior",
    "sample",
    "sampling",
    "do_sample",
    "stochastic",
    "reparameterize",
    "reparametrize",
    "use_noise",
    "add_noise",
    "training",
    "train",
)
_KEYS = ("data", "x", "inputs", "input")


@dataclass(frozen=True)
class Way:
    """One way to run a model on rows.

    Attributes:
        row_shape: shape of one row as the model takes it, () for flat rows.
        key: the entry of a dictionary that the rows go into; "" where the model takes a tensor.
        flags: keyword arguments.
        training: whether everything but dropout and normalisation is in training mode.
        condition: how the last dimensions of a row are given: "" not at all, "second" as second argument, "class" as class
            numbers.
        condition_width: how many dimensions those are.
        method: what is called: "" the model itself.
    """

    row_shape: tuple[int, ...] = ()
    key: str = ""
    flags: tuple[tuple[str, bool], ...] = ()
    training: bool = False
    condition: str = ""
    condition_width: int = 0
    method: str = ""

    def call(self, model: nn.Module, x: Tensor) -> Any:  # noqa: ANN401 - whatever the model returns
        """Run the model on rows of shape (rows, dims)."""
        data = x
        more: tuple[Tensor, ...] = ()
        if self.condition:
            data, given = x[:, : -self.condition_width], x[:, -self.condition_width :]
            more = (given if self.condition == "second" else _classes(given),)
        shaped = data.reshape(len(data), *self.row_shape) if self.row_shape else data
        argument: Any = {self.key: shaped} if self.key else shaped
        function = getattr(model, self.method) if self.method else model
        with sampling_mode(model) if self.training else _as_it_is():
            return function(argument, *more, **dict(self.flags))

    def words(self) -> str:
        """What was done, for the evidence."""
        said = [f"{name}={value}" for name, value in self.flags]
        call = f"{self.method or 'forward'}({', '.join(['x', *(['condition'] if self.condition else []), *said])})"
        return call + (" in training mode, dropout and normalisation as in evaluation" if self.training else "")


def ways(model: nn.Module, width: int, row_shape: tuple[int, ...], condition_width: int) -> Iterator[Way]:
    """Ways to run a model, the plainest first.

    Args:
        model: any module.
        width: dimensions of a row, without the condition.
        row_shape: shape in which the rows came, () for flat rows.
        condition_width: dimensions that condition both halves.
    """
    shapes = [row_shape, (1, *row_shape), (width,)] if row_shape else [(), (1, width)]
    conditions = ("second", "class", "") if condition_width else ("",)
    flags = _flags_of(model)
    for training in (False, True):
        for set_flags in (*(((flag, True),) for flag in flags), ()) if flags else ((),):
            for condition in conditions:
                for shape in shapes:
                    for key in ("", *_KEYS[:2]):
                        given = condition_width if condition else 0
                        if condition_width and not condition:
                            shape = () if not row_shape else shape  # noqa: PLW2901 - the whole row goes in
                        yield Way(shape, key, set_flags, training, condition, given)


def _flags_of(model: nn.Module) -> tuple[str, ...]:
    names = parameters_of(model.forward)
    return tuple(name for name, default in names.items() if name in _FLAGS and isinstance(default, bool))


def parameters_of(function: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any callable
    """Names of a function's parameters with their defaults; empty where nothing is known of them."""
    try:
        found = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {name: parameter.default for name, parameter in found.items()}


def required_beyond_rows(model: nn.Module) -> tuple[str, ...]:
    """Arguments of forward without a default, other than the rows."""
    try:
        found = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    needed = [p.name for p in found if p.default is inspect.Parameter.empty and p.kind in kinds]
    return tuple(needed[1:])


@contextmanager
def sampling_mode(model: nn.Module) -> Iterator[None]:
    """Everything but dropout and normalisation in training mode inside the block."""
    before = {name: module.training for name, module in model.named_modules()}
    try:
        for module in model.modules():
            # an attribute of every module; train() would also run what a class overrides
            module.training = not _random_or_normalising(module)
        yield
    finally:
        for name, module in model.named_modules():
            module.training = before.get(name, module.training)


def _random_or_normalising(module: nn.Module) -> bool:
    if isinstance(module, (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)):  # noqa: SLF001 - their only common classes
        return True
    kind = str(getattr(module, "original_name", type(module).__name__)).lower()
    return "dropout" in kind or "norm" in kind


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _classes(given: Tensor) -> Tensor:
    """Class numbers of a condition: of one-hot columns their position, of one column its value."""
    return given.argmax(1) if given.shape[1] > 1 else given[:, 0].round().to(torch.int64)
