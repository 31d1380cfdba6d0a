"""``circuitprobe check`` in a job of GitHub Actions, and columns whose names are made to be taken for something else."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_files import HOSTILE, audit_file, gates, hostile_groups, scaled, vague, weak_z0
from rich.cells import cell_len

OLD = ("--baseline", "old.json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a baseline, audits that are worse and vague, and hostile ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    audit_file(tmp_path / "old.json")
    audit_file(tmp_path / "worse.json", weak_z0)
    audit_file(tmp_path / "vague.json", vague)
    audit_file(tmp_path / "hostile.json", groups=hostile_groups())

    def worse(content: dict[str, Any]) -> None:
        for latent in content["latents"]:
            scaled(latent["ces"], 0.5)
        for feature in content["data"]["features"]:
            feature["std"] = 1.5

    audit_file(tmp_path / "hostile_worse.json", worse, groups=hostile_groups())
    gates(tmp_path / "hostile.toml", *({"metric": "ces", "group": name, "max_drop": "10%"} for name in HOSTILE))
    return tmp_path


@pytest.fixture
def job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job of GitHub Actions; its summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    return folder / "summary.md"


def commands_in(text: str) -> list[str]:
    """The workflow commands that a runner finds in what was printed: at the start of a line, or in the old form anywhere."""
    found, pause = [], None
    for line in text.splitlines():
        command = line.strip()
        if pause is not None:
            pause = None if command == f"::{pause}::" else pause
        elif command.startswith("::stop-commands::"):
            pause = command.removeprefix("::stop-commands::")
        elif command.startswith("::") or "##[" in command:
            found.append(command)
    assert pause is None, "commands stay off"
    return found


def test_the_suite_is_never_run_as_a_job() -> None:
    assert "GITHUB_ACTIONS" not in os.environ
    assert "GITHUB_STEP_SUMMARY" not in os.environ


@pytest.mark.parametrize(
    ("new", "options", "code", "kinds"),
    [
        ("old.json", (), 0, []),
        ("worse.json", (), 1, ["error"]),
        ("worse.json", ("--quiet",), 1, ["error"]),
        ("vague.json", (), 0, ["warning"]),
        ("vague.json", ("--strict",), 1, ["error"]),
    ],
)
def test_annotations_appear_in_jobs_alone(
    command: Callable[..., Any],
    job: Path,
    monkeypatch: pytest.MonkeyPatch,
    new: str,
    options: Any,
    code: int,
    kinds: Any,
) -> None:
    done = command("check", new, *OLD, *options)
    assert (done.code, done.err) == (code, "")
    found = commands_in(done.out)
    assert [line.split()[0].strip(":") for line in found] == kinds
    assert job.read_text(encoding="utf-8").startswith("### ")
    job.unlink()
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    done = command("check", new, *OLD, *options)
    assert (done.code, done.err) == (code, "")
    assert "::" not in done.out
    assert not job.exists()


def test_the_summary_is_the_markdown(command: Callable[..., Any], job: Path) -> None:
    job.write_text("of an earlier step\n", encoding="utf-8")
    assert command("check", "worse.json", *OLD, "--markdown", "c.md").code == 1
    assert job.read_text(encoding="utf-8") == "of an earlier step\n" + Path("c.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("new", "code"), [("old.json", 0), ("worse.json", 1), ("text.json", 2)])
def test_a_summary_that_cannot_be_written_changes_no_exit_code(
    command: Callable[..., Any], folder: Path, job: Path, new: str, code: int
) -> None:
    (folder / "text.json").write_text("hello", encoding="utf-8")
    job.mkdir()
    done = command("check", new, *OLD)
    assert done.code == code
    assert "the job's summary cannot be written: Is a directory" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("none.json", *OLD), 2, "cannot read none.json"),
        (("hostile.json", *OLD), 3, "not comparable"),
        (("old.json", *OLD, "--json", "no/such"), 2, "there is no folder no"),
        (("old.json", *OLD, "--audit-json", "a"), 2, "--audit-json without DATA"),
        (("old.json", *OLD, "--config", "none.toml"), 2, "none.toml"),
        (("none.pt", "none.csv", *OLD), 2, "none.pt"),
    ],
)
def test_a_check_that_cannot_be_made_is_annotated(
    command: Callable[..., Any], job: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    done = command("check", *arguments)
    assert done.code == code
    (line,) = commands_in(done.out)
    assert line.startswith("::error title=circuitprobe%3A not checked::")
    assert word in line
    assert "%0A  expected: " in line
    summary = job.read_text(encoding="utf-8")
    assert summary.startswith("### ❌ circuitprobe check: not checked")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("in_job", [False, True])
def test_hostile_names_are_names(
    command: Callable[..., Any],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    in_job: bool,
) -> None:
    if in_job:
        request.getfixturevalue("job")
    monkeypatch.setenv("COLUMNS", str(width))
    outputs = ("--json", "c.json", "--junit", "c.xml", "--markdown", "c.md")
    done = command("check", "hostile_worse.json", "--baseline", "hostile.json", "--config", "hostile.toml", *outputs)
    assert (done.code, done.err) == (1, "")
    if in_job:
        found = commands_in(done.out)
        assert len(found) == len(HOSTILE)
        assert all(line.startswith("::error title=circuitprobe%3A regression::ces of z") for line in found)
        lines = done.out.splitlines()[len(HOSTILE) :]
        assert "made up" in "".join(lines)
    shown = [line for line in done.out.splitlines() if not line.startswith("::")]
    assert max(cell_len(line.rstrip()) for line in shown) <= width
    assert {letter for letter in done.out if not letter.isprintable()} == {"\n"}
    if width == 200:
        for name in ("[red]warm[/red]", "<script>alert(1)</script>", "**bold**", r"\x1b[31mred"):
            assert name in done.out
    result = json.loads(Path("c.json").read_text(encoding="utf-8"))
    assert {entry["group"] for entry in result["results"]} == set(HOSTILE)
    cases = ET.parse("c.xml").getroot().findall(".//testcase")  # noqa: S314 - written by us
    assert len(cases) == len(HOSTILE)
    table = [line for line in Path("c.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(HOSTILE)
    assert "<script" not in Path("c.md").read_text(encoding="utf-8")


def test_a_column_cannot_speak_to_the_runner_in_other_reports(command: Callable[..., Any], job: Path) -> None:
    assert command("baseline", "hostile.json", "--out", "base.json").code == 0
    done = command("compare", "hostile.json", "hostile_worse.json")
    assert done.code == 0
    assert commands_in(done.out) == []
    assert not job.exists()
