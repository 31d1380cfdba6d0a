"""Loading model files. Code that a file brings runs only where the user said that the file is trusted."""

from __future__ import annotations

import io
import pickle
import types
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from circuitprobe.adapters.models.contents import LoadOptions, Rebuild, from_content
from circuitprobe.adapters.models.files import MODEL_FILE, FileFacts, FileKind, breaks_off, look, truncated, unreadable
from circuitprobe.adapters.models.folders import needs_library, pickled_imports, scripts_in
from circuitprobe.adapters.models.importable import ImportableFrom, OnlyInstalled
from circuitprobe.adapters.models.inert_tensors import read_plain
from circuitprobe.adapters.models.joblib_files import describe_joblib, load_joblib
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, described
from circuitprobe.adapters.models.probed import ProbedVAE, check_weights
from circuitprobe.adapters.models.refusals import (
    folder_needs_trust,
    needs_trust,
    not_importable,
    script_needs_trust,
    unread_needs_trust,
)
from circuitprobe.adapters.models.tensor_pickles import NotTensorsError, load_tensors
from circuitprobe.adapters.models.user_code import ImportedClasses
from circuitprobe.adapters.models.weights import find_states
from circuitprobe.adapters.models.wrap import wrap
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import CircuitProbeError, ModelError, UsageError


def load_model(
    path: str | Path,
    options: LoadOptions,
    formats: Mapping[str, Rebuild],
) -> ProbedVAE:
    """Load a model file and name its halves.

    Args:
        path: torch.save archive (our checkpoint, state_dict, Lightning checkpoint, pickled module), another pickle, safetensors
            file, TorchScript or torch.export archive, or the folder of a library.
        options: how to read it.
        formats: checkpoint formats by the value of their ``format`` entry, and what rebuilds them.

    Raises:
        ModelError: the file is no model, is damaged, needs trust or a factory, or its weights are not finite.
        UsageError: files to import from without trust.
    """
    path = Path(path)
    if options.imports and not options.trust:
        raise UsageError(
            f"--import {options.imports[0]} without --trust",
            expected="both: classes are needed only where the code that a model file brings is run",
            fix="add --trust if you know where the model file comes from",
        )
    with nullcontext() if options.trust else OnlyInstalled():
        if path.is_dir():
            return _ready(_from_folder(path, options), options)
        return _ready(_from_file(path, options, formats), options)


def _from_file(path: Path, options: LoadOptions, formats: Mapping[str, Rebuild]) -> ProbedVAE:
    facts = look(path)
    if facts.kind is FileKind.TORCH_SCRIPT:
        if not options.trust:
            raise script_needs_trust(path)
        return wrap(_load_script(path, options.device), spec=options.spec, source=path.name)
    if facts.kind is FileKind.EXPORTED:
        from circuitprobe.adapters.models.exported import load_exported

        program = load_exported(path, trusted=options.trust, device=options.device)
        return wrap(program, spec=options.spec, source=path.name)
    if facts.kind is FileKind.SAFETENSORS:
        return from_content(path, _load_safetensors(path, options.device), options, formats)
    if facts.kind is not FileKind.JOBLIB:
        return from_content(path, _load_pickle(path, facts, options), options, formats)
    if not options.trust:
        raise needs_trust(path, facts, describe_joblib(path, facts.compressed))
    return from_content(path, _load_trusted(path, facts, options), options, formats)


def _ready(vae: ProbedVAE, options: LoadOptions) -> ProbedVAE:
    check_weights(vae.model)
    vae.model.to(options.device)
    vae.model.eval()
    return vae


def _from_folder(path: Path, options: LoadOptions) -> ProbedVAE:
    """The model in a folder that a library wrote.

    Raises:
        ModelError: no library wrote it, it needs trust, or the library is missing.
    """
    from circuitprobe.adapters.families import folder_adapter, load_from_folder

    scripts = () if options.trust else scripts_in(path)
    if scripts:
        raise script_needs_trust(scripts[0], path)
    adapter = folder_adapter(path)
    if adapter is None:
        facts = look(path)
        if facts.imports and not options.trust:
            raise folder_needs_trust(path, facts.library, facts.imports)
        raise needs_library(path, facts)
    imports = pickled_imports(path)
    if imports and not options.trust:
        raise folder_needs_trust(path, adapter.name, imports)
    with ImportableFrom(names=_packages(imports)) if options.trust else nullcontext():
        loaded = load_from_folder(adapter, path, options)
    return wrap(loaded, spec=options.spec, source=path.resolve().name)


def _load_script(path: Path, device: str) -> nn.Module:
    with warnings.catch_warnings():
        # that TorchScript is deprecated is no news the user of an old file can act on
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise unreadable(path, error) from error
    return module


def _load_safetensors(path: Path, device: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=device)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error


def _load_pickle(path: Path, facts: FileFacts, options: LoadOptions) -> Any:  # noqa: ANN401 - whatever was saved
    """Tensors alone if that is all there is; weights without the classes beside them; else, with trust, everything."""
    archive = facts.kind is FileKind.TORCH_ARCHIVE
    try:
        return load_tensors(path, archive=archive, bounds=MODEL_FILE, device=options.device)
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(f"{path.name} describes {error}; nothing in it was loaded") from error
    except Exception as error:
        # torch's older format is five pickles and the tensors' bytes; an archive's entries were compared with their checksums
        if not archive and breaks_off(path, 5 if facts.torch_wrote else 1):
            raise truncated(path) from error
        if not facts.whole and not archive:
            if not options.trust:
                raise unread_needs_trust(path, facts) from error
            return _load_trusted(path, facts, options)
        not_tensors = isinstance(error, (NotTensorsError, pickle.UnpicklingError)) or "weights_only" in str(error)
        if not facts.whole or not not_tensors:
            raise unreadable(path, error, whole=archive) from error
        plain = read_plain(path) if archive else _described(path, 3 if facts.torch_wrote else 0)
        if archive and plain is None and not facts.imports:
            raise unreadable(path, error, whole=True) from error
        if find_states(plain) and (options.factory is not None or not options.trust):
            return plain
        if not options.trust:
            raise needs_trust(path, facts, plain) from error
    return _load_trusted(path, facts, options)


def _described(path: Path, before: int) -> Any:  # noqa: ANN401
    """A file's pickle as a description, the one after some others; None where there is none."""
    with open_file(path) as handle:
        return described(Contents(handle), before)


def _load_trusted(path: Path, facts: FileFacts, options: LoadOptions) -> Any:  # noqa: ANN401
    with ImportableFrom(names=_packages(facts.imports)):
        try:
            find = _finder(ImportedClasses(options.imports, facts.imports), options.device)
            with warnings.catch_warnings(), path.open("rb") as handle:
                # torch warns of classes whose source has changed since
                warnings.simplefilter("ignore")
                if facts.kind is FileKind.JOBLIB:
                    return load_joblib(path, find)
                reader = _reader(find)
                if facts.kind is FileKind.PICKLE and not facts.torch_wrote:
                    return reader.Unpickler(handle).load()
                return torch.load(handle, map_location=options.device, weights_only=False, pickle_module=reader)
        except CircuitProbeError:
            raise
        except (AttributeError, ImportError) as error:
            raise not_importable(path, facts, error, options.imports) from error
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"{path.name} cannot be unpickled: {type(error).__name__}: {error}",
                expected="a pickle that the installed versions can load",
                fix="save torch.save(model.state_dict(), ...) and use --factory package.module:function",
            ) from error


def _packages(imports: tuple[str, ...]) -> set[str]:
    return {name.partition(".")[0] for name in imports}


def _finder(classes: ImportedClasses, device: str) -> Callable[[str, str], Any]:
    """Classes of the user's files by (module, name); tensors go to the device wherever they were saved."""

    def find(module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda content: torch.load(io.BytesIO(content), map_location=device, weights_only=False)
        return classes.find(module, name)

    return find


def _reader(find: Callable[[str, str], Any]) -> Any:  # noqa: ANN401 - stands for the pickle module
    """The pickle module with an unpickler that knows the classes of the user's files."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
            found = find(module, name)
            return super().find_class(module, name) if found is None else found

    reader = types.ModuleType("reader")
    reader.__dict__.update(pickle.__dict__)
    reader.__dict__["Unpickler"] = Unpickler
    reader.__dict__["load"] = lambda handle, **options: Unpickler(handle, **options).load()
    return reader
