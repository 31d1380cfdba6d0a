"""How many threads a model of its size is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALL = 1_000_000


@contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """One thread inside the block for a model of fewer than a million weights without kernels, as many as before for others.

    Layers of a small model take less time than their threads take to meet, and on a busy machine the waiting is many
    times the work; a convolution uses each of its few weights at every position. The setting is put back afterwards.
    """
    before = torch.get_num_threads()
    try:
        kernels = any(parameter.ndim > 2 for parameter in model.parameters())
        if not kernels and sum(parameter.numel() for parameter in model.parameters()) < SMALL:
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)
