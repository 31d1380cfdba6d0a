"""``circuitprobe check`` on two audits: what is printed and written for each outcome."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_files import audit_file, gates, vague, weak_z0
from rich.cells import cell_len

OLD = ("--baseline", "old.json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a baseline, and audits that are worse and vague."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    audit_file(tmp_path / "old.json")
    audit_file(tmp_path / "worse.json", weak_z0)
    audit_file(tmp_path / "vague.json", vague)
    return tmp_path


def test_the_same_audit_passes(command: Callable[..., Any]) -> None:
    done = command("check", "old.json", *OLD)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(
        "circuitprobe check  old.json against old.json: 0 regressions, 0 inconclusive, 10 passed"
    )
    assert lines[1] == "the check passes"
    assert "the default gate" in lines[-1]


def test_a_regression_names_the_latent_first(command: Callable[..., Any]) -> None:
    done = command("check", "worse.json", *OLD)
    assert (done.code, done.err) == (1, "")
    assert "1 regression, 0 inconclusive, 9 passed" in done.out
    told = next(line for line in done.out.splitlines() if line.startswith("!"))
    assert "ces of z0 went from 0.4 [0.396, 0.404] to 0.2 [0.198, 0.202], a change of -0.2" in told
    assert "falls by 20% (0.08) at most" in told
    header = next(line for line in done.out.splitlines() if line.startswith("metric"))
    assert header.split() == ["metric", "baseline", "new", "difference", "tolerance", "outcome"]


def test_inconclusive_warns_and_fails_where_it_is_strict(command: Callable[..., Any]) -> None:
    warned = command("check", "vague.json", *OLD)
    assert (warned.code, warned.err) == (0, "")
    told = next(line for line in warned.out.splitlines() if line.startswith("?"))
    assert "specificity went from" in told
    assert "500 rows do not decide" in told
    assert "rows would decide, if the value stayed" in told
    assert "--strict would" in warned.out
    strict = command("check", "vague.json", *OLD, "--strict")
    assert strict.code == 1
    assert "the check fails" in strict.out
    assert any(line.startswith("! specificity") for line in strict.out.splitlines())


def test_a_regression_of_level_warn_does_not_fail(command: Callable[..., Any]) -> None:
    entry = {"metric": "ces", "latent": "z0", "max_drop": "10%", "level": "warn"}
    gates(Path("circuitprobe.toml"), entry)
    done = command("check", "worse.json", *OLD, "--strict", "--junit", "j.xml")
    assert done.code == 0
    assert "regressions of level warn do not fail the check" in done.out
    case = ET.parse("j.xml").getroot().find(".//testcase")  # noqa: S314 - written a line above
    assert case is not None
    skipped = case.find("skipped")
    assert skipped is not None
    assert skipped.get("message", "").startswith("regression of level warn: ces of z0 went from")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(
    command: Callable[..., Any], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for new in ("worse.json", "vague.json"):
        done = command("check", new, *OLD)
        assert max(cell_len(line.rstrip()) for line in done.out.splitlines()) <= width
        assert "\x1b" not in done.out
        words = " ".join(done.out.split())
        assert "ces of z1" in words
        assert "[0.198, 0.202]" in words
        assert ("metric baseline new" in words) == (width == 200)


def test_every_output_tells_the_same(command: Callable[..., Any], folder: Path) -> None:
    done = command("check", "worse.json", *OLD, "--json", "c.json", "--junit", "c.xml", "--markdown", "c.md")
    assert done.code == 1
    result = json.loads(Path("c.json").read_text(encoding="utf-8"))
    assert (result["outcome"], result["exit_code"], result["strict"], result["paired"]) == (
        "regression",
        1,
        False,
        True,
    )
    assert (result["baseline"], result["new"], result["gates_from"]) == ("old.json", "worse.json", "the default gate")
    first = result["results"][0]
    assert (first["metric"], first["latent"], first["outcome"]) == ("ces", "z0", "regression")
    assert str(folder) not in Path("c.json").read_text(encoding="utf-8")
    suite = ET.parse("c.xml").getroot()[0]  # noqa: S314 - written a line above
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("10", "1", "0")
    text = Path("c.md").read_text(encoding="utf-8")
    assert text.startswith("### ❌ circuitprobe check")
    assert text.count("\n|") == 2 + 10
    assert sorted(os.listdir()) == ["c.json", "c.md", "c.xml", "old.json", "vague.json", "worse.json"]


def test_quiet_prints_nothing_and_decides_the_same(command: Callable[..., Any]) -> None:
    done = command("check", "worse.json", *OLD, "--quiet", "--json", "c.json")
    assert (done.code, done.out, done.err) == (1, "", "")
    assert json.loads(Path("c.json").read_text(encoding="utf-8"))["outcome"] == "regression"


def test_files_of_one_name_are_told_apart(command: Callable[..., Any], folder: Path) -> None:
    (folder / "yesterday").mkdir()
    audit_file(folder / "yesterday" / "worse.json")
    done = command("check", "worse.json", "--baseline", "yesterday/worse.json")
    assert "circuitprobe check  worse.json against yesterday/worse.json:" in done.out


def test_a_name_that_is_no_text_is_shown_with_marks(command: Callable[..., Any], folder: Path) -> None:
    name = os.fsdecode(b"new\xff.json")
    audit_file(folder / name)
    done = command("check", name, *OLD, "--json", "c.json", "--junit", "c.xml", "--markdown", "c.md")
    assert (done.code, done.err) == (0, "")
    assert json.loads(Path("c.json").read_text(encoding="utf-8"))["new"] == "new\N{REPLACEMENT CHARACTER}.json"


def test_an_audit_needs_no_json_in_its_name(command: Callable[..., Any], folder: Path) -> None:
    (folder / "worse.json").rename("nightly")
    assert command("check", "nightly", *OLD).code == 1
    assert command("check", "old.json", "--baseline", "nightly").code == 0


def test_a_baseline_file_stands_for_its_audit_on_both_sides(command: Callable[..., Any]) -> None:
    assert command("baseline", "old.json", "--out", "base.json").code == 0
    assert command("baseline", "worse.json", "--out", "worse_base.json").code == 0
    assert command("check", "old.json", "--baseline", "base.json").code == 0
    for new, baseline in (
        ("worse.json", "base.json"),
        ("worse_base.json", "base.json"),
        ("worse_base.json", "old.json"),
    ):
        done = command("check", new, "--baseline", baseline)
        assert done.code == 1
        assert "ces of z0 went from" in done.out


@pytest.mark.parametrize("name", ["circuitprobe.toml", "pyproject.toml", "given.toml"])
def test_where_gates_come_from(command: Callable[..., Any], name: str) -> None:
    text = '[[gate]]\nmetric = "ces"\nlatent = "z1"\nmin = 0.1\n'
    Path("pyproject.toml").write_text('[project]\nname = "mine"\n', encoding="utf-8")
    if name == "given.toml":
        Path("circuitprobe.toml").write_text(text.replace("z1", "z2"), encoding="utf-8")
    Path(name).write_text(text.replace("gate", "tool.circuitprobe.gate") if name == "pyproject.toml" else text)
    options = ("--config", name) if name == "given.toml" else ()
    done = command("check", "worse.json", *OLD, "--json", "c.json", *options)
    assert done.code == 0
    result = json.loads(Path("c.json").read_text(encoding="utf-8"))
    assert result["gates_from"] == name
    assert [entry["latent"] for entry in result["results"]] == ["z1"]


def test_circuitprobe_toml_goes_before_pyproject_toml(command: Callable[..., Any]) -> None:
    gates(Path("circuitprobe.toml"), {"metric": "mse", "max": 1})
    Path("pyproject.toml").write_text('[[tool.circuitprobe.gate]]\nmetric = "ces"\nmin = 9\n', encoding="utf-8")
    assert "of circuitprobe.toml" in command("check", "old.json", *OLD).out


def test_a_pyproject_without_a_gate_leaves_the_default(command: Callable[..., Any]) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "mine"\n', encoding="utf-8")
    assert "of the default gate" in command("check", "old.json", *OLD).out


def test_drifted_rows_are_told(command: Callable[..., Any], folder: Path) -> None:
    def wider(content: dict[str, Any]) -> None:
        content["data"]["features"][0]["std"] = 1.5

    audit_file(folder / "new.json", wider)
    done = command("check", "new.json", *OLD, "--markdown", "c.md")
    assert "height 1.5 times as large" in done.out
    assert "height 1.5 times as large" in Path("c.md").read_text(encoding="utf-8")
