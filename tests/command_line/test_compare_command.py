"""``circuitprobe compare``: audits side by side, what changed most first, in any terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gate_files import audit_file, hostile_groups, scaled, weak_z0
from rich.cells import cell_len


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three audits and one that cannot be compared with them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    audit_file(tmp_path / "a.json")
    audit_file(tmp_path / "b.json", weak_z0)

    def rotated(content: dict[str, Any]) -> None:
        scaled(content["reconstruction"]["mse"], 3)
        names = [latent["name"] for latent in content["latents"]]
        for latent, name in zip(content["latents"], [*names[1:], names[0]], strict=True):
            latent["name"] = name

    audit_file(tmp_path / "c.json", rotated)
    audit_file(tmp_path / "other.json", groups=(("body", ("height", "width")),))
    return tmp_path


def rows(out: str) -> list[str]:
    """The lines of the table."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("metric"))
    return lines[start + 1 : lines.index("", start)]


def test_what_changed_most_comes_first(command: Callable[..., Any]) -> None:
    done = command("compare", "a.json", "b.json")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("circuitprobe compare  a.json, b.json: 1 of ")
    assert lines[0].endswith(" figures differ beyond chance")
    first, *others = rows(done.out)
    assert first.split()[:2] == ["ces", "z0"]
    assert "0.4 [0.396, 0.404]" in first
    assert "0.2 [0.198, 0.202]" in first
    changes = [float(line.split()[-1]) for line in (first, *others)]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1 >= changes[1]


def test_an_audit_with_itself(command: Callable[..., Any]) -> None:
    done = command("compare", "a.json", "a.json")
    assert "0 of " in done.out.splitlines()[0]
    assert {line.split()[-1] for line in rows(done.out)} == {"0.0"}


def test_three_audits_with_their_latents_matched(command: Callable[..., Any]) -> None:
    done = command("compare", "a.json", "b.json", "c.json")
    assert done.code == 0
    header = next(line for line in done.out.splitlines() if line.startswith("metric"))
    assert header.split() == ["metric", "latent", "a.json", "b.json", "c.json", "change"]
    table = rows(done.out)
    assert any(line.startswith("mse ") and "0.3 [" in line for line in table[:2])
    assert any("z0 / z0 / z1" in line for line in table)


def test_baselines_are_compared_like_their_audits(command: Callable[..., Any]) -> None:
    for name in "ab":
        assert command("baseline", f"{name}.json", "--out", f"{name}_base.json").code == 0
    done = command("compare", "a_base.json", "b_base.json")
    assert done.code == 0
    assert rows(done.out)[0].split()[:2] == ["ces", "z0"]


def test_files_of_one_name_are_told_apart(command: Callable[..., Any], folder: Path) -> None:
    (folder / "new").mkdir()
    audit_file(folder / "new" / "a.json", weak_z0)
    done = command("compare", "a.json", "new/a.json")
    assert "circuitprobe compare  a.json, new/a.json:" in done.out


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("names", [("a.json", "b.json"), ("a.json", "b.json", "c.json", "a.json")])
def test_no_line_is_wider_than_the_terminal(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = command("compare", *names)
    assert done.code == 0
    assert max(cell_len(line.rstrip()) for line in done.out.splitlines()) <= width
    words = " ".join(done.out.split())
    assert "0.2 [0.198, 0.202]" in words
    assert "\x1b" not in done.out


@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_names_of_columns_and_files(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int, folder: Path
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    audit_file(folder / "[red]\n\x1b[31m.json", groups=hostile_groups())
    audit_file(folder / "*.json", groups=hostile_groups())
    done = command("compare", "[red]\n\x1b[31m.json", "*.json")
    assert (done.code, done.err) == (0, "")
    assert "[red]" in done.out
    assert {letter for letter in done.out if not letter.isprintable()} == {"\n"}
    assert max(cell_len(line.rstrip()) for line in done.out.splitlines()) <= width
    assert "completeness" in done.out.replace("\n", "")


@pytest.mark.parametrize(
    ("names", "code", "words"),
    [
        (("a.json",), 2, ("at least two",)),
        (("a.json", "none.json"), 2, ("cannot read none.json",)),
        (("a.json", "text.json"), 2, ("text.json is no JSON",)),
        (("a.json", "other.json"), 3, ("not comparable", "features: width against")),
        (("a.json", "b.json", "other.json"), 3, ("not comparable",)),
    ],
)
def test_what_cannot_be_compared(
    command: Callable[..., Any], folder: Path, names: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    (folder / "text.json").write_text("hello", encoding="utf-8")
    done = command("compare", *names)
    assert (done.code, done.out) == (code, "")
    for word in (*words, "\n  expected: ", "\n  try:      "):
        assert word in done.err
    assert "Traceback" not in done.err
