"""One half of a VAE as the probing layer sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Half:
    """A function of a tensor that runs modules of a model.

    Attributes:
        name: which half it is.
        model: the whole model.
        run: inputs (rows, width) -> outputs (rows, width); calls into ``model``.
        outside: paths of modules that run with it without seeing its inputs.
    """

    name: Literal["encoder", "decoder"]
    model: nn.Module
    run: Callable[[Tensor], Tensor]
    outside: tuple[str, ...] = ()
