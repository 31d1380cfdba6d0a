"""The contenders of the benchmarks find the same effects, so that their times can be compared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import engine, limit, plans, rendering, tasks
from benchmarks.plain_hooks import PlainHooks
from benchmarks.tasks import Case, Contender
from benchmarks.timing import DifferentEffectsError, Row, Spread, compare, interleave, ratios

SENDERS = (0, 4)


def build(name: str) -> Contender:
    if name == "nnsight":
        from benchmarks.with_nnsight import WithNnsight

        return WithNnsight()
    pytest.importorskip(name)
    if name == "pyvene":
        from benchmarks.with_pyvene import WithPyvene

        return WithPyvene()
    from benchmarks.with_captum import WithCaptum

    return WithCaptum()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def conv() -> Case:
    return tasks.conv_case(3)


@pytest.fixture(scope="module")
def small() -> Case:
    return tasks.mlp_case(9, width=12, dims=8)


@pytest.mark.parametrize("name", ["nnsight", "pyvene", "captum"])
@pytest.mark.parametrize("task", list(plans.MEASURES))
def test_libraries_and_plain_hooks_find_the_same_effects(name: str, task: str, small: Case) -> None:
    assert_same(build(name), task, small, small.sample(1))


@pytest.mark.parametrize("name", ["nnsight", "pyvene", "captum"])
def test_they_do_on_channels_too(name: str, conv: Case) -> None:
    """A channel is patched as a whole map."""
    assert_same(build(name), plans.UNIT, conv, {6: [63], 10: [0, 31]})


def assert_same(contender: Contender, task: str, case: Case, units: tasks.Units) -> None:
    runs = tasks.prepare(case, SENDERS)
    found = {c.name: plans.MEASURES[task](c, case, runs, units) for c in (PlainHooks(), contender)}
    assert compare(case.name, task, found)[contender.name] < 1e-5
    assert all(np.ptp(figure) > 0 for figure in found[contender.name].values())


def test_unit_patching_by_hand(small: Case) -> None:
    """The last hidden layer is read by a linear layer: a unit's change is its difference times its weights."""
    runs = tasks.prepare(small)
    figures = tasks.unit_patching(PlainHooks(), small, runs, {3: [0, 7]})
    moved = (runs.source.activations[3] - runs.base.activations[3])[:, [0, 7]].double().numpy()
    weights = small.vae.decoder[4].weight[:, [0, 7]].detach().double().numpy()
    scale = small.x.double().std(dim=0, correction=0).numpy()
    change = np.abs(moved[:, :, None] * weights.T) / scale
    np.testing.assert_allclose(figures["changes"], change.mean(axis=0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(figures["strength"], np.sqrt((change**2).mean(axis=2)), rtol=1e-3, atol=1e-6)


def test_paths_through_the_last_layer_add_up_to_the_whole(small: Case) -> None:
    """Behind the last hidden layer all is linear and it cuts every path: recovered shares of its units add up to 1."""
    figures = tasks.path_patching(PlainHooks(), small, tasks.prepare(small, SENDERS), {3: range(12)})
    np.testing.assert_allclose(figures["recovered"].sum(axis=1), 1.0, atol=1e-4)


def test_nothing_interacts_in_the_last_layer(small: Case) -> None:
    runs = tasks.prepare(small, SENDERS)
    linear = tasks.unit_mediation(PlainHooks(), small, runs, {3: range(12)})
    earlier = tasks.unit_mediation(PlainHooks(), small, runs, {1: range(12)})
    assert linear["interaction"].max() < 1e-5 < earlier["interaction"].max()


@pytest.mark.parametrize("task", list(plans.MEASURES))
def test_circuitprobe_finds_what_plain_hooks_find(task: str, small: Case) -> None:
    timed = plans.Plan(small, "small", task, (PlainHooks(),), SENDERS, 4).timed()
    found = {name: run()[1] for name, run in timed.items()}
    assert set(compare("small", task, found)) == {"circuitprobe", "with preparation", "plain hooks"}


def test_tasks_on_latents_and_groups(small: Case) -> None:
    values = np.array([[-1.0, 0.5, 2.0]] * 10)
    groups = [range(3), range(3, 8)]
    with engine.prepared(small, groups) as ready:
        own, through = engine.sweep(ready, values), engine.group_mediation(ready)
    sweeps = {"plain hooks": tasks.sweep(PlainHooks(), small, values), "own": own}
    assert compare("small", "sweep", sweeps)["own"] < 1e-4
    mediated = {"plain hooks": tasks.group_mediation(PlainHooks(), small, groups), "own": through}
    assert compare("small", "groups", mediated)["own"] < 1e-4


def test_different_effects_are_refused() -> None:
    same = {"strength": np.array([1.0, 2.0])}
    with pytest.raises(DifferentEffectsError, match="b differs by"):
        compare("case", "task", {"a": same, "b": {"strength": np.array([1.0, 2.1])}})
    with pytest.raises(DifferentEffectsError, match="b has shape"):
        compare("case", "task", {"a": same, "b": {"strength": np.array([1.0])}})


def test_ratios_are_taken_within_a_round() -> None:
    times = iter([1.0, 3.0, 8.0, 2.0])  # the order is turned in the second round
    timed = {"circuitprobe": lambda: (next(times), None), "slow": lambda: (next(times), None)}
    spread = ratios(interleave(timed, rounds=2, budget=0.0))["slow"]
    assert (spread.low, spread.median, spread.high) == (3.0, 3.5, 4.0)


def test_the_limit_runs_every_downstream_row_once(small: Case) -> None:
    runs, seen = tasks.prepare(small), 0

    def count(_module: object, inputs: tuple[object, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])  # type: ignore[arg-type]

    handle = small.vae.decoder[4].register_forward_pre_hook(count)
    try:
        limit.downstream(small, runs, {1: range(12), 3: range(5)}, 2)
    finally:
        handle.remove()
    assert seen == 9 * 2 * (12 + 5)


def test_rendering_is_compared_pixel_by_pixel() -> None:
    """Both ways give the same images, of every shape, and the line says how fast."""
    timed = rendering.contenders(96, 2)
    found = {name: run()[1] for name, run in timed.items()}
    assert found["full canvas"] is not None
    assert found["full canvas"]["images"].shape == (48, 64, 64)
    assert compare("dSprites", "rendering", found) == {"circuitprobe": 0.0, "full canvas": 0.0}
    row = Row(
        "dSprites", "rendering", 600, 1 / 16, Spread(0.5, 0.4, 1.0), {"full canvas": Spread(9, 8, 10)}, {"a": 0.0}, 3
    )
    assert rendering.per_minute(row) == Spread(72_000, 36_000, 90_000)
    assert (
        "| 600 | 0.5 s | 9.00 [8.00, 10.00] | 72,000 [36,000, 90,000] | 1,000,000 | no | 0 | 3 |"
        in rendering.section(row)
    )
