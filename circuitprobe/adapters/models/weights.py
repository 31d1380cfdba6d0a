"""Weights without their model's code: found in a checkpoint, matched with an empty model by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from circuitprobe.adapters.models.factories import build_from_factory
from circuitprobe.adapters.models.inert_tensors import is_state_dict
from circuitprobe.adapters.models.pickles import Described
from circuitprobe.errors import ModelError

State = Mapping[str, Tensor]
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|module)\.")
_OF_THE_TRAINING = re.compile(r"optim|sched|scaler|callback|loops|rng|grad")
_LEVELS = 3
# torch adds it when it is missing from a file of older date
_COUNTERS = "num_batches_tracked"


def find_states(content: object) -> dict[str, State]:
    """Every state_dict in a checkpoint by its place, "" for the content itself; those of optimizers are left out."""
    return _states(content, _LEVELS, set())


def _states(content: object, depth: int, met: set[int]) -> dict[str, State]:
    # the same weights under a second name are no second set
    if not isinstance(content, Mapping) or id(content) in met:
        return {}
    met.add(id(content))
    if is_state_dict(content):
        return {"": content}
    found: dict[str, State] = {}
    if "param_groups" in content or not depth:
        return found
    lightning = "pytorch-lightning_version" in content
    for key, value in content.items():
        if not isinstance(key, str) or _OF_THE_TRAINING.search(key.lower()) or (lightning and key != "state_dict"):
            continue
        for inner, state in _states(value, depth - 1, met).items():
            found[f"{key}.{inner}" if inner else key] = state
    return found


def settings_in(content: object) -> dict[str, Any]:
    """The hyper-parameters that a checkpoint states, those that are more than names of foreign classes."""
    if not isinstance(content, Mapping):
        return {}
    for key in ("hyper_parameters", "hparams"):
        value = content.get(key)
        if isinstance(value, Described):
            # a dictionary of Lightning's or argparse's own class
            value = value.items or value.state
        if isinstance(value, Mapping):
            return {str(k): v for k, v in value.items() if not isinstance(v, Described)}
    return {}


def filled(path: Path, content: object, factory: str, entry: str | None) -> nn.Module:
    """The factory's model with the weights of a checkpoint.

    Args:
        path: the checkpoint, for messages.
        content: what was read from it, with at least one state_dict.
        factory: builds the empty model.
        entry: which state_dict, or which prefix of names; None where only one fits.

    Raises:
        ModelError: none fits, or several do.
        UsageError: the factory fails.
    """
    states = find_states(content)
    model = build_from_factory(factory, settings_in(content))
    chosen = _chosen(path, states, entry)
    fitting = {}
    for place, state in chosen.items():
        for prefix, matched in matches(state, model, entry if entry not in states else None).items():
            fitting[".".join(part for part in (place, prefix) if part)] = matched
    together = {f"{place}.{name}": tensor for place, state in states.items() for name, tensor in state.items()}
    if not fitting and len(states) > 1 and entry is None:
        fitting = matches(together, model, None)
    if len(fitting) > 1:
        raise ModelError(
            f"{path.name} holds {len(fitting)} sets of weights that fit the model from {factory}: {', '.join(fitting)}",
            expected="the one to be audited",
            fix=f"add --entry {next(name for name in fitting if name)}, or another of them",
        )
    if not fitting:
        first = next(iter(chosen.values()))
        raise ModelError(
            f"the weights in {path.name} do not fit the model from {factory}: {_misfit(first, model)}",
            expected="the same names and shapes on both sides",
            fix="a --factory that builds the model with the settings it was trained with",
        )
    model.load_state_dict(dict(next(iter(fitting.values()))), strict=False)
    return model


def _chosen(path: Path, states: Mapping[str, State], entry: str | None) -> Mapping[str, State]:
    if entry is None:
        return states
    if entry in states:
        return {entry: states[entry]}
    within = {place: s for place, s in states.items() if any(name.startswith(f"{entry}.") for name in s)}
    # a prefix inside one of several state_dicts may be written behind that one's place
    for place, state in states.items():
        if place and entry.startswith(f"{place}.") and any(n.startswith(entry[len(place) + 1 :] + ".") for n in state):
            return {place: state}
    if not within:
        raise ModelError(
            f"{path.name} has no entry {entry!r}",
            expected=f"one of: {', '.join(name or 'its only one' for name in states)}, or a prefix of the weights' names",
            fix="another --entry, or none",
        )
    return within


def matches(state: State, model: nn.Module, prefix: str | None) -> dict[str, State]:
    """Ways to read a state_dict under which names and shapes are exactly the model's.

    Wrappers' marks (``module.``, ``_orig_mod.``) and any prefix that leaves the model's names are taken off.

    Args:
        state: the weights.
        model: the empty model.
        prefix: take this one only.

    Returns:
        The weights under the model's names, by the prefix that was taken off; a whole match shuts out all others.
    """
    found: dict[str, State] = {}
    for names in (lambda name: name, lambda name: _WRAPPERS.sub("", name)):
        renamed = {names(name): tensor for name, tensor in state.items()}
        if prefix is None and _fits(renamed, model):
            return {"": renamed}
        starts = {".".join(name.split(".")[:n]) for name in renamed for n in range(1, _LEVELS + 1)}
        for start in sorted(starts):
            inner = {k[len(start) + 1 :]: v for k, v in renamed.items() if k.startswith(f"{start}.")}
            mine = prefix is None or prefix == start or prefix.endswith(f".{start}")
            if mine and inner and _fits(inner, model):
                found.setdefault(start, inner)
        if found:
            return found
    return found


def _fits(state: State, model: nn.Module) -> bool:
    return not _misfit(state, model)


def _misfit(state: State, model: nn.Module) -> str:
    """What keeps weights from filling a model; "" where nothing does."""
    own = model.state_dict(keep_vars=True)
    missing = _without_shared(model, [name for name in own if name not in state])
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        return f"missing {missing[:4]}, not in the model {unexpected[:4]}"
    for name, tensor in state.items():
        mine = own[name]
        if (
            isinstance(mine, torch.Tensor)
            and not isinstance(mine, UninitializedParameter)
            and mine.shape != tensor.shape
        ):
            return f"{name} is {tuple(tensor.shape)} in the file and {tuple(mine.shape)} in the model"
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_quantized:
            kind = "quantized" if tensor.is_quantized else "meta" if tensor.is_meta else str(tensor.layout)
            return f"{name} is a {kind.removeprefix('torch.')} tensor in the file"
    return ""


def _without_shared(model: nn.Module, missing: Sequence[str]) -> list[str]:
    """Missing names but for those whose tensor is one that was filled under another name: safetensors keeps shared ones once."""
    own = model.state_dict(keep_vars=True)
    there = {id(tensor) for name, tensor in own.items() if name not in set(missing)}
    return [name for name in missing if id(own[name]) not in there and not name.endswith(_COUNTERS)]
