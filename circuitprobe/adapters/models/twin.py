"""The sanity twin: the same architecture with freshly initialised weights (METHOD.md section 5)."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from circuitprobe.adapters.models.probed import ProbedVAE


def fresh_twin(vae: ProbedVAE, seed: int) -> tuple[ProbedVAE | None, str]:
    """A copy of the model whose weights were drawn anew; the model itself is not touched.

    Each module that defines ``reset_parameters`` runs it, in the order of ``modules()``, after
    ``torch.manual_seed(seed)``; then every parameter that none of them wrote to is drawn from N(0, mean of its squares),
    in the order of ``named_parameters()``. The global generator is left as it was.

    Args:
        vae: the audited model.
        seed: of the draws.

    Returns:
        The twin and how it was made; (None, the reason) where the model cannot be copied.
    """
    try:
        twin = copy.deepcopy(vae.model)
    except Exception as error:  # noqa: BLE001 - a stranger's module may refuse to be copied in any way
        return None, f"no twin: the model cannot be copied ({type(error).__name__}: {error})"
    if not any(True for _ in twin.parameters()):
        return None, "no twin: the model has no weights of its own to draw anew"
    trained = {name: (parameter, parameter._version) for name, parameter in twin.named_parameters()}  # noqa: SLF001
    devices = [vae.device] if vae.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        reset = sum(_reset(module) for module in twin.modules())
        kept = {name: p for name, p in twin.named_parameters() if _untouched(trained.get(name), p)}
        for parameter in kept.values():
            parameter.normal_(0.0, float(parameter.square().mean().sqrt()))
    drawn = list(kept)
    how = [f"reset_parameters of {reset} modules"] if reset else []
    if drawn:
        more = f" and {len(drawn) - 5} more" if len(drawn) > 5 else ""
        how.append(f"drawn from N(0, mean of their squares): {', '.join(drawn[:5])}{more}")
    return replace(vae, model=twin), "; ".join(how)


def _reset(module: nn.Module) -> bool:
    """Let a module draw its own parameters anew; False where it does not know how to."""
    reset = getattr(module, "reset_parameters", None)
    if not callable(reset) or isinstance(module, torch.jit.ScriptModule):
        return False
    reset()
    return True


def _untouched(before: tuple[nn.Parameter, int] | None, parameter: nn.Parameter) -> bool:
    """Whether a parameter is the same object as before and was not written to since."""
    return before is not None and before[0] is parameter and before[1] == parameter._version  # noqa: SLF001


def runs_the_models_weights(vae: ProbedVAE, twin: ProbedVAE, x: torch.Tensor) -> bool:
    """Whether a twin gives back the same rows as the model although its weights are others.

    That is so where the callables given to ``wrap`` run a particular module instead of the one they are handed.
    """
    pairs = zip(vae.model.parameters(), twin.model.parameters(), strict=True)
    if all(torch.equal(trained, fresh) for trained, fresh in pairs):
        return False
    if vae.prior_only:
        codes = vae.prior_codes(x, np.random.default_rng(0))
        return torch.equal(vae.decode(codes), twin.decode(codes))
    return torch.equal(vae.decode(vae.encode(x).mean), twin.decode(twin.encode(x).mean))
