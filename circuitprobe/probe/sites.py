"""Finding the hidden layers of a decoder by running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.types import Site


@dataclass(frozen=True)
class _Call:
    """One call of a leaf module, in execution order."""

    site: Site
    module: nn.Module
    inputs: tuple[Tensor, ...]
    output: Tensor


def hidden_sites(model: nn.Module, decode: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Site, ...]:
    """The decoder's hidden layers: one site per layer, in execution order.

    A layer is what lies between two mixing modules (a weight matrix or kernel: linear, convolution, recurrent). Its site
    is the output of its activation module, or of its last module that has weights where no module activates.
    Hidden means that a later mixing module reads it, so output heads do not count, however many there are.

    Args:
        model: the whole model.
        decode: latent codes -> decoder output.
        z: a few codes, shape (rows, latents); two rows are enough.

    Returns:
        Sites with their number of units (channels for convolutions); empty for a linear decoder and for TorchScript,
        whose modules run no hooks.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return ()
    with torch.enable_grad(), _frozen(model):
        # no leaf of autograd: a decoder may begin with a step in place
        calls = _leaf_calls(model, decode, z.detach().clone().requires_grad_(True).clone())
        return tuple(
            call.site for call, readers in _layers(calls) if any(_depends(r.inputs, call.output) for r in readers)
        )


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


def _layers(calls: list[_Call]) -> list[tuple[_Call, list[_Call]]]:
    """The output of each layer with the calls of mixing modules that come after it."""
    mixing = [number for number, call in enumerate(calls) if _mixes(call.module)]
    layers = []
    for position, start in enumerate(mixing):
        later = mixing[position + 1 :]
        layers.append(
            (_layer_output(calls[start : later[0] if later else len(calls)]), [calls[number] for number in later])
        )
    return layers


def _leaf_calls(model: nn.Module, decode: Callable[[Tensor], Tensor], z: Tensor) -> list[_Call]:
    calls: list[_Call] = []
    counts: dict[str, int] = {}

    def hook_for(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ANN401 - whatever a module takes and returns
            number = counts.get(path, 0)
            counts[path] = number + 1
            selector, tensor = _first_tensor(output)
            if tensor is None or tensor.ndim < 2 or not tensor.is_floating_point():
                return
            site = Site(path, selector, unit_axis=1, units=0, call=number)
            calls.append(_Call(site, module, tuple(x for x in inputs if isinstance(x, Tensor)), tensor))

        return hook

    with ExitStack() as stack:
        for path, module in model.named_modules():
            if path and _is_leaf(path, module):
                stack.callback(module.register_forward_hook(hook_for(path)).remove)
        decode(z)
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


def _layer_output(block: list[_Call]) -> _Call:
    """The call whose output is the layer's, with the axis that its mixing module ``block[0]`` counts units on."""
    activations = [call for call in block if type(call.module).__module__ == "torch.nn.modules.activation"]
    activations = [call for call in activations if not _mixes(call.module)]
    weighted = [call for call in block if _weights(call.module)]
    chosen = activations[-1] if activations else weighted[-1]
    shape = chosen.output.shape
    # channels of a convolution; the last axis of everything else
    axis = 1 if isinstance(block[0].module, nn.modules.conv._ConvNd) else len(shape) - 1  # noqa: SLF001
    return replace(chosen, site=replace(chosen.site, unit_axis=axis, units=shape[axis]))


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
