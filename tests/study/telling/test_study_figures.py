"""A study's figures: what they hold, and that they are the same each time."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from study.findings.study_runs import ARCHS, TABLES, grid, lifelike, run

from circuitprobe.errors import UsageError
from circuitprobe.study.telling.figure_style import COLOURS, DIM, GRID, INK, PAPER
from circuitprobe.study.telling.figures import FIGURES, write_figures

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}href"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("figures")
    return {path.name: path.read_text(encoding="utf-8") for path in write_figures(grid(), folder)}


def marks(svg: str) -> int:
    """Uses of a marker with the fill of an architecture, those of the legends left out."""
    axes = re.sub(r'<g id="legend_\d+">.*', "", svg, flags=re.S)
    return len(
        [style for style in re.findall(r"<use [^>]*style=\"([^\"]*)\"", axes) if any(c in style for c in COLOURS)]
    )


def test_three_files_in_order(drawn: dict[str, str]) -> None:
    assert list(drawn) == list(FIGURES) == ["modularity.svg", "ces_mse.svg", "specificity_auc.svg"]


def test_every_run_is_a_mark(drawn: dict[str, str]) -> None:
    assert [marks(svg) for svg in drawn.values()] == [75, 75, 75]


def test_text_is_text_and_tells_what_is_shown(drawn: dict[str, str]) -> None:
    for name, svg in drawn.items():
        root = ET.fromstring(svg)  # noqa: S314 - what was just written
        texts = {"".join(entry.itertext()) for entry in root.iter(f"{SVG}text")}
        assert FIGURES[name].title in texts
        assert {*ARCHS, *TABLES, "dsprites"} <= texts
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None
        assert description is not None
        assert (title.text, description.text) == (FIGURES[name].title, FIGURES[name].description)
        assert root.get("role") == "img"
    assert "r 0.0852 [-0.145, 0.306], 75 runs" in drawn["ces_mse.svg"]
    assert "r 0.162 [-0.0671, 0.375], 75 runs" in drawn["specificity_auc.svg"]


def test_every_colour_is_of_the_palette_and_ink_turns_light_in_the_dark(drawn: dict[str, str]) -> None:
    for svg in drawn.values():
        head, body = svg.split("</style>", 1)
        assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body)) <= {*COLOURS, INK, DIM, GRID, PAPER}
        assert "prefers-color-scheme: dark" in head
        for colour in (INK, DIM, GRID, PAPER):
            assert f'[style*="fill: {colour}"]' in head


def test_the_same_runs_give_the_same_bytes(drawn: dict[str, str], tmp_path: Path) -> None:
    mpl.rcParams["axes.linewidth"] = 5.0
    try:
        runs = grid()
        paths = write_figures(random.Random(1).sample(runs, len(runs)), tmp_path)
        assert mpl.rcParams["axes.linewidth"] == 5.0
    finally:
        mpl.rcdefaults()
    assert {path.name: path.read_text(encoding="utf-8") for path in paths} == drawn
    assert not re.search(r"<dc:date>|20\d\d-\d\d-\d\d", "".join(drawn.values()))


def test_undefined_figures_are_not_drawn(tmp_path: Path) -> None:
    runs = [*grid(seeds=(0,)), run(lifelike("vae", "adult", 0) | {"modularity": None, "auc": None}, seed=7)]
    counts = [marks(path.read_text(encoding="utf-8")) for path in write_figures(runs, tmp_path)]
    assert counts == [25, 26, 25]


def test_no_runs_at_all_give_empty_figures(tmp_path: Path) -> None:
    paths = write_figures([], tmp_path)
    assert [marks(path.read_text(encoding="utf-8")) for path in paths] == [0, 0, 0]
    assert "no r: 0 runs are too few" in paths[1].read_text(encoding="utf-8")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as caught:
        write_figures(grid(), tmp_path)
    assert caught.value.fix == "pip install 'circuitprobe[study]'"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match="cannot make the folder"):
        write_figures(grid(seeds=(0,)), tmp_path / "file" / "none")
    written = write_figures(grid(seeds=(0,)), tmp_path / "new" / "one")
    assert [path.parent for path in written] == [tmp_path / "new" / "one"] * 3
