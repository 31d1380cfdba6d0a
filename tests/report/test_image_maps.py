"""Maps of patches in the terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from builders import make_report
from image_report import image_report
from rich.console import Console

from circuitprobe.report import AuditReport
from circuitprobe.report.image_maps import RAMP, PatchMap, PatchMaps, error_map, latent_maps


def printed(what: object, width: int, *, color: str | None = None, ascii_only: bool = False) -> str:
    class Told(io.StringIO):
        encoding = "ascii" if ascii_only else "utf-8"

    file = Told()
    console = Console(
        file=file,
        width=width,
        force_terminal=color is not None,
        color_system=color,
        highlight=False,
        legacy_windows=False,
    )  # type: ignore[arg-type]
    console.print(what)
    return file.getvalue()


CROSS = PatchMap("z0", ((0.0, 0.2, 0.0), (0.2, 1.0, 0.5), (0.0, 0.2, 0.0), (0.0, 0.0, 0.7)))


def test_known_map_in_shades_and_in_ascii() -> None:
    maps = PatchMaps((CROSS,), "note")
    assert printed(maps, 60).splitlines() == [
        "z0 1.0", "▏  ░░  ▕", "▏░░██▒▒▕", "▏  ░░  ▕", "▏    ▓▓▕", "note",
    ]  # fmt: skip
    assert printed(maps, 60, ascii_only=True).splitlines() == [
        "z0 1.0", "|  ..  |", "|..##::|", "|  ..  |", "|    **|", "note",
    ]  # fmt: skip


def test_two_patches_in_one_half_block() -> None:
    lines = printed(PatchMaps((CROSS,), "note"), 60, color="truecolor").splitlines()
    assert [line.count("▀") for line in lines] == [0, 3, 3, 0]
    first, last = (";".join(map(str, RAMP[place])) for place in (0, -1))
    # upper left 0 over 0.2; the middle: 0.2 over 1
    assert lines[1].startswith(f"\x1b[38;2;{first};48;2;")
    assert f";48;2;{last}m▀" in lines[1]


def test_an_odd_number_of_rows_has_nothing_behind_the_last() -> None:
    lines = printed(PatchMaps((PatchMap("z", ((1.0, 0.0),)),), "n"), 60, color="truecolor").splitlines()
    assert lines[1].count("▀") == 2
    assert "48;2" not in lines[1]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("color", [None, "truecolor", "256", "standard"])
def test_as_many_side_by_side_as_fit(width: int, color: str | None) -> None:
    rng = np.random.default_rng(0)
    maps = tuple(
        PatchMap(f"z{i}", tuple(map(tuple, np.fmax(0.5 * np.eye(8), 0.4 * rng.random((8, 8)))))) for i in range(10)
    )
    text = printed(PatchMaps(maps, "note"), width, color=color)
    plain = "".join(part.partition("m")[2] if place else part for place, part in enumerate(text.split("\x1b[")))
    lines = plain.splitlines()
    assert max(map(len, lines)) <= width
    captions = [line for line in lines if "z0" in line or "z9" in line]
    cell = 8 if color in ("truecolor", "256") else 18
    first = captions[0].count("z")
    assert first == min(10, (width + 2) // (max(cell, len("z0 0.5")) + 2))
    assert sum(line.count(" 0.5") for line in lines) == 10


def test_a_wide_grid_takes_one_column_per_patch() -> None:
    rows = tuple(tuple(float(i == j) for j in range(32)) for i in range(32))
    lines = printed(PatchMaps((PatchMap("z0", rows),), "n"), 40).splitlines()
    assert max(map(len, lines)) == 34
    assert lines[1].startswith("▏█")


def test_nothing_moves() -> None:
    assert "░" not in printed(PatchMaps((PatchMap("z0", ((0.0, 0.0), (0.0, 0.0))),), "n"), 60)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return image_report()


def test_the_report_shows_maps_where_tables_have_the_heat_strip(report: AuditReport) -> None:
    for width in (60, 80, 120):
        text = printed(report, width)
        assert "What each latent changes in the image" in text
        assert "Effect of each latent on each column" not in text
        assert max(map(len, text.splitlines())) <= width
    assert "mean image" in printed(report, 100)


def test_maps_hold_the_effects_in_their_places(report: AuditReport) -> None:
    maps = latent_maps(report)
    assert isinstance(maps, PatchMaps)
    strongest = maps.maps[0]
    effects = report.effects[strongest.name]
    assert strongest.values[2][5] == effects["patch 2,5"].value
    assert max(max(row) for row in strongest.values) == strongest.largest
    errors = error_map(report)
    assert isinstance(errors, PatchMaps)
    value = report.reconstruction.features["patch 1,3"].mse.value
    assert value is not None
    assert errors.maps[0].values[1][3] == pytest.approx(value**0.5)


def test_reports_on_images_survive_their_json(report: AuditReport) -> None:
    text = report.to_json()
    again = AuditReport.model_validate_json(text)
    assert again.data.image == report.data.image
    assert printed(again, 90) == printed(report, 90)


def test_tables_have_no_maps() -> None:
    assert latent_maps(make_report()) is None
    assert error_map(make_report()) is None
