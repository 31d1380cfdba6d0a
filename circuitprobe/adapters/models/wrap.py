"""One line for a third-party VAE in Python: ``cp.wrap(model)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor, nn

from circuitprobe.adapters.models.names import Half, Run, class_name, find_decoder, find_encoder, half_from_path
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.adapters.models.recognise import Suggested, recognise, with_order
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
    forward = spec is not None and "forward" in {spec.encode, spec.decode}
    names = (find_encoder(model), find_decoder(model))
    encoder = _given(encode, "encode") or _named_by_spec(model, spec, "encode")
    decoder = _given(decode, "decode") or _named_by_spec(model, spec, "decode")
    vae = ProbedVAE(
        model=model,
        run_encoder=_posterior_of(encode) if encode is not None else _run_of(encoder or names[0]),
        run_decoder=_run_of(decoder or names[1]),
        recognition=Recognition(*_names((encoder, decoder), names), "read on the first rows"),
        source=source or class_name(model),
        order=spec.posterior if spec else None,
        output=spec.output if spec else "auto",
        input_width=spec.input_width if spec else None,
    )
    said = spec is not None and spec.posterior is not None and None not in names and not forward
    if forward or (encoder is None and decoder is None and not said):
        suggested = Suggested(encoder or names[0], decoder or names[1], confirmed=forward)
        return replace(vae, settle=lambda bare, x, real: recognise(bare, x, suggested, real=real))
    if (encoder or names[0]) is None or (decoder or names[1]) is None:
        raise _other_half_unknown(model, "decode" if encoder else "encode")
    if encode is None and vae.order is None:
        halves = Suggested(encoder or names[0], decoder or names[1])
        return replace(vae, settle=lambda bare, x, _: with_order(bare, x, halves))
    return vae


def _named_by_spec(model: nn.Module, spec: ModelSpec | None, role: Literal["encode", "decode"]) -> Half | None:
    path = getattr(spec, role) if spec is not None else None
    return half_from_path(model, path, role) if path and path != "forward" else None


def _run_of(half: Half | None) -> Run:
    return half.run if half is not None else _unsettled


def _unsettled(model: nn.Module, argument: Tensor) -> Any:  # noqa: ANN401, ARG001
    raise ModelError(
        f"the halves of {class_name(model)} are found on real rows, and none have been seen",
        expected="rows first",
        fix="vae = vae.resolved(x), or cp.audit(vae, data)",
    )


def _names(given: tuple[Half | None, Half | None], known: tuple[Half | None, Half | None]) -> tuple[str, str]:
    encoder, decoder = (one or other for one, other in zip(given, known, strict=True))
    return encoder.name if encoder else "forward", decoder.name if decoder else "forward"


def _other_half_unknown(model: nn.Module, missing: str) -> UsageError:
    given = "encode" if missing == "decode" else "decode"
    return UsageError(
        f"cp.wrap was given {given} but not {missing}, and {class_name(model)} has no {missing} that is known by name",
        expected="both callables",
        fix=f"cp.wrap(model, encode=lambda m, x: ..., {missing}=lambda m, z: ...)",
    )


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
