"""What a model file turned out to hold: a model to wrap, weights to fill in, or something else that is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from circuitprobe.adapters.models.folders import library_of
from circuitprobe.adapters.models.names import find_decoder, find_encoder
from circuitprobe.adapters.models.networks import networks_in
from circuitprobe.adapters.models.pickles import Described, Stored
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.adapters.models.spec import ModelSpec
from circuitprobe.adapters.models.weights import filled, find_states, settings_in
from circuitprobe.adapters.models.wrap import wrap
from circuitprobe.errors import ModelError

Rebuild = Callable[[Mapping[str, Any], str], ProbedVAE]
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}


@dataclass(frozen=True)
class LoadOptions:
    """How a model file is to be read.

    Attributes:
        factory: ``package.module:function`` or ``file.py:function`` that returns the empty model of a plain state_dict.
        spec: names encoder and decoder.
        trust: run the code that the file brings (pickles, TorchScript, library folders); only for files whose origin is known.
        device: where the model goes.
        imports: Python files with classes of the pickle; only with ``trust``.
        entry: which model or state_dict of several in one file.
    """

    factory: str | None = None
    spec: ModelSpec | None = None
    trust: bool = False
    device: str = "cpu"
    imports: tuple[Path, ...] = ()
    entry: str | None = None


class Parts(nn.Module):
    """Modules that were saved side by side, under their names."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def from_content(path: Path, content: Any, options: LoadOptions, formats: Mapping[str, Rebuild]) -> ProbedVAE:  # noqa: ANN401
    """The model in what a file holds.

    Raises:
        ModelError: it is weights without a factory, several models, or none.
    """
    if isinstance(content, ProbedVAE):
        return content
    if isinstance(content, nn.Module):
        return wrap(unwrapped(content), spec=options.spec, source=path.name)
    if not isinstance(content, Mapping) and _has_adapter(content):
        return wrap(content, spec=options.spec, source=path.name)
    states = find_states(content)
    # modules deep inside a checkpoint are its settings, such as those that a Lightning module was made with
    networks = networks_in(content, depth=1) if states else networks_in(content)
    if networks and (options.factory is None or not states):
        return _of_several(path, content, networks, options)
    if isinstance(content, Mapping):
        rebuild = formats.get(content["format"]) if isinstance(content.get("format"), str) else None
        if rebuild is not None:
            return rebuild(content, path.name)
        if states:
            if options.factory is None:
                raise _needs_factory(path, content, options)
            return wrap(filled(path, content, options.factory, options.entry), spec=options.spec, source=path.name)
    raise holds(path, content)


def _has_adapter(content: object) -> bool:
    from circuitprobe.adapters.families.registry import adapter_for

    return adapter_for(content) is not None


def unwrapped(module: nn.Module) -> nn.Module:
    """The model inside what parallel training and ``torch.compile`` put around it."""
    while type(module).__name__ in _WRAPPERS:
        inner = getattr(module, _WRAPPERS[type(module).__name__], None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner
    return module


def _of_several(path: Path, content: object, networks: Mapping[str, Any], options: LoadOptions) -> ProbedVAE:
    """The one network of an object, the one that --entry names, or all as parts of one model."""
    modules = {name: unwrapped(each) if isinstance(each, nn.Module) else each for name, each in networks.items()}
    if options.entry is not None:
        if options.entry not in modules:
            raise ModelError(
                f"{path.name} has no model {options.entry!r}",
                expected=f"one of: {', '.join(modules)}",
                fix=f"--entry {next(iter(modules))}",
            )
        return _of_one(path, content, options.entry, modules[options.entry], options)
    if len(modules) == 1:
        return _of_one(path, content, *next(iter(modules.items())), options)
    whole = all(name.isidentifier() and isinstance(module, nn.Module) for name, module in modules.items())
    parts = Parts(modules) if whole else None
    named = options.spec is not None and (options.spec.encode or options.spec.decode)
    if parts is not None and (named or (find_encoder(parts) and find_decoder(parts))):
        return wrap(parts, spec=options.spec, source=path.name)
    listed = ", ".join(f"{name} ({type(module).__name__})" for name, module in list(modules.items())[:6])
    owner = "" if _is_container(content) else f" in attributes of a {_of_library(content)}"
    raise ModelError(
        f"{path.name} holds {len(modules)} models{owner}: {listed}",
        expected="the one to be audited",
        fix=f"add --entry {next(iter(modules))}; or, where they are the halves of one model, name two in a spec file: "
        'encode = "...", decode = "..."',
    )


def _of_one(path: Path, content: object, place: str, network: Any, options: LoadOptions) -> ProbedVAE:  # noqa: ANN401
    """One network of a file; reports say where in the file it was, unless it is an entry of a dictionary or list."""
    source = path.name
    if not _is_container(content):
        source = f"{path.name} (attribute {place} of {type(content).__name__})"
    elif "." in place:
        source = f"{path.name} ({place})"
    return wrap(network, spec=options.spec, source=source)


def _is_container(content: object) -> bool:
    return isinstance(content, Mapping) or type(content) in {list, tuple}


def _needs_factory(path: Path, content: Mapping[str, Any], options: LoadOptions) -> ModelError:
    states = find_states(content)
    if options.entry in states:
        states = {options.entry: states[options.entry]}
    place, state = next(iter(states.items()))
    size = f"{len(state)} tensors, first {next(iter(state))}"
    settings = settings_in(content)
    takes = f"; it is given by name what it takes of {', '.join(list(settings)[:6])}" if settings else ""
    if "pytorch-lightning_version" in content:
        named = settings.get("_class_path") or settings.get("_target_")
        what = f"a Lightning checkpoint of version {content['pytorch-lightning_version']} with {len(state)} tensors, first "
        what += f"{next(iter(state))}{f', of {named}' if named else ''}"
    elif len(states) > 1:
        what = f"a checkpoint with {len(states)} state_dicts: {', '.join(states)} ({place}: {size})"
    else:
        what = f"a state_dict ({size})"
    if all(name.startswith("module.") for name in state):
        what += ", saved from DataParallel"
    fix = f"add --factory package.module:function, or the file itself: circuitprobe inspect {path} --factory train.py:make_model"
    library = library_of(path.resolve().parent)
    if library is not None:
        fix = f"name the folder, which {library.name} wrote: circuitprobe inspect {path.parent}; or {fix}"
    return ModelError(
        f"{path.name} is {what}: weights without the model's code",
        expected=f"the function that builds the empty model{takes}",
        fix=fix,
    )


def holds(path: Path, content: Any) -> ModelError:  # noqa: ANN401
    """The error for a file that holds something else than a model or weights."""
    fix = "torch.save(model.state_dict(), ...) with --factory package.module:function"
    if isinstance(content, Described):
        what = f"a pickled {content.path}"
    elif isinstance(content, Stored):
        what = "a reference to an object that lies outside the file"
    elif isinstance(content, Mapping) and {"state", "param_groups"} <= set(content):
        what = "the state of an optimizer"
    elif isinstance(content, Mapping):
        entries = ", ".join(str(key) for key in list(content)[:6])
        what = f"a {type(content).__name__} of {len(content)} entries" + (f" ({entries})" if entries else "")
    else:
        size = f" of {len(content)} entries" if hasattr(content, "__len__") else ""
        what = f"a {_of_library(content)}{size}"
    return ModelError(
        f"{path.name} holds {what}, not a model", expected="a module, a state_dict or our checkpoint", fix=fix
    )


def _of_library(content: object) -> str:
    kind = type(content)
    library = kind.__module__.split(".")[0]
    return kind.__name__ if library in {"builtins", "torch"} else f"{library} {kind.__name__}"
