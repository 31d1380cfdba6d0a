"""Checks that cannot be made: exit 2 or 3, one message, an error in JUnit, and nothing half-written or lost."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gate_files import audit_file, gates, scaled

GATES = ({"metric": "ces", "latent": "z0", "max_drop": "10%"}, {"metric": "mse", "max": 1})


def make_inputs(folder: Path) -> None:
    """Files that are right, and files that are wrong in one way each."""
    audit_file(folder / "old.json")
    audit_file(folder / "new.json")
    audit_file(folder / "level1.json", levels=(1,))
    (folder / "text.json").write_text("hello", encoding="utf-8")
    (folder / "cut.json").write_text((folder / "old.json").read_text(encoding="utf-8")[:500], encoding="utf-8")
    (folder / "list.json").write_text("[1]", encoding="utf-8")
    (folder / "other.json").write_text('{"name": "package"}', encoding="utf-8")
    (folder / "nested.json").write_text("[" * 100_000, encoding="utf-8")
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "later.json").write_text('{"baseline_version": "7.0"}', encoding="utf-8")
    (folder / "half.json").write_text('{"baseline_version": "1.0", "compared": {}}', encoding="utf-8")
    torch.save({"weights": torch.ones(2)}, folder / "model.pt")
    (folder / "folder").mkdir()
    gates(folder / "gates.toml", *GATES)
    (folder / "empty.toml").write_text("", encoding="utf-8")
    (folder / "empty_list.toml").write_text("gate = []\n", encoding="utf-8")
    (folder / "broken.toml").write_text("[[gate]\n", encoding="utf-8")
    gates(folder / "unknown.toml", {"metric": "cess", "latent": "*", "max_drop": "10%"})
    gates(folder / "auc.toml", {"metric": "auc", "max_drop": 0.1})
    gates(folder / "mig.toml", {"metric": "mig", "min": 0.1})
    gates(folder / "latent.toml", {"metric": "ces", "latent": "z9", "min": 0.1})
    gates(folder / "column.toml", {"metric": "ces", "group": "heigth", "min": 0.1})
    (folder / "pyproject.toml").write_text('[project]\nname = "mine"\n', encoding="utf-8")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``make_inputs``."""
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    return tmp_path


OLD = ("--baseline", "old.json")
# arguments, and words that the message must have
WRONG: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no new audit": (("none.json", *OLD), ("cannot read none.json", "No such file")),
    "new is a folder": (("folder", *OLD), ("folder is no audit", "circuitprobe check folder DATA --baseline old.json")),
    "new is no JSON": (("text.json", *OLD), ("text.json is no JSON",)),
    "new is cut off": (("cut.json", *OLD), ("cut.json is no JSON",)),
    "new is a list": (("list.json", *OLD), ("list.json is not a report",)),
    "new is another file": (("other.json", *OLD), ("other.json is not a report",)),
    "new is nested": (("nested.json", *OLD), ("nested.json is no JSON",)),
    "new is binary": (("binary.json", *OLD), ("binary.json is no JSON",)),
    "a model without data": (("model.pt", *OLD), ("model.pt is no audit", "circuitprobe check model.pt DATA")),
    "no baseline": (("new.json", "--baseline", "none.json"), ("cannot read none.json",)),
    "baseline is a folder": (("new.json", "--baseline", "folder"), ("cannot read folder",)),
    "baseline is no baseline": (("new.json", "--baseline", "other.json"), ("other.json is not a report",)),
    "baseline is a model": (("new.json", "--baseline", "model.pt"), ("model.pt is no JSON",)),
    "baseline of a later version": (("new.json", "--baseline", "later.json"), ("version 7.0", "reads 1.0")),
    "half a baseline": (("new.json", "--baseline", "half.json"), ("half.details is not beside half.json",)),
    "no config": (("new.json", *OLD, "--config", "none.toml"), ("none.toml",)),
    "empty config": (("new.json", *OLD, "--config", "empty.toml"), ("empty.toml", "has no gate")),
    "empty gate": (("new.json", *OLD, "--config", "empty_list.toml"), ("has no gate",)),
    "no gate in pyproject": (("new.json", *OLD, "--config", "pyproject.toml"), ("pyproject.toml: has no gate",)),
    "broken config": (("new.json", *OLD, "--config", "broken.toml"), ("broken.toml",)),
    "unknown metric": (("new.json", *OLD, "--config", "unknown.toml"), ("no metric 'cess'", "ces")),
    "no auc in the audits": (("new.json", *OLD, "--config", "auc.toml"), ("has no auc", "--target")),
    "no mig in the audits": (("new.json", *OLD, "--config", "mig.toml"), ("has no mig", "dSprites")),
    "no level 2": (("level1.json", *OLD), ("the new audit has no", "level 2")),
    "no such latent": (("new.json", *OLD, "--config", "latent.toml"), ("no latent 'z9'", "z0, z1, z2")),
    "no such column": (("new.json", *OLD, "--config", "column.toml"), ("'heigth'", "height")),
    "--audit-json without data": (("new.json", *OLD, "--audit-json", "a.json"), ("--audit-json without DATA",)),
    "one name twice": (("new.json", *OLD, "--json", "a", "--markdown", "./a"), ("named for two outputs",)),
    "missing folder": (("new.json", *OLD, "--json", "no/such/a.json"), ("mkdir -p no/such",)),
    "output is a folder": (("new.json", *OLD, "--json", "folder"), ("it is a folder",)),
    "output is new": (("new.json", *OLD, "--json", "new.json"), ("read in the same run",)),
    "output is the baseline": (("new.json", *OLD, "--json", "old.json"), ("read in the same run",)),
    "output is the config": (("new.json", *OLD, "--config", "gates.toml", "--json", "gates.toml"), ("read in the",)),
    "output is the config here": (("new.json", *OLD, "--json", "pyproject.toml"), ("read in the same run",)),
}  # fmt: skip


def contents() -> dict[str, bytes]:
    """Every file of the current folder."""
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def assert_told(done: Any, code: int, *words: str) -> None:
    assert done.code == code, done.out + done.err
    assert done.out == ""
    assert done.err.startswith("circuitprobe: ")
    assert "\n  expected: " in done.err
    assert "\n  try:      " in done.err
    for word in ("Traceback", "internal error"):
        assert word not in done.err
    for word in words:
        assert word in done.err


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(command: Callable[..., Any], case: str) -> None:
    arguments, words = WRONG[case]
    before = contents()
    assert_told(command("check", *arguments), 2, *words)
    assert contents() == before
    assert_told(command("check", *arguments, "--junit", "j.xml"), 2, *words)
    assert contents().keys() - before.keys() == {"j.xml"}
    assert_error_in_junit(Path("j.xml"), words[0])


def assert_error_in_junit(path: Path, word: str) -> list[str]:
    """Every case is an error that says why; their names."""
    root = ET.parse(path).getroot()  # noqa: S314 - written by us
    cases = root.findall("./testsuite/testcase")
    assert cases
    for case in cases:
        error = case.find("error")
        assert error is not None
        assert word in (error.text or "")
        assert error.get("type") not in (None, "")
        assert case.find("failure") is None
    suite = root[0]
    assert (suite.get("tests"), suite.get("errors")) == (str(len(cases)),) * 2
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "0")
    return [str(case.get("name")) for case in cases]


def test_gates_that_were_not_run_are_named(command: Callable[..., Any]) -> None:
    assert command("check", "none.json", *OLD, "--config", "gates.toml", "--junit", "j.xml").code == 2
    assert assert_error_in_junit(Path("j.xml"), "none.json") == ["ces of z0", "mse"]


@pytest.mark.parametrize("option", ["--json", "--junit", "--markdown", "--audit-json"])
@pytest.mark.parametrize("target", ["new.json", "old.json", "pyproject.toml"])
def test_no_output_replaces_an_input(command: Callable[..., Any], option: str, target: str) -> None:
    before = contents()
    assert_told(command("check", "new.json", *OLD, option, target), 2, "read in the same run")
    assert contents() == before


def test_error_outputs_never_replace_an_input_either(command: Callable[..., Any]) -> None:
    """The message about one bad place is not written to another bad place."""
    before = contents()
    for outputs in (
        ("--json", "no/such.json", "--junit", "new.json"),
        ("--json", "no/such.json", "--markdown", "old.json"),
        ("--markdown", "j.xml", "--junit", "j.xml"),
    ):
        assert_told(command("check", "new.json", *OLD, *outputs), 2)
        assert contents() == before


def test_what_stood_in_the_outputs_is_no_pass_any_more(command: Callable[..., Any]) -> None:
    outputs = ("--junit", "j.xml", "--markdown", "m.md")
    assert command("check", "new.json", *OLD, *outputs).code == 0
    assert command("check", "text.json", *OLD, *outputs).code == 2
    assert_error_in_junit(Path("j.xml"), "text.json is no JSON")
    assert Path("m.md").read_text(encoding="utf-8").startswith("### ❌ circuitprobe check: not checked\n")


def test_a_defect_of_ours_is_an_error_too(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by 0")

    monkeypatch.setattr("circuitprobe.checking.check", broken)
    done = command("check", "new.json", *OLD, "--junit", "j.xml", "--config", "gates.toml")
    assert done.code == 2
    assert "internal error, ZeroDivisionError: by 0" in done.err
    assert assert_error_in_junit(Path("j.xml"), "internal error, ZeroDivisionError: by 0") == ["ces of z0", "mse"]


@pytest.mark.parametrize("arguments", [("new.json",), (), ("new.json", *OLD, "--no-such-option")])
def test_incomplete_commands(command: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    done = command("check", *arguments)
    assert done.code == 2
    assert "Usage: circuitprobe check" in done.err
    assert "Traceback" not in done.err


def of(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """A change of one entry of an audit."""

    def change(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


def one_group(content: dict[str, Any]) -> None:
    """All features in one group."""
    content["data"]["groups"] = {"all": ["height", "weight", "income", "city", "smoker"]}
    for feature in content["data"]["features"]:
        feature["group"] = "all"
    for latent in content["latents"]:
        latent["group_effects"] = {"all": latent["group_effects"]["body"]}
    content["scores"]["completeness"] = {"all": content["scores"]["completeness"]["body"]}


def wide(content: dict[str, Any]) -> None:
    content["data"]["features"][0]["std"] = 5.0


def other_kind(content: dict[str, Any]) -> None:
    content["data"]["features"][1] |= {"kind": "binary", "std": None}


UNLIKE: dict[str, tuple[Callable[[dict[str, Any]], None], tuple[str, ...]]] = {
    "method": (of("method_version", value="9.9"), ("method version", "9.9 against")),
    "values": (of("settings", "intervention_values", value=5), ("intervention values: 5 against 8",)),
    "values from": (of("settings", "values_from", value="caller"), ("values from: caller against posterior",)),
    "groups": (
        one_group,
        ("the feature group all",),
    ),
    "conditions": (of("data", "condition", value=["sex"]), ("conditions: sex against none",)),
    "spread": (wide, ("standard deviation of height", "5 times")),
    "kind": (other_kind, ("the kind of weight: binary against numeric",)),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_not_comparable(command: Callable[..., Any], folder: Path, case: str) -> None:
    change, words = UNLIKE[case]
    audit_file(folder / "unlike.json", change)
    done = command("check", "unlike.json", *OLD, "--junit", "j.xml", "--config", "gates.toml")
    remedy = "--groups FILE" if case == "groups" else "circuitprobe baseline NEW --out BASELINE"
    assert_told(done, 3, "the audits are not comparable", remedy, *words)
    assert assert_error_in_junit(Path("j.xml"), words[0]) == ["ces of z0", "mse"]
    assert 'type="NotComparable"' in Path("j.xml").read_text(encoding="utf-8")


def test_other_columns_are_named_on_both_sides(command: Callable[..., Any], folder: Path) -> None:
    audit_file(folder / "unlike.json", groups=(("body", ("height", "width")), ("money", ("income", "city"))))
    done = command("check", "unlike.json", *OLD)
    assert_told(done, 3, "features: width against weight, smoker in the baseline")


def test_rows_of_another_seed_are_compared_unpaired(command: Callable[..., Any], folder: Path) -> None:
    audit_file(folder / "other_seed.json", of("settings", "seed", value=7))
    done = command("check", "other_seed.json", *OLD, "--json", "c.json")
    assert done.code == 0
    assert json.loads(Path("c.json").read_text(encoding="utf-8"))["paired"] is False
    assert "unpaired bootstrap" in done.out


def test_level_1_has_figures_to_gate_on(command: Callable[..., Any], folder: Path) -> None:
    """An audit without level 2 is no error where the gate needs none."""

    def worse(content: dict[str, Any]) -> None:
        scaled(content["reconstruction"]["mse"], 2)

    audit_file(folder / "worse1.json", worse, levels=(1,))
    gates(folder / "mse.toml", {"metric": "mse", "max_drop": "10%"})
    assert command("check", "level1.json", "--baseline", "level1.json", "--config", "mse.toml").code == 0
    assert command("check", "worse1.json", "--baseline", "level1.json", "--config", "mse.toml").code == 1


def test_no_result_of_yesterday_stays(command: Callable[..., Any], folder: Path) -> None:
    outputs = ("--json", "j.json", "--junit", "j.xml", "--markdown", "j.md")
    assert command("check", "old.json", *OLD, *outputs).code == 0
    assert json.loads((folder / "j.json").read_text(encoding="utf-8"))["outcome"] == "pass"
    assert command("check", "none.json", *OLD, *outputs).code == 2
    content = json.loads((folder / "j.json").read_text(encoding="utf-8"))
    assert (content["outcome"], content["exit_code"]) == ("error", 2)
    assert "none.json" in content["error"]["seen"]
    assert "not checked" in (folder / "j.md").read_text(encoding="utf-8")


def test_what_the_new_audit_warned_of_is_said(command: Callable[..., Any], folder: Path) -> None:
    def warned(content: dict[str, Any]) -> None:
        content["warnings"] = [{"code": "unseen", "message": "sex: 681 rows have an unseen category"}]

    audit_file(folder / "new.json", warned)
    done = command("check", "new.json", *OLD)
    assert done.code == 0
    assert "? sex: 681 rows have an unseen category" in done.out
    # known before, it is no news
    assert "unseen" not in command("check", "new.json", "--baseline", "new.json").out


def test_the_details_of_the_baseline_are_no_place_for_an_output(command: Callable[..., Any], folder: Path) -> None:
    assert command("baseline", "old.json", "--out", "base.json").code == 0
    before = (folder / "base.details").read_bytes()
    done = command("check", "new.json", "--baseline", "base.json", "--markdown", "base.details")
    assert_told(done, 2, "cannot write base.details", "read in the same run")
    assert (folder / "base.details").read_bytes() == before
