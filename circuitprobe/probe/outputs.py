"""Tensors inside whatever a module returns: a tensor, tuple, dict or dataclass, nested."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

Selector = tuple[int | str, ...]


def tensors_in(output: Any, prefix: Selector = ()) -> Iterator[tuple[Selector, Tensor]]:  # noqa: ANN401 - whatever a module returns
    """Every tensor of an output with the indices, keys or attribute names that lead to it, in order."""
    if isinstance(output, Tensor):
        yield prefix, output
        return
    for key, item in _parts(output):
        yield from tensors_in(item, (*prefix, key))


def with_tensors(output: Any, new: Mapping[Selector, Tensor], prefix: Selector = ()) -> Any:  # noqa: ANN401
    """The same output, a new object, with some of its tensors replaced."""
    if isinstance(output, Tensor):
        return new.get(prefix, output)
    parts = {key: with_tensors(item, new, (*prefix, key)) for key, item in _parts(output)}
    if not parts:
        return output
    if isinstance(output, tuple):
        items = list(parts.values())
        return type(output)(*items) if hasattr(output, "_fields") else tuple(items)
    if isinstance(output, list):
        return list(parts.values())
    changed = copy.copy(output)
    for key, item in parts.items():
        if isinstance(output, Mapping):
            changed[key] = item
        else:
            object.__setattr__(changed, str(key), item)
    return changed


def _parts(output: Any) -> list[tuple[int | str, Any]]:  # noqa: ANN401
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(enumerate(output))
    if isinstance(output, (tuple, list)):
        return list(enumerate(output))
    if isinstance(output, Mapping):
        return [(key, item) for key, item in output.items() if isinstance(key, (int, str))]
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    return []
