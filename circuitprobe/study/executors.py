"""Which executor, from what a user types."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import UsageError
from circuitprobe.study.local import LocalExecutor

if TYPE_CHECKING:
    from circuitprobe.study.executor import Executor

NAMES = ("local", "ray")


def executor_named(name: str, workers: int | None = None, address: str | None = None) -> Callable[[], Executor]:
    """What makes an executor, once there is something to carry out.

    Args:
        name: ``local`` or ``ray``.
        workers: runs at a time; default the cores that this process may use, or those of the cluster.
        address: of a Ray cluster, such as ``ray://head:10001`` or ``head:6379``; default one on this machine.

    Raises:
        UsageError: no such executor, or an address without ray.
    """
    if name not in NAMES:
        fix = did_you_mean(name, NAMES) or "--executor local"
        raise UsageError(f"--executor {name}", expected="local or ray", fix=fix)
    if name == "ray":
        from circuitprobe.study.on_ray import RayExecutor

        return lambda: RayExecutor.connect(address, workers)
    if address is not None:
        raise UsageError(f"--address {address} without a cluster", expected="--executor ray", fix="add it")
    return lambda: LocalExecutor(workers or cores())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
