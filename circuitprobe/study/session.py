"""``circuitprobe study run``: a plan, a folder, an executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.errors import UsageError
from circuitprobe.study.plan import FILE, Plan, first_difference, read_plan, write_plan
from circuitprobe.study.running import Outcome, Silent, run_jobs
from circuitprobe.study.store import Store
from circuitprobe.study.versions import versions

if TYPE_CHECKING:
    from circuitprobe.study.executor import Executor
    from circuitprobe.study.running import Watcher


@dataclass(frozen=True)
class Study:
    """A study as it stands.

    Attributes:
        plan: what it is.
        outcome: how its runs ended.
        changed: packages whose version is not that which the study was begun with: (name, then, now).
    """

    plan: Plan
    outcome: Outcome
    changed: tuple[tuple[str, str, str], ...]


def run_study(
    out: str | Path,
    plan: Plan | None,
    executor: Callable[[], Executor],
    watcher: Watcher | None = None,
    *,
    retry_failed: bool = False,
) -> Study:
    """Begin a study, or go on with one.

    Args:
        out: its folder.
        plan: what it is; None to go on with what the folder's study file says.
        executor: makes what carries the runs out.
        watcher: is told; None: nobody.
        retry_failed: runs that failed are tried again.

    Raises:
        UsageError: the folder holds another study or another one is at work in it, or the machine cannot go on.
    """
    store = Store(Path(out))
    store.begin()
    with store.locked():
        settled = _settled(store.folder / FILE, plan)
        outcome = run_jobs(settled.jobs(), store, executor, watcher or Silent(), retry_failed=retry_failed)
    now = versions()
    changed = tuple((name, then, now[name]) for name, then in settled.versions.items() if now.get(name, then) != then)
    return Study(settled, outcome, changed)


def _settled(file: Path, plan: Plan | None) -> Plan:
    if not file.exists():
        if plan is None:
            raise UsageError(f"there is no {file}", expected="a study to go on with", fix="name a new --out")
        write_plan(plan, file)
        return plan
    held = read_plan(file)
    difference = None if plan is None else first_difference(plan, held)
    if difference is not None:
        raise UsageError(
            f"{file} is of another study: {difference}",
            expected="the options that it was begun with, or none",
            fix=f"leave them out to go on, edit {FILE} to add to its grid, or another --out",
        )
    return held
