"""The limit: only the layers after the patched one, on stacked input of about 2 MB, nothing patched, nothing measured."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.tasks import STACK_BYTES, Case, Runs, Units


@torch.no_grad()
def downstream(case: Case, runs: Runs, units: Units, repeats: int) -> None:
    """For each layer, as many bare downstream rows as ``repeats`` interventions on each unit need."""
    for layer, chosen in units.items():
        suffix = nn.Sequential(*list(case.vae.decoder)[layer + 1 :])
        bare(case, suffix, runs.base.activations[layer], repeats * len(chosen))


@torch.no_grad()
def bare(case: Case, modules: nn.Sequential, rows: Tensor, count: int) -> None:
    """Run ``count`` times the rows through the modules, as many at once as keep the widest activation near 2 MB."""
    per_run = max(1, STACK_BYTES // (4 * case.widest))
    stack = rows.repeat(-(-per_run // len(rows)), *(1 for _ in rows.shape[1:]))[:per_run]
    left = count * len(rows)
    while left > 0:
        modules(stack[: min(left, per_run)])
        left -= per_run


def decodes(case: Case, codes: Tensor, count: int) -> None:
    """The whole decoder, for tasks that intervene on latents."""
    bare(case, case.vae.decoder, codes, count)


def task_runs(task: str, senders: Sequence[int]) -> int:
    """How many interventions a unit takes."""
    return {"unit patching": 1, "path patching": len(senders), "mediation": 2 * len(senders)}[task]
