"""Reading what an encoder returns as a posterior, and what a decoder returns as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from circuitprobe.errors import ModelError
from circuitprobe.types import Posterior

PosteriorPart = Literal["mean", "log_var", "var", "std", "log_std", "softplus", "sample", "ignore"]
PARTS: tuple[str, ...] = get_args(PosteriorPart)

_NAMES: dict[PosteriorPart, tuple[str, ...]] = {
    "mean": (
        "mean",
        "mu",
        "loc",
        "fc_mu",
        "fc_mean",
        "mu_layer",
        "mean_layer",
        "to_mu",
        "means",
        "z_mean",
        "embedding",
        "mean_z",
        "z_mu",
        "q_mean",
        "qz_m",
    ),
    "log_var": (
        "log_var",
        "logvar",
        "log_variance",
        "log_covariance",
        "z_log_var",
        "z_logvar",
        "logv",
        "log_sigma2",
        "lnvar",
        "log_sigma_sq",
        "log_sigma_squared",
        "logsigma2",
        "fc_logvar",
        "fc_log_var",
        "logvar_layer",
        "enc_logvar",
        "fc_lv",
        "lv",
    ),
    "log_std": ("log_std", "logstd", "log_sigma", "logsigma", "log_scale", "z_log_std", "z_log_sigma", "log_stddev"),
    "std": ("std", "sigma", "scale", "stddev", "z_std", "z_sigma"),
    "var": ("var", "variance", "z_var", "sigma2", "qz_v"),
    "sample": ("z", "sample", "latent_sample", "code"),
}

SPEC_HINT = (
    'say what it returns: posterior = ["mean", "log_var"] (or std, var, log_std, softplus, sample, ignore) in --spec vae.toml, '
    "or cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=...) in Python"
)


def choose_order(output: Any, encode: str, again: Any = None) -> tuple[PosteriorPart, ...]:  # noqa: ANN401
    """What the tensors of an encoder's output are, by their names or their customary order.

    Args:
        output: what the encoder returned.
        encode: what the encoder is called, for messages.
        again: what it returned for the same rows a second time; a tensor that differs was sampled.

    Returns:
        One part per tensor of ``output``, in its order.

    Raises:
        ModelError: the parts cannot be told apart.
    """
    if isinstance(output, Posterior):
        return ("mean",) if output.log_var is None else ("mean", "log_var")
    if isinstance(output, torch.distributions.Distribution):
        return ("mean", "var")
    names, tensors = named_tensors(output)
    if names:
        order = tuple(part_named(name) for name in names)
        if "mean" in order and any(part in order for part in ("log_var", "std", "var", "log_std")):
            return order
    if again is not None and len(tensors) > 1:
        sampled = [
            not torch.equal(a.nan_to_num(), b.nan_to_num())
            for a, b in zip(tensors, named_tensors(again)[1], strict=True)
        ]
        if sum(sampled) == 1 and len(tensors) == 3:
            rest = iter(("mean", "log_var"))
            return _checked(tuple("sample" if drawn else next(rest) for drawn in sampled), tensors, encode)  # type: ignore[arg-type]
        if any(sampled):
            raise _unreadable(f"{encode} gives other tensors when run twice on the same rows: it samples", encode)
    if len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
        return _checked(("mean", "log_var"), tensors, encode)
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors) or type(output).__name__
    if len(tensors) == 1:
        raise _unreadable(f"{encode} returns one tensor, {shapes}: a code without its variance", encode)
    raise _unreadable(f"{encode} returns {len(tensors)} tensors ({shapes})", encode)


def _checked(order: tuple[PosteriorPart, ...], tensors: Sequence[Tensor], encode: str) -> tuple[PosteriorPart, ...]:
    """Accept (mean, log_var) by position only where the second cannot just as well be a standard deviation."""
    spread = tensors[order.index("log_var")].detach()
    if spread.numel() and bool((spread > 0).all()):
        raise _unreadable(
            f"the second tensor of {encode} is positive everywhere ({float(spread.min()):.3g} to {float(spread.max()):.3g}): "
            "a standard deviation or variance as likely as a log-variance",
            encode,
        )
    return order


def _unreadable(seen: str, encode: str) -> ModelError:
    return ModelError(seen, expected=f"mean and log-variance from {encode}, two tensors (rows, latents)", fix=SPEC_HINT)


def part_named(name: str) -> PosteriorPart:
    """What a tensor of this name is, ``ignore`` where the name says nothing."""
    plain = name.lower().lstrip("_")
    return next((part for part, names in _NAMES.items() if plain in names), "ignore")


def named_tensors(output: Any) -> tuple[tuple[str, ...], list[Tensor]]:  # noqa: ANN401
    """The tensors of an output with their names: () where they have only positions."""
    if isinstance(output, Tensor):
        return (), [output]
    pairs: list[tuple[str, Any]] = []
    if isinstance(output, Mapping):
        pairs = [(str(key), item) for key, item in output.items()]
    elif is_dataclass(output) and not isinstance(output, type):
        pairs = [(field.name, getattr(output, field.name)) for field in fields(output)]
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        pairs = list(zip(output._fields, output, strict=True))
    elif isinstance(output, (tuple, list)):
        return (), [item for item in output if isinstance(item, Tensor)]
    kept = [(name, item) for name, item in pairs if isinstance(item, Tensor)]
    return tuple(name for name, _ in kept), [item for _, item in kept]


def read_posterior(output: Any, order: Sequence[PosteriorPart], *, rows: int, encode: str) -> Posterior:  # noqa: ANN401
    """The posterior in an encoder's output.

    Args:
        output: what the encoder returned.
        order: what each of its tensors is.
        rows: how many rows went in.
        encode: what the encoder is called, for messages.

    Returns:
        Mean and log_var of shape (rows, latents); log_var None where ``order`` has no spread.

    Raises:
        ModelError: shapes or signs do not fit.
    """
    if isinstance(output, Posterior):
        return output
    spread_out = isinstance(output, torch.distributions.Distribution)
    tensors = [output.mean, output.variance] if spread_out else named_tensors(output)[1]
    if len(tensors) == 1 and len(order) > 1 and tensors[0].shape[1] % len(order) == 0:
        # one tensor that holds all parts side by side
        tensors = list(tensors[0].chunk(len(order), 1))
    if len(tensors) != len(order):
        raise _unreadable(
            f"{encode} returns {len(tensors)} tensors, posterior names {len(order)}: {', '.join(order)}", encode
        )
    parts: dict[str, Tensor] = dict(zip(order, tensors, strict=True))
    mean = parts["mean"]
    if mean.ndim < 2 or mean.shape[0] != rows:
        raise _unreadable(f"the mean from {encode} has shape {tuple(mean.shape)} for {rows} rows", encode)
    log_var = _log_variance(parts, encode)
    if log_var is not None and log_var.shape != mean.shape:
        raise _unreadable(f"{encode} gives a mean {tuple(mean.shape)} and a variance {tuple(log_var.shape)}", encode)
    return Posterior(mean, log_var)


def _log_variance(parts: Mapping[str, Tensor], encode: str) -> Tensor | None:
    if "log_var" in parts:
        return parts["log_var"]
    if "log_std" in parts:
        return 2.0 * parts["log_std"]
    if "softplus" in parts:
        return 2.0 * torch.log(torch.nn.functional.softplus(parts["softplus"]))
    for name, power in (("std", 2.0), ("var", 1.0)):
        if name in parts:
            if bool((parts[name] < 0).any()):
                raise _unreadable(f"the {name} from {encode} is negative in places", encode)
            return power * torch.log(parts[name])
    return None


def pick_mean_width(output: Any, *, rows: int, width: int | None, decode: str) -> Tensor:  # noqa: ANN401
    """The decoder's reconstruction: its only tensor, or the only one as wide as the input.

    Raises:
        ModelError: no tensor or several of shape (rows, width).
    """
    if isinstance(output, torch.distributions.Distribution):
        output = output.mean
    whole = [t for t in named_tensors(output)[1] if t.ndim >= 2 and t.shape[0] == rows]
    # an image is a row once it is flat
    tensors = [t.flatten(1) if t.ndim > 2 and width is not None and t.numel() == rows * width else t for t in whole]
    tensors = [t for t in tensors if t.ndim == 2]
    fitting = [t for t in tensors if width is None or t.shape[1] == width]
    if len(fitting) == 1 or (fitting and isinstance(output, Tensor)):
        return fitting[0]
    seen = ", ".join(str(tuple(t.shape)) for t in named_tensors(output)[1]) or type(output).__name__
    raise ModelError(
        f"{decode} returns {seen} for {rows} rows",
        expected=f"one reconstruction ({rows}, {width if width is not None else 'dims'}), as wide as the encoder's input",
        fix="name the decoder: --spec vae.toml on the command line, cp.wrap(model, encode=..., decode=...) in Python",
    )
