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
    ``torch.manual_seed(seed)``. Parameters of modules that do not define it are drawn from N(0, their own variance). The
    global generator is left as it was.

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
        redrawn = [name or "model" for name, module in twin.named_modules() if _redraw(module)]
    how = "every module's reset_parameters"
    if redrawn:
        how += f"; drawn from N(0, own variance): {', '.join(redrawn[:5])}" + (
            f" and {len(redrawn) - 5} more" if len(redrawn) > 5 else ""
        )
    return replace(vae, model=twin), how


def _redraw(module: nn.Module) -> bool:
    """Draw one module's own parameters anew; True where it did not know how to itself."""
    reset = getattr(module, "reset_parameters", None)
    own = list(module.parameters(recurse=False))
    if callable(reset) and not isinstance(module, torch.jit.ScriptModule):
        reset()
        return False
    for parameter in own:
        spread = float(parameter.std()) if parameter.numel() > 1 else float(parameter.abs().mean())
        parameter.normal_(0.0, spread)
    return bool(own)
