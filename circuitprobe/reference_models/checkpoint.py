"""circuitprobe's checkpoint: weights, architecture and data schema in one file that loads without running code.

The file is a torch archive of one dictionary of tensors, str, int, float, bool, None, list and dict, so that
``torch.load(path, weights_only=True)`` reads it:

- ``format``, ``version``
- ``architecture``: ``ArchitectureConfig.to_dict``
- ``data``: the table encoding as a dictionary, or for images nothing, with ``source``, ``target`` and ``ignored`` beside it
- ``training``: hyperparameters and losses per round
- ``state_dict``: the weights
- ``resume``: only while training has not ended: what it needs to go on
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from circuitprobe.adapters.data import encoding_from_dict, encoding_to_dict
from circuitprobe.errors import DataError, ModelError
from circuitprobe.reference_models.architectures import build
from circuitprobe.reference_models.config import Config, TableConfig, blocks_of, config_from_dict, shown
from circuitprobe.report.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from circuitprobe.reference_models.trained import TrainedModel
    from circuitprobe.types import TableEncoding

FORMAT = "circuitprobe-checkpoint"
VERSION = 2
"""1 knew tables only; it is still read."""
ORIGIN = ("source", "target", "ignored")
RETRAIN = "train the model again with `circuitprobe train`, or use an undamaged copy of the file"


def to_payload(trained: TrainedModel, resume: Mapping[str, Any] | None = None) -> dict[str, object]:
    """The dictionary a checkpoint holds."""
    origin = trained.origin
    payload: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": trained.model.config.to_dict(),
        "data": {
            **(encoding_to_dict(origin.encoding) if origin.encoding is not None else {}),
            "source": origin.source,
            "target": origin.target,
            "ignored": list(origin.ignored),
        },
        "training": trained.training_dict(),
        "state_dict": {name: value.detach().cpu().clone() for name, value in trained.model.state_dict().items()},
    }
    return payload if resume is None else {**payload, "resume": dict(resume)}


def save_checkpoint(path: Path, trained: TrainedModel, resume: Mapping[str, Any] | None = None) -> None:
    """Write a checkpoint: whole or not at all, an older file of that name stays until the new one is complete.

    Args:
        path: where to.
        trained: what to save.
        resume: what an unfinished training needs to go on.

    Raises:
        UsageError: the file cannot be written (missing folder, no permission, full disk).
    """
    buffer = io.BytesIO()
    torch.save(to_payload(trained, resume), buffer)
    write_atomically(path, lambda handle: handle.write(buffer.getbuffer()))


def rebuild(payload: Mapping[str, Any]) -> tuple[nn.Module, TableEncoding | None, dict[str, Any]]:
    """The model of a checkpoint that was loaded with ``weights_only=True``.

    Args:
        payload: what was loaded.

    Returns:
        The network in eval mode on the CPU, the encoding of its table (None for images), and the rest: ``source``,
        ``target``, ``ignored`` and ``training``.

    Raises:
        ModelError: an entry is missing, has a wrong type, or does not fit the others; the message names it.
    """
    _check_version(payload)
    config = config_from_dict(payload.get("architecture"))
    data = _entry(payload, "data", dict)
    training = _entry(payload, "training", dict)
    state = _entry(payload, "state_dict", dict)
    origin = _origin(data)
    _check_size(config, state)
    encoding = _encoding(data, config) if isinstance(config, TableConfig) else None
    model = build(config)
    _load_weights(model, state)
    return model.eval(), encoding, {**origin, "training": training}


def _encoding(data: Mapping[str, Any], config: TableConfig) -> TableEncoding:
    try:
        encoding = encoding_from_dict({key: value for key, value in data.items() if key not in ORIGIN})
    except DataError as error:
        raise ModelError(error.seen, expected=error.expected, fix=RETRAIN) from error
    if blocks_of(encoding) != config.blocks:
        raise _damaged(
            f"the checkpoint's data entry has {len(encoding.columns)} columns over {encoding.width} dimensions, its "
            f"architecture entry {len(config.blocks)} over {config.width}, or they differ in kind",
            "the same columns in both",
        )
    return encoding


def _check_size(config: Config, state: Mapping[str, Tensor]) -> None:
    """Make sure that an architecture is no larger than its weights, before it is built."""
    # a network's numbers have four bytes each, its weights may be of any type
    there = (
        sum(value.numel() * value.element_size() for value in state.values() if isinstance(value, torch.Tensor)) // 4
    )
    layers = len(config.hidden) if isinstance(config, TableConfig) else 0
    if config.numbers > there or layers > len(state):
        raise _damaged(
            f"the checkpoint's architecture entry describes a network of {shown(config.numbers)} numbers"
            f"{f' in {layers:,} layers' if layers else ''}, its state_dict has {there:,}",
            "weights for every layer of the architecture",
        )


def _check_version(payload: Mapping[str, Any]) -> None:
    if payload.get("format") != FORMAT:
        raise _damaged(f"the file's format entry is {shown(payload.get('format'))}", repr(FORMAT))
    version = payload.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(f"the checkpoint's version is {shown(version)}", f"a whole number from 1 to {VERSION}")
    if version > VERSION:
        raise ModelError(
            f"the checkpoint has version {shown(version)}; this circuitprobe reads up to version {VERSION}",
            expected=f"version {VERSION} or older",
            fix="`pip install --upgrade circuitprobe`, or train the model again with this one",
        )


def _entry(payload: Mapping[str, Any], name: str, kind: type[Any]) -> Any:  # noqa: ANN401 - as typed as a file can be
    value = payload.get(name)
    if not isinstance(value, kind):
        seen = "missing" if name not in payload else f"a {type(value).__name__}"
        raise _damaged(f"the checkpoint's entry {name} is {seen}", f"a {kind.__name__}")
    return value


def _origin(data: Mapping[str, Any]) -> dict[str, Any]:
    for name in ORIGIN:
        if name not in data:
            raise _damaged(f"the checkpoint's entry data.{name} is missing", "source, target and ignored under data")
    source, target, ignored = (data[name] for name in ORIGIN)
    if not isinstance(source, str):
        raise _damaged(f"the checkpoint's entry data.source is a {type(source).__name__}", "a string")
    if target is not None and not isinstance(target, str):
        raise _damaged(f"the checkpoint's entry data.target is a {type(target).__name__}", "a string or None")
    if not isinstance(ignored, list) or not all(isinstance(name, str) for name in ignored):
        raise _damaged("the checkpoint's entry data.ignored is no list of names", "a list of strings")
    return {"source": source, "target": target, "ignored": ignored}


def _load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in state:
            raise _damaged(f"the checkpoint's state_dict lacks {name}", "weights for every layer of the architecture")
        given: object = state[name]
        if not isinstance(given, torch.Tensor):
            raise _damaged(f"the checkpoint's weights {name} are a {type(given).__name__}", "a tensor")
        if given.shape != value.shape or given.dtype != value.dtype or given.layout != value.layout or given.is_meta:
            raise _damaged(
                f"the checkpoint's weights {name} have shape {tuple(given.shape)}, type {given.dtype} and layout {given.layout}",
                f"shape {tuple(value.shape)} and type {value.dtype}, as its architecture entry says",
            )
    extra = [str(name) for name in state if name not in expected]
    if extra:
        raise _damaged(
            f"the checkpoint's state_dict has {len(extra)} tensors too many, such as {extra[0]}",
            "weights of the architecture's layers only",
        )
    model.load_state_dict(state)


def _damaged(seen: str, expected: str) -> ModelError:
    return ModelError(seen, expected=expected, fix=RETRAIN)
