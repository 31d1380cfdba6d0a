"""The pytest plugin, in runs of pytest within the tests."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path

import pytest

import circuitprobe
import circuitprobe.auditing
import circuitprobe.gate.memory
from gate.plugin_runs import FAILING, LINES, MODELS, UPDATED

pytest_plugins = ["pytester"]

ROOT = Path(circuitprobe.__file__).parents[1]
OTHERS = sorted({entry.name for entry in entry_points(group="pytest11")} - {"circuitprobe"})
ALONE = [("-p", f"no:{name}") for name in ("cacheprovider", *OTHERS)]
"""Without what else is installed here: quicker, and it may import whatever it likes."""
QUIET = tuple(chain(*ALONE))
PLUGIN = (*QUIET, "-p", "circuitprobe.pytest_plugin")


@pytest.fixture
def tested(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty folder with models to test, in which ``circuitprobe`` can be imported."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(models=MODELS)
    pytester.syspathinsert()
    return pytester


@pytest.fixture
def installed(tested: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same, with the entry points of pyproject.toml where an installed package has them, and no others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = tmp_path / "site" / "circuitprobe_installed-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: circuitprobe-installed\nVersion: 0\n")
    lines = [f"{name} = {place}" for name, place in project["entry-points"]["pytest11"].items()]
    (about / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{about.parent}")
    return tested


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


# loading


def test_the_entry_point_leads_to_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["pytest11"]["circuitprobe"].partition(":")
    assert module == "circuitprobe.pytest_plugin"
    assert hasattr(getattr(importlib.import_module(module), name), "pytest_addoption")


WAYS = {
    "by the entry point": ((), ""),
    "and by -p": (("-p", "circuitprobe.pytest_plugin"), ""),
    "and by the name of the entry point": (("-p", "circuitprobe"), ""),
    "and by a conftest": ((), 'pytest_plugins = ["circuitprobe.pytest_plugin"]'),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_loaded_in_any_ways_it_is_there_once(installed: pytest.Pytester, way: str) -> None:
    options, conftest = WAYS[way]
    installed.makeconftest(conftest)
    installed.makepyfile(
        """
        def test_once(pytestconfig):
            plugins = [p for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "circuitprobe_audit")]
            assert len(plugins) == 1
            assert pytestconfig.getoption("--circuitprobe-update") is False
        """
    )
    result = installed.runpytest_subprocess(*QUIET, *options)
    result.assert_outcomes(passed=1, warnings=0)


def test_it_can_be_left_out(installed: pytest.Pytester) -> None:
    installed.makepyfile("def test_without(circuitprobe_audit): ...")
    installed.runpytest_subprocess(*QUIET, "-p", "no:circuitprobe").assert_outcomes(errors=1)


def test_a_run_that_does_not_use_it_imports_nothing_for_it(installed: pytest.Pytester) -> None:
    installed.makepyfile(
        """
        import sys

        HEAVY = {"torch", "numpy", "pandas", "scipy", "rich", "pydantic", "pyarrow", "sklearn", "typer"}


        def imported():
            own = sorted(name for name in sys.modules if name.split(".")[0] == "circuitprobe")
            return own, sorted(HEAVY & set(sys.modules))


        AT_COLLECTION = imported()


        def test_nothing():
            assert AT_COLLECTION == imported() == (["circuitprobe", "circuitprobe.pytest_plugin"], [])
        """
    )
    installed.runpytest_subprocess(*QUIET).assert_outcomes(passed=1)


# the fixture


def test_audits_are_shared_between_tests_modules_and_fixtures(tested: pytest.Pytester) -> None:
    tested.makeconftest(
        """
        import pytest
        from models import OPTIONS, frame, linear

        MODEL, FRAME = linear(), frame()

        @pytest.fixture(scope="session")
        def shared(circuitprobe_audit):
            return circuitprobe_audit(MODEL, FRAME, **OPTIONS)

        @pytest.fixture(scope="module")
        def of_module(circuitprobe_audit):
            return circuitprobe_audit(MODEL, FRAME, **{**OPTIONS, "groups": {"cd": ("c", "d")[:2], "ab": ["a", "b"]}})
        """
    )
    test = """
        from conftest import FRAME, MODEL
        from models import OPTIONS, frame

        def test_the_same(circuitprobe_audit, shared):
            assert circuitprobe_audit(MODEL, FRAME, **OPTIONS) is shared
            assert circuitprobe_audit(MODEL, FRAME, rows=2048, **OPTIONS) is shared
            assert not shared.report.levels[0].run

        def test_others(circuitprobe_audit, shared, of_module):
            assert of_module is not shared
            assert circuitprobe_audit(MODEL, FRAME, rows=60, **OPTIONS) is not shared
        """
    tested.makepyfile(test_one=test, test_two=test)
    tested.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=4)


def test_files_named_from_the_current_folder(tested: pytest.Pytester) -> None:
    tested.makepyfile(
        """
        from pathlib import Path
        import circuitprobe as cp
        from models import OPTIONS, frame

        def test_files(circuitprobe_audit, tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            frame().to_csv("rows.csv", index=False)
            cp.train("rows.csv", latents=2, hidden=(4,), steps=5, seed=0, out="model.pt")
            first = circuitprobe_audit("model.pt", "rows.csv", **OPTIONS)
            assert circuitprobe_audit(tmp_path / "model.pt", Path("rows.csv"), **OPTIONS) is first
            frame(rows=100).to_csv("rows.csv", index=False)
            assert circuitprobe_audit("model.pt", "rows.csv", **OPTIONS).report.data.rows_audited == 100
            first.ces["z0"].at_least(0)
        """
    )
    tested.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=1)


# what a failing test shows


_FAILED: dict[str, list[str]] = {}


@pytest.fixture
def failed(tested: pytest.Pytester) -> dict[str, list[str]]:
    """By test, the lines that its failure shows; of one run that all tests here read."""
    if _FAILED:
        return _FAILED
    tested.makepyfile(test_failing=FAILING)
    result = tested.runpytest_inprocess(*PLUGIN, "--color=no")
    result.assert_outcomes(failed=len(LINES), passed=1, warnings=1)
    name = ""
    for line in result.outlines:
        if line.startswith("____"):
            name = line.strip("_ ").removeprefix("test_")
        elif line.startswith("==="):
            name = line.strip("= ")
        _FAILED.setdefault(name, []).append(line)
    return _FAILED


@pytest.mark.parametrize("test", list(LINES))
def test_a_failure_shows_the_line_of_the_test_and_what_to_do(failed: dict[str, list[str]], test: str) -> None:
    pytest.LineMatcher(failed[test]).fnmatch_lines(LINES[test])
    assert not [line for line in failed[test] if str(ROOT / "circuitprobe") in line]
    ends = [line for line in failed[test] if line.startswith("test_failing.py:")]
    assert len(ends) == 1
    assert len(failed[test]) < (60 if test == "broken" else 20)


def test_an_undecided_demand_warns_at_the_line_of_the_test(failed: dict[str, list[str]]) -> None:
    place = next(n for n, line in enumerate(FAILING.strip().splitlines(), start=1) if "1e-6" in line)
    assert "undecided" not in failed
    pytest.LineMatcher(failed["warnings summary"]).fnmatch_lines(
        [
            "test_failing.py::test_undecided",
            f"*test_failing.py:{place}: InconclusiveWarning: ces of z0 is *120 rows do not decide*",
        ]
    )


# baselines


@pytest.fixture
def updated(tested: pytest.Pytester) -> pytest.Pytester:
    tested.makepyfile(test_updated=UPDATED)
    return tested


def baselines(result: pytest.RunResult) -> list[str]:
    """The lines of the section that --circuitprobe-update prints."""
    lines = result.outlines
    place = next(n for n, line in enumerate(lines) if line.strip("= ") == "circuitprobe baselines")
    after = lines[place + 1 :]
    end = next((n for n, line in enumerate(after) if line.startswith("==") or " passed" in line), len(after))
    return after[:end]


def test_a_baseline_from_missing_to_renewed(updated: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    path = updated.path / "baseline.json"
    first = updated.runpytest_inprocess(*PLUGIN)
    first.assert_outcomes(failed=1, passed=1)
    first.stdout.fnmatch_lines(["E*there is no baseline baseline.json in *", "E*try:*pytest --circuitprobe-update"])
    assert not path.exists()

    made = updated.runpytest_inprocess(*PLUGIN, "-q", "--circuitprobe-update")
    made.assert_outcomes(passed=2)
    assert baselines(made) == ["baseline.json: a new baseline"]
    text = path.read_bytes()
    assert str(updated.path).encode() not in text

    passing = updated.runpytest_inprocess(*PLUGIN)
    passing.assert_outcomes(passed=2)
    passing.stdout.no_fnmatch_line("*circuitprobe baselines*")
    assert path.read_bytes() == text
    again = updated.runpytest_inprocess(*PLUGIN, "--circuitprobe-update")
    assert baselines(again) == ["baseline.json: unchanged"]
    assert path.read_bytes() == text

    monkeypatch.setenv("SECOND", "0.35")
    worse = updated.runpytest_inprocess(*PLUGIN)
    worse.assert_outcomes(failed=1, passed=1)
    worse.stdout.fnmatch_lines(
        [
            ">*assert_no_regression(*",
            "E*baseline.json: 1 regressed, 0 inconclusive, 1 passed, gates from the test",
            "E*regression: ces of z1 went from * [[]*, *[]] to * [[]*, *[]], a change of -0.* [[]-0.*, -0.*[]]; "
            "demanded: falls by 20% (*) at most",
        ]
    )
    renewed = updated.runpytest_inprocess(*PLUGIN, "-qq", "--circuitprobe-update")
    pytest.LineMatcher(baselines(renewed)).fnmatch_lines(
        ["baseline.json: * of * figures differ from the old baseline beyond chance", "  ces of z1: 0.* -> 0.*"]
    )
    updated.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=2)

    monkeypatch.setenv("RENAME", "1")
    other = updated.runpytest_inprocess(*PLUGIN)
    other.stdout.fnmatch_lines(
        ["E*NotComparable: *features: e against a in the baseline", "E*try:*--circuitprobe-update, where*"]
    )
    anew = updated.runpytest_inprocess(*PLUGIN, "--circuitprobe-update")
    assert baselines(anew)[0].startswith("baseline.json: a new baseline; the old one: the audits are not comparable: ")


def test_an_update_that_wrote_nothing_says_so(tested: pytest.Pytester) -> None:
    tested.makepyfile("def test_nothing(): pass")
    result = tested.runpytest_inprocess(*PLUGIN, "--circuitprobe-update")
    assert baselines(result) == ["no baseline was written: no test called assert_no_regression"]


def test_an_update_ends_with_its_run(updated: pytest.Pytester) -> None:
    from circuitprobe.gate import renewing

    updated.runpytest_inprocess(*PLUGIN, "--circuitprobe-update").assert_outcomes(passed=2)
    assert renewing.current() is None


def test_workers_of_xdist_send_what_changed(updated: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    named = {name for name in OTHERS if name.startswith("xdist")}
    options = [option for option in ALONE if option[1].removeprefix("no:") not in named]
    result = updated.runpytest_subprocess(*chain(*options, PLUGIN[-2:]), "-n", "1", "--circuitprobe-update")
    result.assert_outcomes(passed=2)
    assert baselines(result) == ["baseline.json: a new baseline"]


class Node:
    """What pytest-xdist hands over when a worker is done."""

    def __init__(self, config: pytest.Config, output: dict[str, list[str]] | None) -> None:
        self.config = config
        if output is not None:
            self.workeroutput = output


def test_lines_of_workers_reach_the_run_that_prints(pytester: pytest.Pytester) -> None:
    from circuitprobe import pytest_plugin

    worker, main = (pytester.parseconfigure(*PLUGIN) for _ in range(2))
    worker.stash[pytest_plugin._CHANGES].append("baseline.json: unchanged")
    worker.workeroutput = {}  # type: ignore[attr-defined]
    pytest_plugin.pytest_sessionfinish(Node(worker, None))  # type: ignore[arg-type]
    pytest_plugin.pytest_testnodedown(Node(main, worker.workeroutput))  # type: ignore[attr-defined]
    pytest_plugin.pytest_testnodedown(Node(main, None))
    assert main.stash[pytest_plugin._CHANGES] == ["baseline.json: unchanged"]
