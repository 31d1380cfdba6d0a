"""Loading model files. Pickled code runs only where the user said that the file is trusted."""

from __future__ import annotations

import pickle
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from circuitprobe.adapters.models.contents import LoadOptions, Rebuild, from_content
from circuitprobe.adapters.models.files import MODEL_FILE, FileFacts, FileKind, look, truncated
from circuitprobe.adapters.models.folders import needs_library, pickled_imports
from circuitprobe.adapters.models.inert_tensors import read_plain
from circuitprobe.adapters.models.pickles import BeyondBoundsError, Contents, described
from circuitprobe.adapters.models.probed import ProbedVAE, check_weights
from circuitprobe.adapters.models.refusals import (
    acts_outside,
    folder_needs_trust,
    needs_trust,
    not_importable,
    of_other_libraries,
)
from circuitprobe.adapters.models.tensor_pickles import NotTensorsError, load_tensors
from circuitprobe.adapters.models.user_code import ImportableFrom, ImportedClasses
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
        path: torch.save archive (our checkpoint, state_dict, Lightning checkpoint, pickled module), safetensors file,
            TorchScript or torch.export archive, or the folder of a library.
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
            expected="both: classes are needed only where the code in a pickled model is run",
            fix="add --trust if you know where the model file comes from",
        )
    if path.is_dir():
        return _ready(_from_folder(path, options), options)
    facts = look(path)
    if facts.kind is FileKind.TORCH_SCRIPT:
        if facts.acts and not options.trust:
            raise acts_outside(path, facts)
        vae = wrap(_load_script(path, options.device), spec=options.spec, source=path.name)
    elif facts.kind is FileKind.EXPORTED:
        from circuitprobe.adapters.models.exported import load_exported

        program = load_exported(path, trusted=options.trust, device=options.device)
        vae = wrap(program, spec=options.spec, source=path.name)
    else:
        tensors_only = facts.kind is FileKind.SAFETENSORS
        content = _load_safetensors(path, options.device) if tensors_only else _load_pickle(path, facts, options)
        vae = from_content(path, content, options, formats)
    return _ready(vae, options)


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

    adapter = folder_adapter(path)
    if adapter is None:
        facts = look(path)
        if facts.imports and not options.trust:
            raise folder_needs_trust(path, facts.library, facts.imports)
        raise needs_library(path, facts)
    imports = pickled_imports(path)
    if imports and not options.trust:
        raise folder_needs_trust(path, adapter.name, imports)
    with ImportableFrom(Path.cwd()):
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
    """Tensors alone if that is all there is; weights without the classes beside them; else, with trust, everything."""
    archive = facts.kind is FileKind.TORCH_ARCHIVE
    try:
        return load_tensors(path, archive=archive, bounds=MODEL_FILE, device=options.device)
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(f"{path.name} describes {error}; nothing in it was loaded") from error
    except Exception as error:
        not_tensors = isinstance(error, (NotTensorsError, pickle.UnpicklingError)) or "weights_only" in str(error)
        refused = facts.whole and not_tensors
        # torch's older format begins with three pickles of its own
        before = 3 if facts.torch_wrote else 0
        plain = (read_plain(path) if archive else _described(path, before)) if refused else None
        # joblib writes arrays between the parts of its pickle, which therefore seems to break off
        if facts.imports and not facts.whole and of_other_libraries(facts):
            raise needs_trust(path, facts, None) from error
        if not refused or (archive and plain is None and not facts.imports):
            raise truncated(path) from error
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
    with ImportableFrom():
        try:
            reader = _reader(ImportedClasses(options.imports, facts.imports))
            with warnings.catch_warnings(), path.open("rb") as handle:
                # torch warns of classes whose source has changed since
                warnings.simplefilter("ignore")
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
                expected="a pickled module that the installed versions can load",
                fix="save torch.save(model.state_dict(), ...) and use --factory package.module:function",
            ) from error


def _reader(classes: ImportedClasses) -> Any:  # noqa: ANN401 - stands for the pickle module
    """The pickle module with an unpickler that knows the classes of the user's files."""

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
            found = classes.find(module, name)
            return super().find_class(module, name) if found is None else found

    reader = types.ModuleType("reader")
    reader.__dict__.update(pickle.__dict__)
    reader.__dict__["Unpickler"] = Unpickler
    reader.__dict__["load"] = lambda handle, **options: Unpickler(handle, **options).load()
    return reader
