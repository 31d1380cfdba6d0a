"""What a module owns besides tensors and modules, and how to put it back: generators, lists, dictionaries."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

# dictionaries that torch keeps on every module; they are restored with the module itself
_TORCHS = frozenset({"_parameters", "_buffers", "_modules"})


def owned_state(module: nn.Module) -> Iterator[Callable[[], object]]:
    """For each generator and container among a module's attributes: what puts it back as it is now.

    Containers are put back in place, one level deep: what a forward appends or replaces, not what it does to the objects
    in them.

    Args:
        module: any module of Python.
    """
    for name, value in list(vars(module).items()):
        if name in _TORCHS or name.endswith("_hooks") or "_hooks_" in name:
            continue
        undo = _undo(value)
        if undo is not None:
            yield undo


def _undo(value: Any) -> Callable[[], object] | None:  # noqa: ANN401 - whatever a module carries
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        return partial(setattr, value.bit_generator, "state", copy.deepcopy(value.bit_generator.state))
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    if type(value) in {list, deque}:
        return partial(_refill, value, value.extend, list(value))
    if type(value) in {dict, set}:
        return partial(_refill, value, value.update, value.copy())
    return None


def _refill(container: Any, fill: Callable[[Any], None], content: Any) -> None:  # noqa: ANN401
    container.clear()
    fill(content)
