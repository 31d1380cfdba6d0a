"""The sanity twin: the same architecture with freshly initialised weights (METHOD.md section 5)."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from circuitprobe.adapters.models.probed import ProbedVAE


def fresh_twin(vae: ProbedVAE, seed: int) -> tuple[ProbedVAE | None, str]:
    """A copy of the model whose weights were drawn anew; the model itself is not touched.

    Each module that defines ``reset_parameters`` runs it, in the order of ``modules()``, after
    ``torch.manual_seed(seed)``; then parameters of modules that do not define it are drawn from N(0, mean of their
    squares), in the same order. The global generator is left as it was.

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
    devices = [vae.device] if vae.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        reset = [name for name, module in twin.named_modules() if _reset(module)]
        others = [(name or "model", module) for name, module in twin.named_modules() if name not in reset]
        redrawn = [name for name, module in others if _redraw(module)]
    known = f"reset_parameters of {len(reset)} modules" if reset else ""
    drawn = f"drawn from N(0, mean of their squares): {', '.join(redrawn[:5])}" if redrawn else ""
    more = f" and {len(redrawn) - 5} more" if len(redrawn) > 5 else ""
    return replace(vae, model=twin), "; ".join(part for part in (known, drawn + more) if part)


def _reset(module: nn.Module) -> bool:
    """Let a module draw its own parameters anew; False where it does not know how to."""
    reset = getattr(module, "reset_parameters", None)
    if not callable(reset) or isinstance(module, torch.jit.ScriptModule):
        return False
    reset()
    return True


def _redraw(module: nn.Module) -> bool:
    """Draw a module's own parameters from N(0, mean of their squares); False where it has none."""
    own = list(module.parameters(recurse=False))
    for parameter in own:
        parameter.normal_(0.0, float(parameter.square().mean().sqrt()))
    return bool(own)
