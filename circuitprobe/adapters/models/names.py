"""Finding encoder and decoder by the names that models commonly give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from circuitprobe.errors import ModelError

ENCODE_METHODS = ("encode", "encode_x", "inference", "recognition")
ENCODE_MODULES = (
    "encoder",
    "enc",
    "encoder_net",
    "encoder_network",
    "encode_net",
    "inference_net",
    "recognition_net",
    "q_net",
)
DECODE_METHODS = ("decode", "decode_z", "generate")
DECODE_MODULES = (
    "decoder",
    "dec",
    "decoder_net",
    "decoder_network",
    "decode_net",
    "generator",
    "generative_net",
    "p_net",
)
MEAN_HEADS = (
    "fc_mu",
    "fc_mean",
    "fc21",
    "fc31",
    "mu",
    "mean",
    "mu_layer",
    "mean_layer",
    "mu_head",
    "mean_head",
    "to_mu",
    "to_mean",
    "z_mean",
    "z_mu",
    "hidden2mean",
    "hid_2mu",
    "linear_mu",
    "linear_mean",
    "mu_net",
    "enc_mu",
    "encoder_mu",
    "encoder_mean",
    "fc_z_mean",
    "mean_linear",
    "mu_linear",
)
LOG_VAR_HEADS = (
    "fc_logvar",
    "fc_log_var",
    "fc_var",
    "fc22",
    "fc32",
    "logvar",
    "log_var",
    "logvar_layer",
    "log_var_layer",
    "logvar_head",
    "log_var_head",
    "to_logvar",
    "to_log_var",
    "z_log_var",
    "z_logvar",
    "hidden2logv",
    "hid_2logvar",
    "linear_logvar",
    "linear_log_var",
    "logvar_net",
    "log_var_net",
    "enc_logvar",
    "enc_log_var",
    "encoder_logvar",
    "encoder_log_var",
    "fc_z_log_var",
    "logvar_linear",
    "log_var_linear",
)

Run = Callable[[nn.Module, Tensor], Any]


@dataclass(frozen=True)
class Half:
    """One half of a VAE: how to run it and what it is called."""

    run: Run
    name: str


def find_encoder(model: nn.Module) -> Half | None:
    """The encoder by name: a method, a module, or a trunk module followed by mean and log-variance heads."""
    method = _method(model, ENCODE_METHODS)
    if method is not None:
        return method
    trunk = _module(model, ENCODE_MODULES)
    if trunk is None:
        return None
    mean, log_var = _module(model, MEAN_HEADS), _module(model, LOG_VAR_HEADS)
    if mean is None or log_var is None:
        return trunk

    def run(owner: nn.Module, x: Tensor) -> Any:  # noqa: ANN401 - whatever the encoder returns
        hidden = trunk.run(owner, x)
        if not isinstance(hidden, Tensor):
            return hidden
        hidden = hidden if hidden.ndim == 2 else hidden.flatten(1)
        return mean.run(owner, hidden), log_var.run(owner, hidden)

    return Half(run, f"{trunk.name} -> {mean.name}, {log_var.name}")


def find_decoder(model: nn.Module) -> Half | None:
    """The decoder by name: a method or a module."""
    return _method(model, DECODE_METHODS) or _module(model, DECODE_MODULES)


def half_from_path(model: nn.Module, path: str, role: str) -> Half:
    """A half that the user named by its dotted path: a module or a method.

    Raises:
        ModelError: there is nothing callable of that name, with the names there are.
    """
    target: Any = model
    for part in path.split("."):
        target = _attribute(target, part)
        if target is None:
            break
    if not callable(target):
        raise ModelError(
            f"the spec's {role} = {path!r} is no module or method of {class_name(model)}",
            expected=f"one of: {', '.join(parts_of(model))}",
            fix=f'{role} = "{(parts_of(model) or ["encoder"])[0]}" in the spec file',
        )

    def run(owner: nn.Module, argument: Tensor) -> Any:  # noqa: ANN401
        found: Any = owner
        for part in path.split("."):
            found = getattr(found, part)
        return found(argument)

    return Half(run, path)


def _method(model: nn.Module, names: tuple[str, ...]) -> Half | None:
    for name in names:
        if callable(_attribute(model, name)):
            return Half(lambda owner, argument, name=name: getattr(owner, name)(argument), name)  # type: ignore[misc]
    return None


def _module(model: nn.Module, names: tuple[str, ...]) -> Half | None:
    children = dict(model.named_children())
    for name in names:
        if name in children:
            return Half(lambda owner, argument, name=name: getattr(owner, name)(argument), name)  # type: ignore[misc]
    return None


def _attribute(owner: Any, name: str) -> Any:  # noqa: ANN401
    """An attribute; None where there is none, whatever a stranger's ``__getattr__`` raises."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 - a configuration object that knows only its own keys, for one
        return None


def class_name(model: nn.Module) -> str:
    """The name of the model's class, also of one that TorchScript compiled."""
    if isinstance(model, torch.jit.ScriptModule):
        return str(getattr(model, "original_name", "ScriptModule"))
    return type(model).__name__


def parts_of(model: nn.Module) -> list[str]:
    """What a user could name as encoder or decoder: the model's children and its own public methods."""
    inherited = set(dir(torch.jit.ScriptModule)) | set(dir(nn.Module))
    methods = [
        n for n in dir(type(model)) if not n.startswith("_") and n not in inherited and callable(_attribute(model, n))
    ]
    return [name for name, _ in model.named_children()] + methods
