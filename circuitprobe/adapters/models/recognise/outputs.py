"""Tensors in whatever a model returns, and the way to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

Path = tuple[str | int, ...]
_DEEPEST = 4
# the first entry of a path into the module itself
LEFT_BEHIND = "left on the module"


def tensors_in(output: Any, path: Path = ()) -> dict[Path, Tensor]:  # noqa: ANN401 - whatever a model returns
    """Floating tensors in an output by the way to them; a distribution gives mean and stddev.

    Args:
        output: nested tuples, lists, dictionaries, dataclasses and objects of tensors.
        path: the way to ``output`` itself.
    """
    if isinstance(output, Tensor):
        return {path: output} if output.is_floating_point() else {}
    if len(path) >= _DEEPEST:
        return {}
    found: dict[Path, Tensor] = {}
    for key, item in _entries(output):
        found |= tensors_in(item, (*path, key))
    return found


def _entries(output: Any) -> list[tuple[str | int, Any]]:  # noqa: ANN401
    if isinstance(output, torch.distributions.Distribution):
        return [(name, value) for name in ("mean", "stddev") if (value := _moment(output, name)) is not None]
    if isinstance(output, Mapping):
        return [(str(key), item) for key, item in output.items()]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(zip(output._fields, output, strict=True))
    if isinstance(output, (tuple, list)):
        return list(enumerate(output))
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    if output is None or isinstance(output, (str, bytes, int, float, complex, nn.Module)):
        return []
    return [(key, item) for key, item in vars(output).items()] if hasattr(output, "__dict__") else []


def _moment(distribution: torch.distributions.Distribution, name: str) -> Any:  # noqa: ANN401
    """A property of a distribution; None where it has none, as transformed and relaxed ones do."""
    try:
        return getattr(distribution, name)
    except NotImplementedError:
        return None


def at(output: Any, path: Path) -> Any:  # noqa: ANN401
    """What lies at the end of a way; the inverse of ``tensors_in``."""
    for key in path:
        output = dict(_entries(output))[key]
    return output


def left_on(model: nn.Module) -> dict[Path, Tensor]:
    """Tensors that modules carry as plain attributes."""
    return {
        (LEFT_BEHIND, name, key): value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def taken(model: nn.Module, output: Any, path: Path) -> Tensor:  # noqa: ANN401
    """The tensor at the end of a way, in an output or on the module that has just run."""
    if path[:1] == (LEFT_BEHIND,):
        value: Tensor = vars(model.get_submodule(str(path[1])))[str(path[2])]
        return value
    found: Tensor = at(output, path)
    return found


def path_words(path: Path) -> str:
    """A way as a reader would write it."""
    if path[:1] == (LEFT_BEHIND,):
        return f"{path[1]}.{path[2]} after the run" if path[1] else f"model.{path[2]} after the run"
    return "the output" + "".join(f"[{key!r}]" if isinstance(key, str) else f"[{key}]" for key in path)
