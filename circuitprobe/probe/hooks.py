"""Running a stranger's model without leaving a trace in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.probe.owned import owned_state
from circuitprobe.types import Site

_CONTAINERS = (
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode without gradients, and leave it and the random generators as they were.

    Restored on every way out, also after an exception or ctrl-C: weights and buffers, training flags, hooks, gradient
    flags, attributes that a forward left on its modules, torch's default dtype, and the states of torch's, numpy's and
    Python's generators. Nested use is allowed. It holds one copy of the weights while it lasts.
    """
    modules = list(model.modules())
    scripted = isinstance(model, torch.jit.ScriptModule)
    attributes = [] if scripted else [_snapshot(module) for module in modules]
    kept = [] if scripted else [undo for module in modules for undo in owned_state(module)]
    training = [module.training for module in modules]
    state = [(tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    dtype = torch.get_default_dtype()
    generators = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002 - saved, never drawn from
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    try:
        _evaluate(model, modules)
        with torch.no_grad():
            yield
    finally:
        for module, saved in zip(modules, attributes, strict=False):
            _restore(module, saved)
        for undo in kept:
            undo()
        for module, flag in zip(modules, training, strict=True):
            if module.training is not flag:
                module.training = flag
        with torch.no_grad():
            for tensor, content in state:
                if not tensor.is_meta and not torch.equal(tensor, content):
                    tensor.copy_(content)
        for parameter, required in flags:
            if parameter.requires_grad is not required:
                parameter.requires_grad_(required)
        torch.set_default_dtype(dtype)
        torch.set_rng_state(generators[0])
        np.random.set_state(generators[1])  # noqa: NPY002
        random.setstate(generators[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def _evaluate(model: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Evaluation mode; exported programs, whose mode is part of the program, refuse to be asked."""
    try:
        model.eval()
    except NotImplementedError:
        for module in modules:
            module.training = False


def _snapshot(module: nn.Module) -> dict[str, Any]:
    """A shallow copy of a module's attributes, its own dictionaries copied one level down."""
    saved = dict(module.__dict__)
    for name in _CONTAINERS:
        if name in saved:
            saved[name] = saved[name].copy()
    return saved


def _restore(module: nn.Module, saved: dict[str, Any]) -> None:
    """Put a snapshot back, keeping the identity of the module's own dictionaries."""
    present = module.__dict__
    for name in [name for name in present if name not in saved]:
        del present[name]
    for name, value in saved.items():
        if name in _CONTAINERS and name in present and type(present[name]) is type(value):
            container = present[name]
            if list(container) != list(value) or (
                hasattr(value, "items") and any(container[k] is not value[k] for k in value)
            ):
                container.clear()
                container.update(value)
        else:
            present[name] = value


def select(output: Any, selector: Sequence[int | str]) -> Tensor:  # noqa: ANN401 - whatever a module returns
    """The tensor of a module's output that a site's selector leads to.

    Raises:
        TypeError: the selector leads to something that is not a tensor.
    """
    for key in selector:
        # a dictionary may have a key that is also the name of one of its methods
        by_name = isinstance(key, str) and not isinstance(output, Mapping) and hasattr(output, key)
        output = getattr(output, str(key)) if by_name else output[key]
    if not isinstance(output, Tensor):
        raise TypeError(f"selector {tuple(selector)} leads to {type(output).__name__}, not to a tensor")
    return output


@dataclass
class Recording:
    """What the hooks of ``capture`` have seen since the last ``clear``."""

    tensors: dict[Site, Tensor] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget; calls of a module are counted from 0 again. To be called before every run."""
        self.tensors.clear()
        self.calls.clear()


@contextmanager
def capture(model: nn.Module, sites: Sequence[Site]) -> Iterator[Recording]:
    """Record activations at sites while the block runs: clones, shaped as the model made them.

    The hooks are gone when the block ends, however it ends.
    """
    recording = Recording()
    by_module: dict[str, list[Site]] = {}
    for site in sites:
        by_module.setdefault(site.module, []).append(site)
    with ExitStack() as stack:
        for path, wanted in by_module.items():
            handle = model.get_submodule(path).register_forward_hook(_recorder(recording, path, wanted))
            stack.callback(handle.remove)
        yield recording


def _recorder(recording: Recording, path: str, wanted: Sequence[Site]) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:  # noqa: ANN401 - whatever a module returns
        number = recording.calls.get(path, 0)
        recording.calls[path] = number + 1
        for site in wanted:
            if site.call == number:
                recording.tensors[site] = select(output, site.selector).detach().clone()

    return hook
