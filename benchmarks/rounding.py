"""Whether the engine takes rounding for a fault, or a fault for rounding, under each set of kernels that torch has.

``python -m benchmarks.rounding`` runs 500 random and degenerate networks under every setting and writes ROUNDING.md in this
folder (about a quarter of an hour on 2 cores). ``--networks 50 --here`` prints the counts for the present setting alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.rounding_models import LEAKS, Leaking, Subject, subject
from circuitprobe.probe.engine import Engine
from circuitprobe.probe.half import Half
from circuitprobe.probe.hooks import untouched
from circuitprobe.probe.measure import Difference
from circuitprobe.probe.patching import _UnitJob
from circuitprobe.probe.rounding import rounding_limit
from circuitprobe.probe.route import Way
from circuitprobe.probe.routing import find_route, patch
from circuitprobe.probe.sites import all_sites
from circuitprobe.types import Site

AMOUNT = 1e-3
"""Size of a planted fault over the largest value of each column."""
UPDATES = {Way.CLOSED_FORM, Way.SUBSTITUTION}
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    *({"ONEDNN_MAX_CPU_ISA": isa} for isa in ("SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_AMX")),
    *({"ATEN_CPU_CAPABILITY": level} for level in ("default", "avx2", "avx512")),
    {"MKL_CBWR": "COMPATIBLE"},
)
OUT = Path(__file__).with_name("ROUNDING.md")


def engine_of(net: nn.Module, inputs: Tensor) -> Engine:
    """The engine on a network as if it were a decoder."""
    return Engine.build(half_of(net), inputs)


def half_of(net: nn.Module) -> Half:
    """A network as a decoder."""
    return Half("decoder", net, lambda x: net(x).flatten(1))


def sites_of(net: nn.Module, inputs: Tensor) -> list[Site]:
    """The first, the middle and the last site whose units can be patched."""
    sites = [found.site for found in all_sites(half_of(net), inputs) if found.auditable]
    return [sites[place] for place in sorted({0, len(sites) // 2, len(sites) - 1})] if sites else []


def strategies(net: nn.Module, inputs: Tensor) -> dict[Site, Way]:
    """The strategy at some sites."""
    engine = engine_of(net, inputs)
    return {site: find_route(engine, site).way for site in sites_of(net, inputs)}


def judged(number: int) -> Iterator[str]:
    """What is wrong with the engine's judgement of one network; names of what was tried are yielded with a ``+``."""
    made = subject(number)
    with torch.no_grad(), untouched(made.net):
        yield from _sound(made)
        yield from _planted(made)


def _sound(made: Subject) -> Iterator[str]:
    yield "+sound network"
    if not engine_of(made.net, made.inputs).independent:
        yield f"sound network refused: {made.name}"
        return
    single = strategies(made.net, made.inputs)
    double = strategies(deepcopy(made.net).double(), made.inputs.double())
    for site, way in double.items():
        yield "+strategy"
        # in 64 bits rounding is too small to be taken for anything
        if single[site] != way:
            yield f"strategy refused: {made.name}, {site.name}: {single[site]}, not {way}"


def _planted(made: Subject) -> Iterator[str]:
    clear = _clear_columns(made)
    if not bool(clear.any()):
        yield "+network of rounding alone"
        return
    for how in LEAKS:
        yield "+planted dependence"
        if engine_of(Leaking(made.net, AMOUNT, how), made.inputs).independent:
            yield f"dependence passed: {made.name}, {how}"
    engine = engine_of(made.net, made.inputs)
    for site in sites_of(made.net, made.inputs):
        if find_route(engine, site).way not in UPDATES:
            continue
        amount = _amount_with_effect(engine, site, clear)
        if amount is None:
            continue
        yield "+planted wrong update"
        wrong = engine_of(made.net, made.inputs)
        with wrong_updates(amount):
            way = find_route(wrong, site).way
        if way in UPDATES:
            yield f"wrong update passed: {made.name}, {site.name}: {way}"


def _clear_columns(made: Subject) -> Tensor:
    """Columns in which a fault of ``AMOUNT`` is ten times what rounding does: the difference from a run in 64 bits."""
    single = made.net(made.inputs).flatten(1)
    double = deepcopy(made.net).double()(made.inputs.double()).flatten(1)
    size = single.abs().amax(0)
    return (size > 0) & torch.isfinite(size) & ((single - double).abs().amax(0) < 0.1 * AMOUNT * size)


def _amount_with_effect(engine: Engine, site: Site, clear: Tensor) -> float | None:
    """By what share an update must be wrong for an error of ``AMOUNT`` of a clear column; None where none that is tried does.

    The error is measured, as what lies behind the update may be flat.
    """
    base = engine.tape(engine.probe[:2], [site])
    source = base.at(site) * 0.5 + base.at(site).abs().max() + 1.0

    def moved(way: Way | None) -> Tensor:
        return torch.cat([block.values for block in patch(base, site, source, Difference(base.output), way=way)])

    right = moved(None)
    size = torch.maximum(base.output.abs().amax(0), right.abs().amax((0, 1)))
    for amount in (AMOUNT, 10 * AMOUNT, 100 * AMOUNT, 1000 * AMOUNT):
        with wrong_updates(amount):
            error = (moved(None) - right).abs().amax((0, 1))
        if bool((error >= AMOUNT * size)[clear & (size > 0)].any()):
            return amount
    return None


@contextmanager
def wrong_updates(amount: float) -> Iterator[None]:
    """The update of the layer that reads a site is off by a relative amount, for every unit."""
    right = _UnitJob._update, _UnitJob.closed  # noqa: SLF001 - there is no other place to plant it

    def update(job: _UnitJob, rows: Tensor, units: Tensor) -> Tensor:
        recorded = job.base.tape.outputs[job.consumer.index].index_select(0, rows)
        return recorded + (right[0](job, rows, units) - recorded) * (1 + amount)

    def closed(job: _UnitJob, units: Tensor) -> Tensor | None:
        found = right[1](job, units)
        return None if found is None else found * (1 + amount)

    _UnitJob._update, _UnitJob.closed = update, closed  # noqa: SLF001
    try:
        yield
    finally:
        _UnitJob._update, _UnitJob.closed = right  # noqa: SLF001


def kernel_differences(number: int) -> float:
    """The largest difference between batches of other sizes, over the limit."""
    made = subject(number)
    with torch.no_grad():
        limit = rounding_limit(lambda: made.net(made.inputs), made.net)
        whole = made.net(made.inputs).flatten(1)
        rows = [*range(len(whole))]
        batches = (rows[:2], rows[:5], rows[::-1], rows * 8, rows * 40)
        away = [(made.net(made.inputs[b]).flatten(1) - whole[b]).abs().amax(0) for b in batches]
        return float((torch.stack(away).amax(0) / limit.clamp(min=1e-38)).max())


def count(networks: int) -> dict[str, object]:
    """What came out on the first so many networks."""
    torch.set_num_threads(1)
    found = [line for number in range(networks) for line in judged(number)]
    tried = Counter(line[1:] for line in found if line.startswith("+"))
    wrong = [line for line in found if not line.startswith("+")]
    largest = max(kernel_differences(number) for number in range(networks))
    return {"tried": tried, "wrong": wrong, "largest": largest}


def _of_setting(setting: dict[str, str], networks: int) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.rounding", "--here", "--networks", str(networks)]
    done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True, check=True)  # noqa: S603
    result: dict[str, object] = json.loads(done.stdout)
    return result


def main() -> None:
    """Run under every setting and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--here", action="store_true", help="the present setting alone, as JSON")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(count(given.networks)))
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(
            zip(SETTINGS, pool.map(lambda setting: _of_setting(setting, given.networks), SETTINGS), strict=True)
        )
    OUT.write_text(table(results, given.networks), encoding="utf-8")
    print(OUT.read_text(encoding="utf-8"))


def table(results: list[tuple[dict[str, str], dict[str, object]]], networks: int) -> str:
    """ROUNDING.md."""
    kinds = {
        "sound network": "sound network refused",
        "strategy": "strategy refused",
        "planted dependence": "dependence passed",
    }
    kinds["planted wrong update"] = "wrong update passed"
    lines = [
        "# Rounding and faults",
        "",
        f"Written by `python -m benchmarks.rounding`: {networks} random and degenerate networks in 32 bits under each set of "
        f"kernels. A planted fault is at least {AMOUNT:g} of a column's largest value, in a column where rounding (the difference "
        "from a run in 64 bits) is less than a tenth of that; networks that have no such column are counted apart. A strategy is "
        "refused where the engine takes a slower one than for the same network in 64 bits: that costs time, and changes no "
        "number. The last column is the largest difference between batches of other sizes, over the limit that `rounding_limit` "
        "gives.",
        "",
        f"| kernels | {' | '.join(kinds.values())} | networks of rounding alone | largest difference / limit |",
        "|---|" + "---|" * (len(kinds) + 2),
    ]
    for setting, result in results:
        name = ", ".join(f"{key}={value}" for key, value in setting.items()) or "torch's own choice"
        wrong = Counter(line.partition(":")[0] for line in result["wrong"])  # type: ignore[attr-defined]
        cells = [f"{wrong[label]} of {result['tried'][kind]:,}" for kind, label in kinds.items()]  # type: ignore[index]
        cells.append(str(result["tried"].get("network of rounding alone", 0)))  # type: ignore[attr-defined]
        lines.append(f"| {name} | {' | '.join(cells)} | {result['largest']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
