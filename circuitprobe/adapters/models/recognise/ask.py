"""What is asked where a model cannot be told: what was seen, and a spec file ready to be filled in."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from circuitprobe.adapters.models.names import class_name, parts_of
from circuitprobe.errors import ModelError

_SHOWN = 12


def ask(
    model: nn.Module,
    seen: str,
    *,
    expected: str = "a VAE: a code sampled around a mean, and a reconstruction made of it",
    encode: str = "",
    decode: str = "",
    posterior: Sequence[str] = ("mean", "log_var"),
    confirm: bool = False,
) -> ModelError:
    """The error for a model that is not recognised, or not for certain.

    Args:
        model: the model.
        seen: what was seen.
        expected: what a VAE does instead.
        encode: what probably encodes, "" where nothing is known.
        decode: what probably decodes.
        posterior: what encode probably returns.
        confirm: whether naming forward in the spec accepts what the noise tap found.
    """
    parts = parts_of(model)
    listed = ", ".join(parts[:_SHOWN]) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")
    if confirm:
        lines = ['encode = "forward"   # the code that forward samples, as described above', 'decode = "forward"']
    else:
        order = ", ".join(f'"{part}"' for part in posterior)
        lines = [
            f'encode = "{encode or "NAME"}"   # a module or method',
            f'decode = "{decode or "NAME"}"',
            f"posterior = [{order}]   # what encode returns, in order: mean, log_var, std, var, log_std, softplus, sample, ignore",
        ]
    spec = "".join(f"\n    {line}" for line in lines)
    return ModelError(
        f"{class_name(model)} is not recognised as a VAE: {seen}" + (f"; it has: {listed}" if listed else ""),
        expected=expected,
        fix=f"if it is one, write this into vae.toml and add --spec vae.toml:{spec}\n"
        "  in Python: cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=lambda m, z: ...)",
    )
