"""Loading model files. Pickled code runs only where the user said that the file is trusted."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from circuitprobe.adapters.models.files import FileFacts, FileKind, foreign, look, truncated
from circuitprobe.adapters.models.probed import ProbedVAE, check_weights
from circuitprobe.adapters.models.spec import ModelSpec
from circuitprobe.adapters.models.wrap import wrap
from circuitprobe.errors import CircuitProbeError, ModelError, UsageError

Rebuild = Callable[[Mapping[str, Any], str], ProbedVAE]


@dataclass(frozen=True)
class LoadOptions:
    """How a model file is to be read.

    Attributes:
        factory: ``package.module:function`` that returns the empty model of a plain state_dict.
        spec: names encoder and decoder.
        trust_pickle: run the code in a pickled module; only for files whose origin is known.
        device: where the model goes.
    """

    factory: str | None = None
    spec: ModelSpec | None = None
    trust_pickle: bool = False
    device: str = "cpu"


def load_model(path: str | Path, options: LoadOptions, formats: Mapping[str, Rebuild]) -> ProbedVAE:
    """Load a model file and name its halves.

    Args:
        path: torch.save archive (our checkpoint, state_dict, pickled module), safetensors file or TorchScript archive.
        options: how to read it.
        formats: checkpoint formats by the value of their ``format`` entry, and what rebuilds them.

    Raises:
        ModelError: the file is no model, is damaged, needs trust or a factory, or its weights are not finite.
    """
    path = Path(path)
    folder = _from_folder(path, options) if path.is_dir() else None
    if folder is not None:
        return _ready(folder, options)
    facts = look(path)
    if facts.kind is FileKind.TORCH_SCRIPT:
        if facts.acts and not options.trust_pickle:
            raise _acts_outside(path, facts)
        vae = wrap(_load_script(path, options.device), spec=options.spec, source=path.name)
    else:
        tensors_only = facts.kind is FileKind.SAFETENSORS
        content = _load_safetensors(path, options.device) if tensors_only else _load_pickle(path, facts, options)
        vae = _from_content(path, content, options, formats)
    return _ready(vae, options)


def _ready(vae: ProbedVAE, options: LoadOptions) -> ProbedVAE:
    check_weights(vae.model)
    vae.model.to(options.device)
    vae.model.eval()
    return vae


def _from_folder(path: Path, options: LoadOptions) -> ProbedVAE | None:
    """The model in a folder that a known library wrote; None where none did."""
    from circuitprobe.adapters.families import folder_adapter, load_from_folder

    adapter = folder_adapter(path)
    if adapter is None:
        return None
    with _ImportableFromHere():
        loaded = load_from_folder(adapter, path, options)
    return wrap(loaded, spec=options.spec, source=path.resolve().name)


def _load_script(path: Path, device: str) -> nn.Module:
    with warnings.catch_warnings():
        # that TorchScript is deprecated is no news the user of an old file can act on
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise truncated(path) from error
    return module


def _load_safetensors(path: Path, device: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=device)
    except (SafetensorError, OSError) as error:
        raise truncated(path) from error


def _load_pickle(path: Path, facts: FileFacts, options: LoadOptions) -> Any:  # noqa: ANN401 - whatever was saved
    try:
        with warnings.catch_warnings():
            # torch's advice on pickle protocols is for the writer of the file
            warnings.simplefilter("ignore", UserWarning)
            # opened here: given a path, torch goes by the suffix
            with path.open("rb") as handle:
                return torch.load(handle, map_location=options.device, weights_only=True)
    except Exception as error:
        refused = isinstance(error, pickle.UnpicklingError) and facts.whole
        if not refused or (facts.kind is FileKind.TORCH_ARCHIVE and not facts.imports):
            raise truncated(path) from error
        if not options.trust_pickle:
            raise _needs_trust(path, facts) from error
    return _load_trusted(path, facts, options.device)


def _load_trusted(path: Path, facts: FileFacts, device: str) -> Any:  # noqa: ANN401
    script = any(name.startswith("__main__.") for name in facts.imports)
    with _ImportableFromHere():
        try:
            with path.open("rb") as handle:
                if facts.kind is FileKind.PICKLE and not facts.torch_wrote:
                    return pickle.load(handle)  # noqa: S301 - the user said that the file is trusted
                return torch.load(handle, map_location=device, weights_only=False)
        except (AttributeError, ModuleNotFoundError, ImportError) as error:
            cause = (
                "its class was defined in a script (__main__), which no other program can import"
                if script
                else str(error)
            )
            raise ModelError(
                f"{path.name} needs code that cannot be imported here: {cause}",
                expected=f"modules that define {', '.join(foreign(facts.imports)[:4])}",
                fix="in the program that has the model: torch.save(model.state_dict(), ...), then --factory package.module:function"
                + ("" if script else "; or run from the folder that holds that code"),
            ) from error
        except Exception as error:
            raise ModelError(
                f"{path.name} cannot be unpickled: {type(error).__name__}: {error}",
                expected="a pickled module that the installed versions can load",
                fix="save torch.save(model.state_dict(), ...) and use --factory package.module:function",
            ) from error


def _acts_outside(path: Path, facts: FileFacts) -> ModelError:
    return ModelError(
        f"the TorchScript code in {path.name} calls {', '.join(facts.acts[:4])}: running it can read or write files; "
        "nothing in it was run",
        expected="code that only computes",
        fix="add --trust-pickle if you know where the file comes from",
    )


def _needs_trust(path: Path, facts: FileFacts) -> ModelError:
    names = foreign(facts.imports) or facts.imports
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return ModelError(
        f"{path.name} is a pickle that would import {listed} when loaded: loading it runs code; nothing in it was run",
        expected="weights only: our checkpoint, a state_dict with --factory, or TorchScript",
        fix="add --trust-pickle if you know where the file comes from; safer: torch.save(model.state_dict(), ...) with "
        "--factory package.module:function",
    )


def _from_content(path: Path, content: Any, options: LoadOptions, formats: Mapping[str, Rebuild]) -> ProbedVAE:  # noqa: ANN401
    if isinstance(content, nn.Module) or (not isinstance(content, Mapping) and _has_adapter(content)):
        return wrap(content, spec=options.spec, source=path.name)
    if isinstance(content, Mapping):
        modules = [value for value in content.values() if isinstance(value, nn.Module)]
        if len(modules) == 1:
            return wrap(modules[0], spec=options.spec, source=path.name)
        rebuild = formats.get(content["format"]) if isinstance(content.get("format"), str) else None
        if rebuild is not None:
            return rebuild(content, path.name)
        state = _find_state_dict(content)
        if state is not None:
            if options.factory is None:
                raise ModelError(
                    f"{path.name} is a state_dict ({len(state)} tensors, first {next(iter(state))}): "
                    "weights without the model's code",
                    expected="the function that builds the empty model",
                    fix="add --factory package.module:function",
                )
            return wrap(_filled(path, state, options.factory), spec=options.spec, source=path.name)
    size = f" of {len(content)} entries" if hasattr(content, "__len__") else ""
    raise ModelError(
        f"{path.name} holds a {type(content).__name__}{size}, not a model",
        expected="a module, a state_dict or our checkpoint",
        fix="torch.save(model.state_dict(), ...) with --factory package.module:function",
    )


def _has_adapter(content: object) -> bool:
    from circuitprobe.adapters.families.registry import adapter_for

    return adapter_for(content) is not None


def _find_state_dict(content: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """The state_dict in a dictionary: itself, or under one of its customary names."""
    for key in (None, "state_dict", "model_state_dict", "model"):
        state = content if key is None else content.get(key)
        if isinstance(state, Mapping) and state and all(isinstance(value, torch.Tensor) for value in state.values()):
            return state
    return None


def _filled(path: Path, state: Mapping[str, Any], factory: str) -> nn.Module:
    model = build_from_factory(factory)
    try:
        result = model.load_state_dict(state, strict=False)
        missing, unexpected = _without_shared(model, result.missing_keys), list(result.unexpected_keys)
        reason = f"missing {missing[:4]}, not in the model {unexpected[:4]}" if missing or unexpected else ""
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
    if reason:
        raise ModelError(
            f"the weights in {path.name} do not fit the model from {factory}: {reason}",
            expected="the same names and shapes on both sides",
            fix="a --factory that builds the model with the settings it was trained with",
        )
    return model


def _without_shared(model: nn.Module, missing: Sequence[str]) -> list[str]:
    """Missing names but for those whose tensor is one that was filled under another name: safetensors keeps shared ones once."""
    own = model.state_dict(keep_vars=True)
    filled = {id(tensor) for name, tensor in own.items() if name not in missing}
    return [name for name in missing if id(own[name]) not in filled]


def build_from_factory(factory: str) -> nn.Module:
    """Run ``package.module:function`` and give the module it returns.

    Raises:
        UsageError: it cannot be imported, called, or returns no module.
    """
    module_name, _, function_name = factory.partition(":")
    if not module_name or not function_name or "/" in module_name or module_name.endswith(".py"):
        corrected = f"{Path(module_name).stem or 'mypackage.models'}:{function_name or 'make_vae'}"
        raise UsageError(f"--factory {factory!r}", expected="package.module:function", fix=f"--factory {corrected}")
    with _ImportableFromHere():
        try:
            function = getattr(importlib.import_module(module_name), function_name)
        except Exception as error:
            raise UsageError(
                f"--factory {factory}: {type(error).__name__}: {error}",
                expected="a function that can be imported from the current folder or an installed package",
                fix="run from the folder that holds the module, or install the package",
            ) from error
        try:
            model = function()
        except CircuitProbeError:
            raise
        except Exception as error:
            raise UsageError(
                f"--factory {factory} failed: {type(error).__name__}: {error}",
                expected="a function that needs no arguments",
                fix="wrap it: def make(): return MyVAE(...)",
            ) from error
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"--factory {factory} returned {type(model).__name__}", expected="a torch.nn.Module", fix="return the model"
        )
    return model


class _ImportableFromHere:
    """The current folder is importable inside the block, as it is for a script that lies there."""

    def __enter__(self) -> None:
        self._folder = str(Path.cwd())
        sys.path.insert(0, self._folder)

    def __exit__(self, *_: object) -> None:
        # the user's code may have changed the path itself
        if self._folder in sys.path:
            sys.path.remove(self._folder)
