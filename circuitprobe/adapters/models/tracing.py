"""Nnsight in this interpreter: imported where it is asked for, and taken away again.

Importing it changes the interpreter (every object gets a ``save``, ``torch.Tensor.backward`` another meaning), which a tool that
only looks at a model must not do to its caller.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from circuitprobe.errors import ModelError, UsageError

_ABSENT = object()
USE_HOOKS = 'backend="hooks" (--backend hooks)'

# whose attributes importing nnsight may replace: all of a class's, the ones named of a module's
_WATCHED: tuple[Any, ...] = ((object, ()), (torch.Tensor, ()), (sys, ("excepthook", "unraisablehook", "displayhook")))


def nnsight_model(model: nn.Module) -> Any:  # noqa: ANN401 - nnsight.NNsight, which has no types
    """The model wrapped for traces of the user's own: ``with vae.nnsight.trace(x): h = ....output.save()``.

    From here on nnsight is imported as by the user's own ``import nnsight``, for good: every object has a ``save``,
    ``torch.Tensor.backward`` may stand in a ``with``, and each module of the model has a ``forward`` of nnsight's in its
    ``__dict__``, idle outside traces. ``contained`` then leaves all that alone.

    Raises:
        ModelError: the model is or contains TorchScript.
    """
    refuse_torchscript(model)
    _IMPORT.keep()
    return importlib.import_module("nnsight").NNsight(model)


@contextmanager
def contained() -> Iterator[ModuleType]:
    """The module nnsight, as imported, inside the block; the interpreter as it was before after it, however the block ends.

    Undone are ``object.save``, ``torch.Tensor.backward``, exception hooks, ``sys.settrace`` and warnings filters; nnsight
    leaves ``sys.modules``, so a later ``import nnsight`` works as a first one. Where it is imported already, by the user or
    by ``nnsight_model``, it is used and left as it is. Use may be nested or from several threads: the last to leave undoes.

    Two things stay. What nnsight imports (transformers, for one) stays imported. And on Linux on x86-64 nnsight overwrites
    the C library's ``backtrace()``, which its greenlets might crash in: C++ stack traces are empty from then on. The
    environment variable NNSIGHT_DISABLE_CPP_BACKTRACE=0 keeps it from that.

    Raises:
        UsageError: nnsight cannot be imported.
    """
    trace = sys.gettrace()
    try:
        _IMPORT.enter()
    except ImportError as error:
        raise UsageError(
            f"nnsight cannot be imported: {error}",
            expected="nnsight, which is installed with circuitprobe",
            fix=f"pip install nnsight, or {USE_HOOKS}",
        ) from error
    try:
        yield importlib.import_module("nnsight")
    finally:
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        _IMPORT.leave()


@dataclass(frozen=True)
class _Patch:
    """An attribute that importing nnsight has set. Where somebody has replaced it since, it is left alone."""

    owner: Any
    name: str
    before: Any
    after: Any

    def set(self, *, applied: bool) -> None:
        old, new = (self.before, self.after) if applied else (self.after, self.before)
        present = vars(self.owner).get(self.name, _ABSENT)
        if getattr(present, "__func__", present) is not getattr(old, "__func__", old):
            return
        if self.owner is object:  # only C code can write to it, and nnsight brings some
            mounting = importlib.import_module("nnsight._c.py_mount")
            _ = mounting.unmount(self.name) if new is _ABSENT else mounting.mount(new.__func__, self.name)
        elif new is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, new)


class _Import:
    """Nnsight's modules and patches, put in place and taken away together. One per process, as they are the process's."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._ours = False  # whether leaving takes nnsight away again
        self._modules: dict[str, ModuleType] = {}
        self._patches: list[_Patch] = []

    def enter(self) -> None:
        with self._lock:
            if self._depth == 0 and "nnsight" not in sys.modules:
                self._put()
                self._ours = True
            self._depth += 1

    def leave(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._ours:
                self._ours = False
                self._take()

    def keep(self) -> None:
        """Import nnsight for good: it is the user's from now on."""
        with self._lock:
            if "nnsight" not in sys.modules:
                self._put()
            self._ours = False

    def _put(self) -> None:
        if "nnsight" in self._modules:
            sys.modules.update(self._modules)
            for patch in self._patches:
                patch.set(applied=True)
            return
        before = _attributes()
        try:
            with warnings.catch_warnings():  # the packages that come along warn of things and set filters
                warnings.simplefilter("ignore")
                importlib.import_module("nnsight")
        finally:
            seen = [(place, before.get(place, _ABSENT), value) for place, value in _attributes().items()]
            self._patches = [_Patch(*place, was, now) for place, was, now in seen if was is not now]
            if "nnsight" not in sys.modules:
                self._take()

    def _take(self) -> None:
        if vars(torch.Tensor).get("grad") is torch._C.TensorBase.grad:  # noqa: SLF001 - where it belongs
            delattr(torch.Tensor, "grad")  # what a backward trace leaves behind
        for patch in self._patches:
            patch.set(applied=False)
        self._modules = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "nnsight"}


_IMPORT = _Import()


def _attributes() -> dict[tuple[Any, str], object]:
    return {(owner, name): vars(owner)[name] for owner, names in _WATCHED for name in names or vars(owner)}


def refuse_torchscript(model: nn.Module) -> None:
    """Refuse what nnsight cannot reach.

    Raises:
        ModelError: the model is or contains TorchScript.
    """
    scripted = [path or "the model" for path, part in model.named_modules() if isinstance(part, torch.jit.ScriptModule)]
    if scripted:
        raise ModelError(
            f"{scripted[0]} is TorchScript, whose modules neither hooks nor nnsight reach",
            expected="a model of Python modules",
            fix="audit the model that was scripted: cp.wrap(model)",
        )
