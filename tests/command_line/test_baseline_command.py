"""``circuitprobe baseline``: the file that a repository keeps, whole or not at all, and readable in a pull request."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_files import HOSTILE, audit_file, hostile_groups, scaled, weak_z0
from rich.cells import cell_len


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an audit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    audit_file(tmp_path / "audit.json")
    return tmp_path


def test_says_what_it_holds(command: Callable[..., Any]) -> None:
    done = command("baseline", "audit.json", "--out", "base.json")
    assert (done.code, done.err) == (0, "")
    assert done.out == "base.json and base.details beside it: 16 figures of the model, 3 latents, 500 rows\n"
    quiet = command("baseline", "audit.json", "--out", "base.json", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert sorted(os.listdir()) == ["audit.json", "base.details", "base.json"]


def test_same_audit_same_bytes_and_no_place_or_time_in_them(command: Callable[..., Any], folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "copy.json").write_bytes((folder / "audit.json").read_bytes())
    assert command("baseline", "audit.json", "--out", "a.json").code == 0
    assert command("baseline", folder / "elsewhere" / "copy.json", "--out", folder / "b.json").code == 0
    text = Path("a.json").read_text(encoding="utf-8")
    assert text == Path("b.json").read_text(encoding="utf-8")
    assert str(folder) not in text
    # a baseline is the baseline of itself: rounding it again changes nothing
    assert command("baseline", "a.json", "--out", "c.json").code == 0
    assert text == Path("c.json").read_text(encoding="utf-8")


def test_a_change_of_one_figure_is_a_change_of_one_line(command: Callable[..., Any]) -> None:
    audit_file(Path("worse.json"), weak_z0)
    for name in ("audit", "worse"):
        assert command("baseline", f"{name}.json", "--out", f"{name}_base.json").code == 0
    before, after = (Path(f"{name}_base.json").read_text(encoding="utf-8").splitlines() for name in ("audit", "worse"))
    changed = [line for line in difflib.unified_diff(before, after, lineterm="", n=0) if line[0] in "+-"][2:]
    assert [line.strip("+- ") for line in changed] == [
        '"ces": {"high": 0.404, "low": 0.396, "n": 500, "value": 0.4},',
        '"ces": {"high": 0.202, "low": 0.198, "n": 500, "value": 0.2},',
    ]


def test_renewing_replaces_the_file(command: Callable[..., Any]) -> None:
    audit_file(Path("worse.json"), weak_z0)
    assert command("baseline", "audit.json", "--out", "base.json").code == 0
    assert command("check", "worse.json", "--baseline", "base.json").code == 1
    assert command("baseline", "worse.json", "--out", "base.json").code == 0
    assert command("check", "worse.json", "--baseline", "base.json").code == 0


def test_a_difference_too_small_to_be_written_is_no_difference(command: Callable[..., Any]) -> None:
    def moved(content: dict[str, Any]) -> None:
        scaled(content["latents"][0]["ces"], 1 + 1e-6)

    audit_file(Path("moved.json"), moved)
    for name in ("audit", "moved"):
        assert command("baseline", f"{name}.json", "--out", f"{name}_base.json").code == 0
    assert Path("audit_base.json").read_bytes() == Path("moved_base.json").read_bytes()


def test_hostile_names_are_kept_exactly(command: Callable[..., Any]) -> None:
    audit_file(Path("hostile.json"), groups=hostile_groups())
    assert command("baseline", "hostile.json", "--out", "base.json").code == 0
    seen = json.loads(Path("base.json").read_text(encoding="utf-8"))["compared"]
    assert set(seen["features"]) == set(HOSTILE)
    assert seen["groups"] == {name: [name] for name in HOSTILE}
    assert command("check", "hostile.json", "--baseline", "base.json").code == 0


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    name = "[red]a_rather_long_name_of_a_baseline_for_a_narrow_terminal[/red].json".replace("/", "")
    done = command("baseline", "audit.json", "--out", name)
    assert done.code == 0
    assert name in done.out.replace("\n", "").replace(" ", "")
    assert max(cell_len(line.rstrip()) for line in done.out.splitlines()) <= width


@pytest.mark.parametrize(
    ("source", "out", "words"),
    [
        ("none.json", "base.json", ("cannot read none.json",)),
        ("text.json", "base.json", ("text.json is no JSON",)),
        ("other.json", "base.json", ("other.json is not a report",)),
        ("level1.json", "base.json", ("level1.json has no level 2", "--levels 2")),
        ("audit.json", "audit.json", ("read in the same run",)),
        ("audit.json", "link.json", ("read in the same run",)),
        ("audit.json", "no/such.json", ("mkdir -p no",)),
        ("audit.json", ".", ("it is a folder",)),
        ("audit.json", "pipe", ("a device or a pipe",)),
    ],
)
def test_what_cannot_be_done(
    command: Callable[..., Any], folder: Path, source: str, out: str, words: tuple[str, ...]
) -> None:
    (folder / "text.json").write_text("hello", encoding="utf-8")
    (folder / "other.json").write_text("{}", encoding="utf-8")
    (folder / "link.json").symlink_to("audit.json")
    os.mkfifo(folder / "pipe")
    audit_file(folder / "level1.json", levels=(1,))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = command("baseline", source, "--out", out)
    assert (done.code, done.out) == (2, "")
    for word in (*words, "\n  expected: ", "\n  try:      "):
        assert word in done.err
    assert "Traceback" not in done.err
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_baseline_has_to_go_somewhere(command: Callable[..., Any]) -> None:
    done = command("baseline", "audit.json")
    assert done.code == 2
    assert "--out" in done.err
