"""The action, the hook and the examples for CI: they have what those who read them demand, and their scripts work."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent / "command_line"))

from gate_files import audit_file, weak_z0

from circuitprobe.cli import app
from circuitprobe.gate.check import check
from circuitprobe.gate.config import load_gates

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "ci"
BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")
"""How a runner calls the scripts of ``shell: bash``."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def action() -> Any:
    return read(ROOT / "action.yml")


def step(action: Any, name: str) -> Any:
    (found,) = (entry for entry in action["runs"]["steps"] if entry["name"] == name)
    return found


def used_inputs(value: object) -> set[str]:
    return set(re.findall(r"inputs\.([\w-]+)", json.dumps(value)))


def test_action_is_what_the_metadata_syntax_demands(action: Any) -> None:
    assert action.keys() <= {"name", "author", "description", "branding", "inputs", "outputs", "runs"}
    assert {"name", "description", "runs"} <= action.keys()
    assert action["runs"].keys() == {"using", "steps"}
    assert action["runs"]["using"] == "composite"
    for name, entry in action["inputs"].items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        assert entry["description"]
        assert entry.get("required") is True or isinstance(entry["default"], str), name
    for entry in action["outputs"].values():
        assert entry.keys() == {"description", "value"}
    for entry in action["runs"]["steps"]:
        assert entry.keys() <= {"name", "id", "if", "shell", "run", "env", "uses", "with", "working-directory"}
        assert ("run" in entry) != ("uses" in entry)
        assert ("shell" in entry) == ("run" in entry)
        if "uses" in entry:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", entry["uses"])
    assert used_inputs(action["runs"]) == set(action["inputs"])


def test_no_input_is_pasted_into_a_script(action: Any) -> None:
    for entry in action["runs"]["steps"]:
        assert "${{" not in entry.get("run", "")


def test_report_is_kept_when_the_check_fails(action: Any) -> None:
    names = [entry["name"] for entry in action["runs"]["steps"]]
    assert names == ["Python", "Install", "Check", "Keep the report"]
    assert step(action, "Keep the report")["if"].startswith("always()")


def script(folder: Path, entry: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script as a runner does; inputs that are not given are empty."""
    own = {**dict.fromkeys(entry["env"], ""), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **environment}
    return subprocess.run(
        [*BASH, "-c", entry["run"]],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def program(folder: Path, name: str, text: str) -> None:
    """A program on the script's path."""
    (folder / "bin").mkdir(exist_ok=True)
    path = folder / "bin" / name
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def recorder(code: int = 0) -> str:
    """A program that writes down what it was given, one argument a line."""
    return f'#!/bin/sh\nfor each; do printf "%s\\n" "$each"; done >> given\nexit {code}\n'


@pytest.mark.parametrize(("new", "code"), [("old.json", 0), ("new.json", 1)])
def test_check_step_for_real(action: Any, tmp_path: Path, new: str, code: int) -> None:
    program(tmp_path, "circuitprobe", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m circuitprobe "$@"\n')
    audit_file(tmp_path / "old.json")
    audit_file(tmp_path / "new.json", weak_z0)
    job = {
        "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    inputs = {"MODEL": new, "BASELINE": "old.json", "REPORT": "a report", "ARGUMENTS": "--strict"}
    done = script(tmp_path, step(action, "Check"), **inputs, **job)
    assert (done.returncode, done.stderr) == (code, "")
    assert sorted(path.name for path in (tmp_path / "a report").iterdir()) == ["check.json", "check.md", "check.xml"]
    assert (tmp_path / "output").read_text(encoding="utf-8") == f"exit-code={code}\n"
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == (tmp_path / "a report" / "check.md").read_text()
    assert ("::error title=circuitprobe%3A regression::ces of z0" in done.stdout) == bool(code)


def test_check_step_passes_its_inputs_as_they_are(action: Any, tmp_path: Path) -> None:
    hostile = "a b'\"; touch made; $(touch made) `touch made` *"
    program(tmp_path, "circuitprobe", recorder(3))
    inputs = {
        "MODEL": f"-m {hostile}", "DATA": hostile, "BASELINE": hostile, "CONFIG": hostile, "STRICT": "true",
        "ARGUMENTS": "--ignore *\n  --array $(touch made)", "REPORT": "-report", "GITHUB_OUTPUT": "output",
    }  # fmt: skip
    done = script(tmp_path, step(action, "Check"), **inputs)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
    outputs = [
        f"--{kind}\n-report/check.{end}" for kind, end in (("json", "json"), ("junit", "xml"), ("markdown", "md"))
    ]
    lines = [
        "check",
        "--baseline",
        hostile,
        *outputs,
        "--audit-json",
        "-report/audit.json",
        "--config",
        hostile,
        "--strict",
    ]
    lines += ["--ignore", "*", "--array", "$(touch", "made)", "--", f"-m {hostile}", hostile]
    assert (tmp_path / "given").read_text(encoding="utf-8") == "\n".join(lines) + "\n"
    assert (tmp_path / "output").read_text(encoding="utf-8") == "exit-code=3\n"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("inputs", "installed"),
    [
        ({}, ["install /the/action"]),
        (
            {"TORCH": "2.13.0"},
            ["install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0", "install /the/action"],
        ),
        ({"INSTALL": "circuitprobe >= 1"}, ["install circuitprobe >= 1"]),
        ({"INSTALL": "none"}, []),
    ],
)
def test_install_step_installs_the_actions_own_checkout(
    action: Any, tmp_path: Path, inputs: dict[str, str], installed: list[str]
) -> None:
    program(tmp_path, "python", '#!/bin/sh\necho "$@" >> given\n')
    done = script(tmp_path, step(action, "Install"), GITHUB_ACTION_PATH="/the/action", **inputs)
    assert (done.returncode, done.stderr) == (0, "")
    given = (tmp_path / "given").read_text(encoding="utf-8").splitlines() if installed else []
    assert given == [f"-m pip {line}" for line in installed]
    assert installed or not (tmp_path / "given").exists()


def test_install_step_fails_with_pip(action: Any, tmp_path: Path) -> None:
    program(tmp_path, "python", recorder(1))
    assert script(tmp_path, step(action, "Install"), GITHUB_ACTION_PATH="/the/action").returncode == 1


def test_torch_of_the_action_is_the_tested_one(action: Any) -> None:
    pinned = re.search(r"^torch==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert pinned is not None
    assert action["inputs"]["torch"]["default"] == pinned[1]


def options_of(command: str) -> set[str]:
    """The options that a command of the program has."""
    import typer.main

    return {
        name for entry in typer.main.get_command(app).commands[command].params for name in entry.opts  # type: ignore[attr-defined]
    }  # fmt: skip


def test_hook() -> None:
    (hook,) = read(ROOT / ".pre-commit-hooks.yaml")
    assert {"id", "name", "entry", "language"} <= hook.keys()
    program_name, command = shlex.split(hook["entry"])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert program_name in scripts
    assert "--baseline" in options_of(command)
    # names of files that were committed are no arguments of it
    assert hook["pass_filenames"] is False
    (repository,) = read(EXAMPLES / "pre-commit-config.yaml")["repos"]
    (used,) = repository["hooks"]
    assert used["id"] == hook["id"]
    assert {word for word in used["args"] if word.startswith("-")} <= options_of(command)
    for name in ("models/model.pt", "models/baseline.json", "circuitprobe.toml"):
        assert re.search(used["files"], name)
    assert not re.search(used["files"], "README.md")


@pytest.mark.parametrize("name", ["pull-request.yml", "nightly.yml"])
def test_workflows_use_the_action_with_inputs_that_it_has(action: Any, name: str) -> None:
    workflow = read(EXAMPLES / name)
    # YAML 1.1 reads the key on as true
    assert workflow.keys() == {"name", True, "permissions", "jobs"}
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["runs-on"]
    (used,) = (entry for entry in job["steps"] if entry.get("uses", "").startswith("circuitprobe/"))
    assert used["with"].keys() <= action["inputs"].keys()
    assert {key for key, entry in action["inputs"].items() if entry.get("required")} <= used["with"].keys()
    assert all(isinstance(value, str) for value in used["with"].values())
    assert all("${{" not in entry.get("run", "") for entry in job["steps"])


def commands_in(path: Path) -> list[list[str]]:
    """The lines of a file that call the program, as words."""
    content = read(path)
    jobs = content.get("jobs", content).values()
    lines = [line for job in jobs for line in job.get("script", [])]
    lines += [entry.get("run", "") for job in jobs for entry in job.get("steps", [])]
    return [shlex.split(line) for line in lines if line.startswith("circuitprobe ")]


def test_commands_have_the_options_that_are_given() -> None:
    found = commands_in(EXAMPLES / "gitlab-ci.yml")
    assert found
    for words in found:
        assert {word for word in words[2:] if word.startswith("--")} <= options_of(words[1]), words


def test_gitlab_is_shown_the_junit_report_that_is_written() -> None:
    (job,) = read(EXAMPLES / "gitlab-ci.yml").values()
    (words,) = commands_in(EXAMPLES / "gitlab-ci.yml")
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"]["junit"] == words[words.index("--junit") + 1]
    assert set(job["artifacts"]["paths"]) <= set(words)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_plain_script(tmp_path: Path, code: int) -> None:
    program(tmp_path, "circuitprobe", recorder(code))
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    arguments = ["my model.pt", "data.csv", "base.json", "--strict"]
    done = subprocess.run(
        ["/bin/sh", str(EXAMPLES / "check.sh"), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    given = (tmp_path / "given").read_text(encoding="utf-8").splitlines()
    assert given[:5] == ["check", "my model.pt", "data.csv", "--baseline", "base.json"]
    assert given[-1] == "--strict"
    assert {word for word in given if word.startswith("--")} <= options_of("check")
    missing = subprocess.run(
        ["/bin/sh", str(EXAMPLES / "check.sh"), "m.pt"], cwd=tmp_path, capture_output=True, check=False
    )
    assert missing.returncode not in (0, 1, 3)


def test_gates_of_the_example_load_and_decide_the_examples_audit() -> None:
    gates, source = load_gates(EXAMPLES / "circuitprobe.toml")
    assert source == "circuitprobe.toml"
    assert [gate.metric for gate in gates] == ["mse", "ces", "active", "specificity"]
    audited = ROOT / "examples" / "audits" / "adult_vae.json"
    result = check(audited, audited, gates)
    assert result.exit_code == 0
    assert {entry.metric for entry in result.results} == {"mse", "ces", "active", "specificity"}


@pytest.mark.parametrize(("strict", "code"), [("True", 0), ("", 0), ("false", 0), ("yes", 2), ("1", 2)])
def test_strict_is_true_or_false(action: Any, tmp_path: Path, strict: str, code: int) -> None:
    program(tmp_path, "circuitprobe", recorder(0))
    inputs = {
        "MODEL": "m",
        "DATA": "d",
        "BASELINE": "b",
        "CONFIG": "",
        "ARGUMENTS": "",
        "REPORT": "r",
        "GITHUB_OUTPUT": "output",
    }
    done = script(tmp_path, step(action, "Check"), STRICT=strict, **inputs)
    assert done.returncode == code
    assert ("expected: true or false" in done.stdout) == bool(code)
