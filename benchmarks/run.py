"""``python -m benchmarks.run``: time everything, check that all agree, print ratios, write RESULTS.md.

``--quick`` is a smoke run: small models, one round, nothing written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks import example, rendering, tasks
from benchmarks.plain_hooks import PlainHooks
from benchmarks.plans import GROUPS, MEDIATION, PATH, SWEEP, UNIT, Plan, clocked
from benchmarks.report import line, render
from benchmarks.tasks import Contender
from benchmarks.timing import ENGINE, Row, Spread, Timed, compare, interleave, ratios, use_processor_time
from benchmarks.with_captum import WithCaptum
from benchmarks.with_nnsight import WithNnsight
from benchmarks.with_pyvene import WithPyvene

RESULTS = Path(__file__).parent / "RESULTS.md"
LIBRARIES: Mapping[str, Callable[[], Contender]] = {"nnsight": WithNnsight, "pyvene": WithPyvene, "captum": WithCaptum}


def main() -> None:
    """Check, time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small models, one round, nothing written")
    parser.add_argument("--only", default="", help="only lines whose title or task contains this; nothing written")
    parser.add_argument("--seconds", type=float, default=3.0, help="per line, beyond the least number of rounds")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a busy machine")
    asked = parser.parse_args()
    if asked.cpu_time:
        use_processor_time()
    torch.set_num_threads(1)
    started = time.perf_counter()
    found, missing = available()
    chosen = quick_plans(found) if asked.quick else all_plans(found)
    rounds, budget = (1, 0.0) if asked.quick else (3, asked.seconds)
    rows = []
    for plan in chosen:
        if asked.only in f"{plan.title}, {plan.task}":
            rows.append(time_row(plan.title, plan.task, plan.timed(), rounds, budget, plan))
            print(line(rows[-1]), flush=True)
    if asked.only in f"example, {SWEEP}":
        timed = {name: clocked(run) for name, run in example.contenders().items()}
        rows.append(time_row("example, 2,048 rows", SWEEP, timed, rounds, budget))
        print(line(rows[-1]), flush=True)
    clock, rendered = "processor time" if asked.cpu_time else "time", None
    if asked.only in f"{rendering.TITLE}, {rendering.TASK}":
        rendered = rendering.timed_row(time_row, rounds, budget, 64 if asked.quick else rendering.IMAGES)
        print(rendering.line(rendered), flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    if not asked.quick and not asked.only:
        sections = () if rendered is None else (rendering.section(rendered, clock),)
        RESULTS.write_text(render(rows, missing, versions(), clock, sections), encoding="utf-8")


def available() -> tuple[tuple[Contender, ...], tuple[str, ...]]:
    """The contenders whose packages are here, and a line for each that is not."""
    found: list[Contender] = [PlainHooks()]
    missing = []
    for name, build in LIBRARIES.items():
        try:
            found.append(build())
        except ImportError as error:
            missing.append(f"{name} was left out: {error}.")
    return tuple(found), tuple(missing)


def all_plans(found: tuple[Contender, ...]) -> list[Plan]:
    """Every line of the results but the example's."""
    plain = _plain(found)
    hooks = plain[:1]
    lines = []
    for rows in (16, 256):
        case, title = tasks.mlp_case(rows), f"MLP, {rows} rows"
        lines += [
            Plan(case, title, SWEEP, plain),
            Plan(case, title, UNIT, found),
            Plan(case, title, PATH, found, (0, 1, 2), 4),
            Plan(case, title, MEDIATION, found, (0, 1, 2), 8),
            Plan(case, title, GROUPS, plain),
        ]
    large, title = tasks.mlp_case(2048), "MLP, 2,048 rows"
    lines += [
        Plan(large, title, SWEEP, hooks),
        Plan(large, title, UNIT, hooks, (), 4),
        Plan(large, title, PATH, hooks, (0,), 8),
        Plan(large, title, MEDIATION, hooks, (0,), 16),
    ]
    for rows in (16, 64):
        case, title = tasks.conv_case(rows), f"conv, {rows} rows"
        lines += [
            Plan(case, title, UNIT, found, (), 32),
            Plan(case, title, PATH, found, (0,), 32),
            Plan(case, title, MEDIATION, found, (0,), 32),
        ]
        if rows == 16:
            lines.append(Plan(case, title, SWEEP, plain))
    return lines


def quick_plans(found: tuple[Contender, ...]) -> list[Plan]:
    """Every task once, on a small MLP."""
    case = tasks.mlp_case(8, width=16, dims=16)
    senders = {PATH: (0, 3), MEDIATION: (0, 3)}
    title, plain = "small MLP, 8 rows", _plain(found)
    lines = [Plan(case, title, task, found, senders.get(task, ()), 2) for task in (UNIT, PATH, MEDIATION)]
    return [*lines, *(Plan(case, title, task, plain) for task in (SWEEP, GROUPS))]


def _plain(found: tuple[Contender, ...]) -> tuple[Contender, ...]:
    """Those with something to do where latents are set: pyvene and captum would only call the model."""
    return tuple(c for c in found if c.name in {"plain hooks", "nnsight"})


def time_row(
    title: str, task: str, timed: Mapping[str, Timed], rounds: int, budget: float, plan: Plan | None = None
) -> Row:
    """Run every contender once to compare what they find, then time them."""
    first = {name: run() for name, run in timed.items()}
    # the reference of the comparison is the first that is not the engine
    others = sorted(first, key=lambda name: name == ENGINE)
    difference = compare(title, task, {name: first[name][1] for name in others})
    spent = sum(seconds for seconds, _ in first.values())
    # a first round that takes long needs no warming up: it counts
    counted = {name: seconds for name, (seconds, _) in first.items()} if spent > 2 * budget > 0 else {}
    seconds = interleave(timed, rounds, budget, counted)
    return Row(
        case=title,
        task=task,
        interventions=plan.interventions if plan else 80,
        share=1 / plan.stride if plan else 1.0,
        seconds=Spread.of(seconds[ENGINE]),
        ratios=ratios(seconds),
        difference=difference,
        rounds=len(seconds[ENGINE]),
    )


def versions() -> dict[str, str]:
    """Versions of what was timed, as far as installed."""
    wanted = ("circuitprobe", "torch", "nnsight", "pyvene", "captum")
    installed = {}
    for name in wanted:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


if __name__ == "__main__":
    main()
