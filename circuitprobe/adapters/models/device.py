"""The device a model runs on."""

from __future__ import annotations

import torch

from circuitprobe.errors import UsageError


def resolve_device(device: str) -> str:
    """``auto`` made definite, and a device that is not there refused.

    Raises:
        UsageError: torch knows no such device, it is not on this machine, or it holds no numbers (``meta``).
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0][:120]})",
            expected="cpu, auto, or an accelerator that this installation of torch sees",
            fix="--device cpu",
        ) from error
    return device
