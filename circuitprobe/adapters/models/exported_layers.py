"""Layers of an exported program that are one operator each, as the modules of torch.nn that they were.

An exported submodule is run node by node, which is slow, and nobody can tell by its class that it is a linear layer.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "aten.relu.default": nn.ReLU,
    "aten.relu_.default": nn.ReLU,
    "aten.tanh.default": nn.Tanh,
    "aten.sigmoid.default": nn.Sigmoid,
    "aten.silu.default": nn.SiLU,
    "aten.elu.default": nn.ELU,
    "aten.leaky_relu.default": nn.LeakyReLU,
    "aten.softplus.default": nn.Softplus,
    "aten.hardtanh.default": nn.Hardtanh,
}


def as_layers(module: nn.Module) -> None:
    """Put torch.nn modules in the place of submodules that do the same, with the very same weights.

    Args:
        module: an unflattened program; changed in place.
    """
    for name, child in list(module.named_children()):
        as_layers(child)
        layer = _layer(child) or _chain(child)
        if layer is not None:
            setattr(module, name, layer.eval())


def _chain(module: nn.Module) -> nn.Sequential | None:
    """The nn.Sequential that a submodule is which hands one tensor through its children; None for any other."""
    graph, children = getattr(module, "graph", None), dict(module.named_children())
    if not isinstance(graph, torch.fx.Graph) or not children or any(True for _ in module.parameters(recurse=False)):
        return None
    nodes = list(graph.nodes)
    links = itertools.pairwise(nodes)
    through = all(after.args == (before,) and not after.kwargs for before, after in links)
    runs = [node.op for node in nodes] == ["placeholder", *["call_module"] * (len(nodes) - 2), "output"]
    if not (through and runs) or [node.target for node in nodes[1:-1]] != list(children):
        return None
    return nn.Sequential(OrderedDict(children))


def _layer(module: nn.Module) -> nn.Module | None:
    """The torch.nn module that a submodule of one operator on one input is; None for any other."""
    graph = getattr(module, "graph", None)
    if not isinstance(graph, torch.fx.Graph) or any(True for _ in module.children()):
        return None
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    calls = [node for node in graph.nodes if node.op == "call_function"]
    output = next(node for node in graph.nodes if node.op == "output")
    if len(inputs) != 1 or len(calls) != 1 or output.args[0] is not calls[0] or calls[0].kwargs:
        return None
    call = calls[0]
    if not call.args or call.args[0] is not inputs[0]:
        return None
    name, rest = str(call.target), list(call.args[1:])
    if name in _ACTIVATIONS and all(isinstance(value, (int, float)) for value in rest):
        return _ACTIVATIONS[name](*rest)
    weights = [_weight(module, value) for value in rest]
    return _linear(weights) if name == "aten.linear.default" else None


def _weight(module: nn.Module, value: Any) -> Tensor | None:  # noqa: ANN401 - any argument of an operator
    """The module's own parameter that an argument stands for; None for anything else."""
    if not isinstance(value, torch.fx.Node) or value.op != "get_attr" or "." in str(value.target):
        return None
    return dict(module.named_parameters(recurse=False)).get(str(value.target))


def _linear(weights: list[Tensor | None]) -> nn.Module | None:
    given = [weight for weight in weights if isinstance(weight, nn.Parameter)]
    if len(given) != len(weights) or len(given) not in {1, 2}:
        return None
    layer = nn.Linear(given[0].shape[1], given[0].shape[0], bias=len(given) > 1, device="meta")
    layer.weight = given[0]
    if len(given) > 1:
        layer.bias = given[1]
    return layer
