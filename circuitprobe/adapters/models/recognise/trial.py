"""Tapped runs of a model on a few rows, and which modules ran in them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.recognise.noise import NoiseTap, Trace
from circuitprobe.adapters.models.recognise.outputs import left_on
from circuitprobe.adapters.models.recognise.ways import Way


@dataclass(frozen=True)
class Call:
    """One call of a module, or of a method of the model, in a run.

    Attributes:
        path: dotted path.
        leaf: whether it is a module without children.
        first: its first argument, a copy, where that is a tensor.
        output: what it returned, copies of nothing: only read before anything else runs.
        steps: how many steps of the tap there had been when it returned.
        picks: likewise.
    """

    path: str
    leaf: bool
    first: Tensor | None
    output: Any
    steps: int
    picks: int


@dataclass
class Trial:
    """A tapped run.

    Attributes:
        trace: what the tap saw.
        output: what the model returned.
        left: tensors that modules carry as attributes after the run.
        calls: of modules, in the order in which they returned.
    """

    trace: Trace
    output: Any
    left: dict[tuple[str | int, ...], Tensor]
    calls: list[Call] = field(default_factory=list)


def tapped(
    model: nn.Module,
    way: Way,
    x: Tensor,
    constant: float,
    *,
    only: Collection[int] | None = None,
    seed: int = 0,
    calls: Sequence[str] | None = None,
) -> Trial:
    """Run a model with every normal draw constant; other draws come from a seed.

    Args:
        model: any module, inside ``untouched``.
        way: how it is called.
        x: rows, shape (rows, dims).
        constant: of the draws, in standard deviations.
        only: the draws that get the constant, all others 0; None: all do.
        seed: of the other draws.
        calls: names of methods whose calls are recorded beside those of all modules; None: no call is.

    Raises:
        Exception: whatever the model raises.
    """
    recorded: list[Call] = []
    tap = NoiseTap(constant, only=only, keep=True)
    watched = _plainly() if calls is None else _recording(model, tap, recorded, calls)
    with torch.no_grad(), seeded(seed, x.device), watched, tap:
        output = way.call(model, x.clone())
    return Trial(tap.trace, output, left_on(model), recorded)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The generator of a device starts from a seed inside the block, and is as before after it."""
    # not torch.manual_seed, which takes a stack trace for every kind of accelerator that is not there
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


@contextmanager
def _plainly() -> Iterator[None]:
    yield


@contextmanager
def _recording(model: nn.Module, tap: NoiseTap, into: list[Call], methods: Sequence[str]) -> Iterator[None]:
    """Hooks on every module but the model itself and in place of methods, gone after the block; compiled code runs none."""
    handles = []
    shadowed = [name for name in methods if inspect.ismethod(getattr(model, name, None)) and name not in vars(model)]
    try:
        for path, module in model.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule):
                handles.append(module.register_forward_hook(_recorder(path, tap, into)))
        for name in shadowed:
            vars(model)[name] = _recorded(name, getattr(model, name), tap, into)
        yield
    finally:
        for name in shadowed:
            vars(model).pop(name, None)
        for handle in handles:
            handle.remove()


def _recorder(path: str, tap: NoiseTap, into: list[Call]) -> Any:  # noqa: ANN401 - a hook
    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        leaf = next(module.children(), None) is None
        into.append(Call(path, leaf, _first(arguments), output, tap.count, tap.pick_count))

    return hook


def _recorded(name: str, method: Any, tap: NoiseTap, into: list[Call]) -> Any:  # noqa: ANN401 - a stranger's method
    def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        first = _first(arguments)
        output = method(*arguments, **named)
        into.append(Call(name, False, first, output, tap.count, tap.pick_count))
        return output

    return call


def _first(arguments: tuple[Any, ...]) -> Tensor | None:
    return arguments[0].detach().clone() if arguments and isinstance(arguments[0], Tensor) else None
