"""Networks inside a saved object: a detector's, a pipeline's, in a dictionary or list."""

from __future__ import annotations

import numbers
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

# as deep as a network lies in a step of a pipeline in a dictionary
_DEPTH = 5
_MOST = 20_000
_LEAVES = (
    str, bytes, bytearray, numbers.Number, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType,
    types.MethodType, np.ndarray, np.generic, np.dtype, torch.Tensor, torch.dtype, torch.device, torch.optim.Optimizer,
)  # fmt: skip


def networks_in(content: object, depth: int = _DEPTH) -> dict[str, Any]:
    """Modules, and objects that an adapter knows, in attributes and entries of an object; the nearest first.

    Args:
        content: what a file holds. Attributes are read from ``__dict__`` and slots, no property is run.
        depth: how many attributes and entries deep.

    Returns:
        The networks by their place, such as ``model`` or ``steps.vae.network``. One that is part of another is left out, as are
        loss functions and second places of the same network.
    """
    found: dict[str, Any] = {}
    kinds: dict[type, bool] = {}
    queue, met = deque([("", content, 0)]), {id(content)}
    while queue and len(met) < _MOST:
        place, value, deep = queue.popleft()
        for name, child in _children(value):
            if id(child) in met or child is None or isinstance(child, _LEAVES):
                continue
            met.add(id(child))
            inner = f"{place}.{name}" if place else name
            if isinstance(child, nn.Module) or _is_known(child, kinds):
                found[inner] = child
            elif deep + 1 < depth:
                queue.append((inner, child, deep + 1))
    # a saved loss function is a module, too
    models = {place: each for place, each in found.items() if "nn.modules.loss" not in type(each).__module__}
    parts = {id(part) for each in models.values() if isinstance(each, nn.Module) for part in list(each.modules())[1:]}
    return {place: each for place, each in models.items() if id(each) not in parts}


def _is_known(value: object, kinds: dict[type, bool]) -> bool:
    from circuitprobe.adapters.families.registry import adapter_for

    kind = type(value)
    if kind not in kinds:
        kinds[kind] = kind.__module__ != "builtins" and adapter_for(value) is not None
    return kinds[kind]


def _children(value: object) -> Iterator[tuple[str, object]]:
    """Entries and attributes by name; those of a list by number, or by the name that goes with them as in a pipeline's steps."""
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, (list, tuple, deque)):
        names = getattr(type(value), "_fields", None) or map(str, range(len(value)))
        for name, item in zip(names, value, strict=False):
            named = isinstance(item, tuple) and len(item) > 1 and isinstance(item[0], str)
            yield (item[0], item[1]) if named else (name, item)
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in {"__dict__", "__weakref__"} and hasattr(value, name):
                yield name, getattr(value, name)
