"""Studies on a Ray cluster of two nodes, through the real command line; what comes out is what the local executor makes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# not imported before the cluster's token is known: Ray reads its environment as it is imported
if find_spec("ray") is None:
    pytest.skip("Ray is not installed: pip install 'circuitprobe[ray]'", allow_module_level=True)
if not sys.platform.startswith("linux"):
    pytest.skip("the nodes are two addresses of one machine, as Linux has them", allow_module_level=True)

from ray_nodes import HEAD, WORKER, Nodes, started_nodes, wait_for

from circuitprobe import __version__
from circuitprobe.errors import UsageError
from circuitprobe.study.defaults import default_plan
from circuitprobe.study.display import study_display
from circuitprobe.study.executor import Ended, Event, Progress
from circuitprobe.study.executors import executor_named
from circuitprobe.study.jobs import AuditJob, AuditOptions, ModelOptions
from circuitprobe.study.perform import Record, perform
from circuitprobe.study.plan import Grid, read_plan, write_plan
from circuitprobe.study.session import run_study

pytestmark = pytest.mark.slow
SMALL = {"resamples": 10, "permutations": 10, "intervention_values": 2}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """The cluster."""
    made = started_nodes()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two runs of a few seconds each."""
    return written(tmp_path_factory.mktemp("plan") / "study.toml", "vae", "beta-vae")


def written(path: Path, *architectures: str) -> Path:
    """A study file."""
    grid = Grid(architectures=architectures, benchmarks=("wine_quality",), seeds=(0,))
    whole = default_plan(grid, rows=100, train_rows=200, steps=20)
    write_plan(whole.model_copy(update={"audit": whole.audit.model_copy(update=SMALL)}), path)
    return path


def command(*options: object) -> list[str]:
    return [sys.executable, "-m", "circuitprobe", "study", "run", *map(str, options)]


def begin(line: list[str], environment: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line, env=environment, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def told_and_code(process: subprocess.Popen[str], seconds: float = 250) -> tuple[str, int]:
    """What a command said, out and error, and how it ended."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return out + err, process.returncode


def results(study: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in study.glob("runs/*/audit.json")}


def test_a_node_that_dies_costs_time_and_nothing_else(nodes: Nodes, plan: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    process = begin(
        command("--study", plan, "--out", there, "--executor", "ray", "--address", nodes.client),
        nodes.environment,
        tmp_path,
    )
    try:
        wait_for(lambda: nodes.at_work(WORKER))
        nodes.kill(WORKER)
        told, code = told_and_code(process)
    finally:
        process.kill()
    assert code == 0, told
    assert "tried again" in told
    local = subprocess.run(command("--study", plan, "--out", here), capture_output=True, text=True, check=False)
    assert local.returncode == 0, local.stderr
    assert len(results(here)) == 2
    assert results(there) == results(here)
    for run in ("wine_quality-vae-0", "wine_quality-beta-vae-0"):
        files = [{path.name for path in (study / "runs" / run).iterdir()} for study in (here, there)]
        assert files[0] == files[1] == {"audit.json", "job.json", "log.txt", "model.pt", "run.json"}
    assert not list((there / "work").iterdir())


@pytest.fixture
def trusted(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """The cluster, for a connection of this process."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, nodes.environment[name])
    return nodes


def test_a_users_model_and_rows_are_sent_to_the_node(
    trusted: Nodes, csv: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitprobe.study import on_ray

    monkeypatch.setattr(on_ray, "ASK_EVERY", 0.05)
    # the paths are relative to a folder that the node does not work in
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/table.csv").write_bytes(csv.read_bytes())
    Path("mine/vae.pt").write_bytes(checkpoint.read_bytes())
    Path("mine/groups.toml").write_text(
        '[groups]\nbody = ["height", "weight", "smoker"]\nplace = ["income", "city"]\n', encoding="utf-8"
    )
    # of some seconds, so that there is progress to tell of
    options = AuditOptions(
        rows=200, seed=0, levels=(1, 2, 3, 4), truth_rows=0, resamples=200, permutations=200, intervention_values=2
    )
    job = AuditJob(
        label="vae", model="mine/vae.pt", data="mine/table.csv", audit=options,
        options=ModelOptions(target="label", groups="mine/groups.toml"),
    )  # fmt: skip
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    executor, events = on_ray.RayExecutor.connect(trusted.address, None), list[Event]()
    try:
        # the board's process has begun: on a busy machine that may take longer than the run
        executor._cluster.ray.get(executor._board.take.remote())
        executor.submit(job, there)
        wait_for(lambda: events.extend(executor.poll(0.5)) or Ended("vae") in events)
    finally:
        executor.stop()
    assert {event.name for event in events} == {"vae"}
    assert any(isinstance(event, Progress) and event.phase for event in events)
    perform(job, here, lambda *_: None)
    assert (there / "audit.json").read_bytes() == (here / "audit.json").read_bytes()
    record = Record.model_validate_json((there / "run.json").read_bytes())
    assert (record.status, record.digest) == ("finished", job.digest)


def test_another_version_on_a_node_is_told_with_both(
    trusted: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitprobe.study import on_ray

    monkeypatch.setattr(on_ray, "__version__", "9.9.9")
    with pytest.raises(UsageError, match=rf"has circuitprobe {__version__}, this is circuitprobe 9\.9\.9"):
        study_in_this_process(tmp_path, trusted.address)
    assert not results(tmp_path / "study")
    assert not list((tmp_path / "study" / "failed").iterdir())


def test_a_full_disk_on_a_node_stops_the_study(trusted: Nodes, tmp_path: Path) -> None:
    trusted.full_disk.touch()
    try:
        with pytest.raises(UsageError, match=r"the study cannot go on: No space left on device.* \(on "):
            study_in_this_process(tmp_path, trusted.address)
    finally:
        trusted.full_disk.unlink()
    assert not list((tmp_path / "study" / "failed").iterdir())


def study_in_this_process(folder: Path, address: str) -> None:
    """A study of one run on a cluster."""
    plan = read_plan(written(folder / "one.toml", "vae"))
    with study_display(quiet=True) as watcher:
        run_study(folder / "study", plan, executor_named("ray", None, address), watcher)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1"])
def test_no_cluster_at_the_address_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no Ray cluster that can be used at {address}: Connection refused"):
        study_in_this_process(tmp_path, address)


@pytest.mark.parametrize("address", ["head", "http://head:10001", "ray://head", "ray://:10001", "head:port"])
def test_what_is_no_address_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"--address {address}"):
        study_in_this_process(tmp_path, address)


def test_a_head_that_dies_ends_the_study_with_a_message(nodes: Nodes, plan: Path, tmp_path: Path) -> None:
    """The last test of the cluster: it is gone."""
    line = command("--study", plan, "--out", "study", "--executor", "ray", "--address", nodes.address)
    process = begin(line, nodes.environment, tmp_path)
    try:
        wait_for(lambda: nodes.at_work(HEAD))
        nodes.kill(HEAD)
        told, code = told_and_code(process)
    finally:
        process.kill()
    assert code == 2, told
    assert f"the Ray cluster at {nodes.address} is gone" in told
    assert "Traceback" not in told


def test_without_an_address_a_cluster_is_started_and_ended(tmp_path: Path) -> None:
    home, plan = tmp_path / "home", written(tmp_path / "one.toml", "vae")
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    line = command("--study", plan, "--out", "study", "--executor", "ray", "--workers", 1)
    told, code = told_and_code(begin(line, {**environment, "HOME": str(home)}, tmp_path))
    assert code == 0, told
    assert len(results(tmp_path / "study")) == 1
    # Ray would leave a token there that changes how later clusters of the user are begun
    assert not (home / ".ray").exists()


def test_no_cluster_ends_the_command_with_a_message(plan: Path, tmp_path: Path) -> None:
    line = command("--study", plan, "--out", "study", "--executor", "ray", "--address", "ray://127.0.0.1:1")
    told, code = told_and_code(begin(line, dict(os.environ), tmp_path), seconds=60)
    assert code == 2, told
    assert "no Ray cluster that can be used at ray://127.0.0.1:1: Connection refused" in told
    assert "Traceback" not in told
