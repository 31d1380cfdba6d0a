"""``cp.load``: a model file of any supported kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from circuitprobe.adapters.models import (
    LoadOptions,
    ModelSpec,
    ProbedVAE,
    load_model,
    resolve_device,
    wrap,
)
from circuitprobe.reference_models.checkpoint import FORMAT, rebuild


def load(
    path: str | Path,
    *,
    factory: str | None = None,
    spec: ModelSpec | str | Path | None = None,
    trust: bool = False,
    device: str = "cpu",
    imports: Sequence[str | Path] = (),
    entry: str | None = None,
) -> ProbedVAE:
    """Load a VAE from a file without running code that the file brings.

    Args:
        path: a checkpoint of ``circuitprobe train``, a state_dict, Lightning checkpoint or safetensors file (with ``factory``),
            a torch.export archive, a folder that a known library wrote (``docs/adapters.md``); with ``trust`` TorchScript, a
            pickled or joblib-dumped module, an object with a network in an attribute, or an object of a known library.
        factory: ``package.module:function`` or ``file.py:function`` that returns the empty model of a state_dict. It is given
            those hyper-parameters of a Lightning checkpoint that it takes by name. ``package`` is looked for in the current folder
            first; other imports find what is installed first.
        spec: a spec file that names encoder and decoder.
        trust: run the code that the file brings (pickles, TorchScript, library folders); only for files whose origin is known.
            Meanwhile modules of the current folder can be imported, where nothing that is installed has their name.
        device: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU where there is one.
        imports: Python files that define classes of a pickled module, such as the script that trained it; what the classes need
            is run, loops and ``if __name__ == "__main__"`` are not. Only with ``trust``.
        entry: which model or state_dict, where the file holds several: an attribute (``steps.vae.model``) or a key.

    Returns:
        The model ready for ``cp.audit``.

    Raises:
        ModelError: what the file is instead, and what to type.
        UsageError: a factory or an imported file fails, or ``imports`` without ``trust``.
    """
    chosen = spec if spec is None or isinstance(spec, ModelSpec) else ModelSpec.load(spec)
    files = tuple(Path(file) for file in ([imports] if isinstance(imports, (str, Path)) else imports))
    options = LoadOptions(factory, chosen, trust, resolve_device(device), files, entry)
    return load_model(path, options, {FORMAT: _reference_model})


def as_vae(vae: ProbedVAE | nn.Module | str | Path) -> ProbedVAE:
    """Whatever stands for a model, wrapped.

    Raises:
        ModelError: it cannot be loaded or recognised.
        UsageError: it is neither a model nor a file.
    """
    if isinstance(vae, ProbedVAE):
        return vae
    return load(vae) if isinstance(vae, (str, Path)) else wrap(vae)


def _reference_model(payload: Mapping[str, Any], source: str) -> ProbedVAE:
    from dataclasses import replace

    model, encoding, data = rebuild(dict(payload))
    target, ignored = data.get("target"), tuple(data.get("ignored") or ())
    return replace(
        wrap(model, source=source),
        encoding=encoding,
        target=target,
        ignored=ignored,
        output="probabilities",
    )
