"""Whether a model is as it was: its tensors, flags and hooks, and the random generators."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class State:
    """What must be the same after a model was run: its tensors, flags and hooks, and the random generators."""

    tensors: dict[str, tuple[Tensor, bool]]
    training: dict[str, bool]
    hooks: dict[str, tuple[int, ...]]
    generators: tuple[Any, ...]

    @classmethod
    def of(cls, model: nn.Module) -> State:
        """The present state; tensors are copied."""
        tensors = (*model.named_parameters(), *model.named_buffers())
        return cls(
            {name: (tensor.detach().clone(), tensor.requires_grad) for name, tensor in tensors},
            {name: module.training for name, module in model.named_modules()},
            {name: _hooks(module) for name, module in model.named_modules()},
            (torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state(legacy=False)), random.getstate()),  # noqa: NPY002
        )

    def changes(self, after: State) -> list[str]:
        """What is other than before, in words."""
        told = []
        for name, (tensor, flag) in self.tensors.items():
            now = after.tensors.get(name)
            if now is None or now[0].shape != tensor.shape or not torch.equal(now[0], tensor):
                told.append(f"{name} has other values")
            elif now[1] is not flag:
                told.append(f"requires_grad of {name} is {now[1]}")
        told += [f"{name} is new" for name in after.tensors if name not in self.tensors]
        for name, was in self.training.items():
            if after.training.get(name, was) is not was:
                told.append(f"{name or 'the model'}.training is {not was}")
            if after.hooks.get(name) != self.hooks[name]:
                told.append(f"{name or 'the model'} has other hooks")
        pairs = zip(("torch", "numpy", "random"), self.generators, after.generators, strict=True)
        return told + [f"the random generator of {name} moved" for name, was, now in pairs if was != now]


def _hooks(module: nn.Module) -> tuple[int, ...]:
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return tuple(id(hook) for name in kept for hook in getattr(module, name, {}).values())
