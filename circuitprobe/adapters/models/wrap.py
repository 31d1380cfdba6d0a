"""One line for a third-party VAE in Python: ``cp.wrap(model)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from circuitprobe.adapters.models.names import Half, class_name, find_decoder, find_encoder, half_from_path, parts_of
from circuitprobe.adapters.models.posterior import PosteriorPart
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.adapters.models.spec import ModelSpec
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.types import Posterior, Recognition


def wrap(
    model: Any,  # noqa: ANN401 - also what a library keeps its model in
    *,
    encode: Callable[[nn.Module, Tensor], Posterior | tuple[Tensor, Tensor] | Tensor] | None = None,
    decode: Callable[[nn.Module, Tensor], Tensor] | None = None,
    spec: ModelSpec | None = None,
    source: str | None = None,
) -> ProbedVAE:
    """Name the two halves of a VAE. The model is not run and not changed.

    Args:
        model: any nn.Module, TorchScript included; or an object of a library that an adapter knows (``docs/adapters.md``).
        encode: (model, x) -> Posterior, (mean, log_var) or the mean alone, each (rows, latents). Default: found by the
            the library's adapter, else by the common names (``encode``, ``encoder``, a trunk with mean and log-variance
            heads). Given, it wins over both.
        decode: (model, z) -> reconstruction (rows, dims) after the output activation. Default: ``decode``, ``decoder``.
        spec: names them instead, as a spec file does.
        source: what reports call the model; default its class name.

    Returns:
        The model ready for ``cp.audit``; what encode returns is read and checked on the first real rows.

    Raises:
        UsageError: ``model`` is neither a module nor known to an adapter, or one callable is given without the other.
        ModelError: no encoder or decoder is found, or the library's model cannot be audited.
    """
    if encode is None and decode is None and not (spec and (spec.encode or spec.decode or spec.posterior)):
        known = _from_family(model, spec, source)
        if known is not None:
            return known
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"cp.wrap was given {type(model).__name__}",
            expected="a torch.nn.Module, or an object of a library that has an adapter",
            fix="cp.wrap(model), or cp.load('model.pt') for a file",
        )
    if (encode is None) != (decode is None) and spec is None:
        given, missing = ("encode", "decode") if decode is None else ("decode", "encode")
        found = find_decoder(model) if decode is None else find_encoder(model)
        if found is None:
            raise UsageError(
                f"cp.wrap was given {given} but not {missing}, and {class_name(model)} has no {missing} that is known by name",
                expected="both callables",
                fix=f"cp.wrap(model, encode=lambda m, x: ..., {missing}=lambda m, z: ...)",
            )
    encoder = _given(encode, "encode") or (
        half_from_path(model, spec.encode, "encode") if spec and spec.encode else find_encoder(model)
    )
    decoder = _given(decode, "decode") or (
        half_from_path(model, spec.decode, "decode") if spec and spec.decode else find_decoder(model)
    )
    if encoder is None or decoder is None:
        raise _not_a_vae(model, encoder, decoder)
    vae = ProbedVAE(
        model=model,
        run_encoder=_posterior_of(encode) if encode is not None else encoder.run,
        run_decoder=decoder.run,
        recognition=Recognition(encoder.name, decoder.name, "read on the first rows"),
        source=source or class_name(model),
    )
    if spec is None:
        return vae
    order: tuple[PosteriorPart, ...] | None = spec.posterior
    return replace(vae, order=order, output=spec.output, input_width=spec.input_width)


def _from_family(model: object, spec: ModelSpec | None, source: str | None) -> ProbedVAE | None:
    """The model by its library's adapter, None where there is none; what a spec file says of the output wins."""
    from circuitprobe.adapters.families import adapted

    vae = adapted(model, source)
    if vae is None or spec is None:
        return vae
    output = vae.output if spec.output == "auto" else spec.output
    return replace(vae, output=output, input_width=spec.input_width or vae.input_width)


def _given(function: Callable[..., Any] | None, role: str) -> Half | None:
    if function is None:
        return None
    return Half(function, f"the {role} callable given")


def _posterior_of(encode: Callable[[nn.Module, Tensor], Any]) -> Callable[[nn.Module, Tensor], Any]:
    """What a caller's encode returns is what the documentation says: a Posterior, (mean, log_var), or the mean."""

    def run(model: nn.Module, x: Tensor) -> Any:  # noqa: ANN401
        output = encode(model, x)
        if isinstance(output, Tensor):
            return Posterior(output, None)
        if isinstance(output, (tuple, list)) and len(output) == 2 and isinstance(output[0], Tensor):
            return Posterior(output[0], output[1])
        return output

    return run


def _not_a_vae(model: nn.Module, encoder: Half | None, decoder: Half | None) -> ModelError:
    missing = " and ".join(role for role, half in (("encoder", encoder), ("decoder", decoder)) if half is None)
    parts = parts_of(model)
    listed = ", ".join(parts[:12]) + (f" and {len(parts) - 12} more" if len(parts) > 12 else "")
    return ModelError(
        f"{class_name(model)} has no {missing} that is known by name; it has: {listed or 'no submodules or methods'}",
        expected="a VAE: encode(x) -> (mean, log_var) and decode(z) -> reconstruction, or modules encoder and decoder",
        fix='write encode = "NAME" and decode = "NAME" into vae.toml and add --spec vae.toml; '
        "in Python cp.wrap(model, encode=lambda m, x: ..., decode=lambda m, z: ...)",
    )
