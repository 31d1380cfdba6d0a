"""``circuitprobe study report`` as it is typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study.hand_study import hand_study

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study") / "study"
    hand_study(place)
    return place


def test_verdicts_come_first(command: Command, folder: Path, tmp_path: Path) -> None:
    done = command("study", "report", folder, "--json", tmp_path / "r.json", "--archive", tmp_path / "s.tar.xz")
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if line.strip()]
    assert lines[0].startswith("circuitprobe study  8 of 8 runs finished")
    assert lines[1].startswith("1 ")
    # 0.31 / 0.61 with little spread over seeds: about half, as in the paper
    assert "REPRODUCED: modularity" in lines[1]
    assert json.loads((tmp_path / "r.json").read_text())["study_report_version"] == "1.0"
    again = command("study", "report", tmp_path / "s.tar.xz")
    assert again.out == done.out


def test_quiet_prints_nothing(command: Command, folder: Path, tmp_path: Path) -> None:
    done = command("study", "report", folder, "--quiet", "--markdown", tmp_path / "r.md")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert "| finding | verdict |" in (tmp_path / "r.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "there is no study nowhere"),
        (("empty",), "has no study.toml"),
        (("study", "--json", "no/such/r.json"), "cannot write no/such/r.json"),
        (("study", "--markdown", "study"), "it is a folder"),
        (("study", "--figures", "study/study.toml"), "is a file"),
    ],
)
def test_what_cannot_be_is_told(
    command: Command,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (tmp_path / "study").symlink_to(folder)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = command("study", "report", *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_without_matplotlib_figures_are_refused_and_the_rest_works(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    refused = command("study", "report", folder, "--figures", tmp_path / "pictures", "--json", tmp_path / "r.json")
    assert refused.code == 2
    assert "circuitprobe[study]" in refused.err
    assert not list(tmp_path.iterdir())
    assert command("study", "report", folder, "--quiet").code == 0
