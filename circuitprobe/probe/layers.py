"""The layers of a half: what lies between two modules that mix units, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.probe.hooks import select
from circuitprobe.types import Site

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """A mixing module (a weight matrix or kernel: linear, convolution, recurrent) with what follows until the next one.

    Attributes:
        steps: one site per leaf call of the layer, in execution order; only ``output`` has its axis and units filled in.
        output: where the layer's units are read: its last activation module, or its last module that has weights where
            no module activates.
        position: place of ``output`` among ``steps``.
        activated: whether ``output`` is an activation module.
        normalised: whether ``output`` is a normalisation.
        hidden: whether a later mixing module reads it, which is not the case of output heads.
        reached: False where the half's input has no gradient here, so that nothing is known of its readers.
    """

    steps: tuple[Site, ...]
    output: Site
    position: int
    activated: bool
    normalised: bool
    hidden: bool
    reached: bool


@dataclass(frozen=True)
class _Call:
    """One call of a leaf module, in execution order."""

    site: Site
    module: nn.Module
    inputs: tuple[Tensor, ...]
    output: Tensor


def find_layers(model: nn.Module, run: Run, inputs: Tensor) -> tuple[Layer, ...]:
    """The layers that run, in execution order.

    Args:
        model: the whole model; no TorchScript, whose modules run no hooks.
        run: inputs -> outputs of a half; it calls into ``model``.
        inputs: a few rows, shape (rows, width); two are enough.

    Returns:
        Layers, output heads among them. What runs before the first mixing module is in none of them.
    """
    rows = inputs.detach()
    try:
        with torch.enable_grad(), _frozen(model):
            # no leaf of autograd: a decoder may begin with a step in place
            calls = _leaf_calls(model, run, rows.clone().requires_grad_(True).clone())
            return tuple(
                _layer(block, output, hidden=any(_depends(reader.inputs, output.output) for reader in readers))
                for block, output, readers in _blocks(calls)
            )
    except Exception:  # noqa: BLE001 - whatever a stranger's model raises when gradients flow: .numpy(), steps in place
        # it may run without them all the same; where it does not, this raises what is wrong with it
        with torch.no_grad():
            return _layers_by_running(model, run, rows)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Gradients reach activations only, so that a model may do to its weights what it does without gradients."""
    required = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in required:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in required:
            parameter.requires_grad_(True)


def _blocks(calls: list[_Call]) -> list[tuple[list[_Call], _Call, list[_Call]]]:
    """Of each layer: its calls, the one whose output is the layer's, and the calls of mixing modules that come later."""
    mixing = [number for number, call in enumerate(calls) if _mixes(call.module)]
    blocks = []
    for position, start in enumerate(mixing):
        later = mixing[position + 1 :]
        block = calls[start : later[0] if later else len(calls)]
        blocks.append((block, _layer_output(block), [calls[number] for number in later]))
    return blocks


def _layer(block: list[_Call], output: _Call, *, hidden: bool) -> Layer:
    shape = output.output.shape
    # channels of a convolution; the last axis of everything else
    axis = 1 if isinstance(block[0].module, nn.modules.conv._ConvNd) else len(shape) - 1  # noqa: SLF001
    return Layer(
        steps=tuple(call.site for call in block),
        output=replace(output.site, unit_axis=axis, units=shape[axis]),
        position=next(number for number, call in enumerate(block) if call is output),
        activated=_activates(output.module),
        normalised=_normalises(output.module),
        hidden=hidden,
        reached=hidden or output.output.requires_grad or not torch.is_grad_enabled(),
    )


def _leaf_calls(model: nn.Module, run: Run, inputs: Tensor, *, copied: bool = False) -> list[_Call]:
    """The calls of one run; with ``copied`` the inputs are kept as they were when the module ran."""
    calls: list[_Call] = []
    counts: dict[str, int] = {}

    def hook_for(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ANN401 - whatever a module takes and returns
            number = counts.get(path, 0)
            counts[path] = number + 1
            selector, tensor = _first_tensor(output)
            if tensor is None or tensor.ndim < 2 or not tensor.is_floating_point():
                return
            given = tuple(x.clone() if copied else x for x in inputs if isinstance(x, Tensor))
            calls.append(_Call(Site(path, selector, unit_axis=1, units=0, call=number), module, given, tensor))

        return hook

    with ExitStack() as stack:
        for path, module in model.named_modules():
            if path and _is_leaf(path, module):
                stack.callback(module.register_forward_hook(hook_for(path)).remove)
        run(inputs)
    return calls


def _first_tensor(output: Any) -> tuple[tuple[int | str, ...], Tensor | None]:  # noqa: ANN401
    if isinstance(output, Tensor):
        return (), output
    if isinstance(output, (tuple, list)):
        for number, item in enumerate(output):
            if isinstance(item, Tensor):
                return (number,), item
    if isinstance(output, dict):
        for key, item in output.items():
            if isinstance(item, Tensor):
                return (key,), item
    return (), None


def _is_leaf(path: str, module: nn.Module) -> bool:
    """A module without parts of its own; what a parametrization (weight_norm, spectral_norm) adds is no part."""
    parts = {name for name, _ in module.named_children()} - {"parametrizations"}
    return not parts and "parametrizations" not in path.split(".")


def _weights(module: nn.Module) -> list[Tensor]:
    """A leaf's own weights, those included that a parametrization keeps for it."""
    return list(module.parameters())


def _mixes(module: nn.Module) -> bool:
    """Whether every output unit reads many input units: true of modules with a weight of two or more axes."""
    return any(parameter.ndim >= 2 for parameter in _weights(module))


def _activates(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not _mixes(module)


def _normalises(module: nn.Module) -> bool:
    names = ("batchnorm", "instancenorm", "normalization")
    return any(base.__module__ in {f"torch.nn.modules.{name}" for name in names} for base in type(module).__mro__)


def _layer_output(block: list[_Call]) -> _Call:
    """The call whose output is the layer's; ``block`` begins with its mixing module."""
    activations = [call for call in block if _activates(call.module)]
    weighted = [call for call in block if _weights(call.module)]
    return activations[-1] if activations else weighted[-1]


def _depends(inputs: tuple[Tensor, ...], source: Tensor) -> bool:
    """Whether autograd can reach ``source`` from one of ``inputs``."""
    if any(tensor is source for tensor in inputs):
        return True
    reachable = [tensor for tensor in inputs if tensor.requires_grad]
    if not reachable or not source.requires_grad:
        return False
    total = torch.stack([tensor.sum() for tensor in reachable]).sum()
    (gradient,) = torch.autograd.grad(total, source, retain_graph=True, allow_unused=True)
    return gradient is not None


def _layers_by_running(model: nn.Module, run: Run, inputs: Tensor) -> tuple[Layer, ...]:
    """The same layers without gradients: a later module reads a layer where its input changes with the layer's output."""

    def calls() -> list[_Call]:
        with torch.random.fork_rng(devices=[]):  # a model that draws draws the same in every run
            return _leaf_calls(model, run, inputs.clone(), copied=True)

    before = calls()
    layers = []
    for block, output, readers in _blocks(before):
        hidden = False
        # up and down: a step without a module, such as relu, may hide one of them
        for sign in (1.0, -1.0) if readers else ():
            with _moved(model, output.site, sign):
                after = {call.site: call for call in calls()}
            hidden = hidden or any(_differ(call, after.get(call.site)) for call in readers)
        layers.append(_layer(block, output, hidden=hidden))
    return tuple(layers)


@contextmanager
def _moved(model: nn.Module, site: Site, sign: float) -> Iterator[None]:
    """Runs inside the block have another value at a site, different for every unit so that no normalisation undoes it."""
    number = 0

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401
        nonlocal number
        if number == site.call:
            tensor = select(output, site.selector)
            size = sign * (float(tensor.abs().mean()) + 1.0)
            step = torch.linspace(1.0, 2.0, tensor.numel(), dtype=tensor.dtype, device=tensor.device)
            tensor.add_(size * step.reshape(tensor.shape))
        number += 1

    handle = model.get_submodule(site.module).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _differ(before: _Call, after: _Call | None) -> bool:
    if after is None or len(before.inputs) != len(after.inputs):
        return True
    return any(not torch.equal(a, b) for a, b in zip(before.inputs, after.inputs, strict=True))
