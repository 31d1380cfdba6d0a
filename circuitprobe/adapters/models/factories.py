"""``--factory``: the user's function that returns the empty model."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from circuitprobe.adapters.models.importable import ImportableFrom
from circuitprobe.adapters.models.user_code import names_from_file
from circuitprobe.errors import CircuitProbeError, UsageError


def build_from_factory(factory: str, settings: Mapping[str, Any] | None = None) -> nn.Module:
    """Run ``package.module:function`` or ``path/to/file.py:function`` and give the module it returns.

    ``package`` is taken from the current folder if it is there, else from what is installed. What that code imports in turn is
    looked for among installed packages first, then in the current folder, or in that of ``file.py``.

    Args:
        factory: the function, or a class.
        settings: hyper-parameters that the weights' file states; those whose names the function takes are given to it.

    Raises:
        UsageError: it cannot be imported, called, or returns no module.
    """
    function, folder = _function(factory)
    with ImportableFrom(folder):
        try:
            model = function(**_accepted(function, settings or {}))
        except CircuitProbeError:
            raise
        except (Exception, SystemExit) as error:
            known = f"; the file states {', '.join(list(settings)[:8])}" if settings else ""
            raise UsageError(
                f"--factory {factory} failed: {type(error).__name__}: {error}",
                expected=f"a function that needs no arguments but those the file states by name{known}",
                fix="wrap it: def make(): return MyVAE(...)",
            ) from error
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"--factory {factory} returned {type(model).__name__}", expected="a torch.nn.Module", fix="return the model"
        )
    return model


def _function(factory: str) -> tuple[Callable[..., Any], Path | None]:
    # a drive letter has a colon of its own
    source, _, name = factory.rpartition(":")
    if not source or not name.isidentifier():
        given = Path(factory)
        shown = f"{given}:make_vae" if given.suffix == ".py" else f"{source or factory or 'mypackage.models'}:make_vae"
        raise UsageError(
            f"--factory {factory!r}",
            expected="package.module:function, or path/to/file.py:function",
            fix=f"--factory {shown}",
        )
    if source.endswith(".py"):
        path = Path(source)
        function = getattr(names_from_file(path, [name], "--factory"), name, None)
        if not callable(function):
            raise UsageError(
                f"--factory {factory}: {path.name} defines no function {name}",
                expected="a function or class of that file",
                fix=f"add to {path.name}: def {name}(): return MyVAE(...)",
            )
        return function, path.resolve().parent
    if "/" in source:
        raise UsageError(
            f"--factory {factory!r}",
            expected="package.module:function, or path/to/file.py:function",
            fix=f"--factory {source}.py:{name}",
        )
    with ImportableFrom(first=source.partition(".")[0]):
        try:
            return getattr(importlib.import_module(source), name), None
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"--factory {factory}: {type(error).__name__}: {error}",
                expected="a function that can be imported from the current folder or an installed package",
                fix="run from the folder that holds the module, install the package, or name the file: "
                "--factory path/to/file.py:function",
            ) from error


def _accepted(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that the function takes by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return {key: value for key, value in settings.items() if not key.startswith("_")}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: settings[p.name] for p in parameters if p.kind in by_name and p.name in settings}
