"""Circuit map, levels 1, 3 and 4 and their sentences, on reports put together by hand."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import UNDEFINED, N, Shape, make_report, wide_shape
from rich.cells import cell_len
from rich.console import Console

from circuitprobe.report import AuditReport
from circuitprobe.report.heat import matrix_strip
from circuitprobe.report.level_words import level_sentences
from circuitprobe.report.terminal import render, to_html
from circuitprobe.report.words import audit_warnings, verdict
from circuitprobe.types import Estimate

TITLES = ("Circuit map", "Level 1:", "Level 3, units:", "Level 3, circuits:", "Level 4:")
SHAPES = {
    "usual": Shape(),
    "wide": wide_shape(),
    "undefined": Shape(undefined=True),
    "without level 2": Shape(levels=(1, 3, 4)),
    "one latent": Shape(latents=1, groups=(("all", ("a", "b")),), layers=()),
    "no variance": Shape(variance=False),
}


def printed(report: AuditReport, width: int = 120, *, unicode: bool = True, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        width=width, file=file, highlight=False, force_terminal=colour, color_system="truecolor" if colour else None
    )
    for part in render(report, width, unicode=unicode):
        console.print(part)
    return file.getvalue()


def part_of(text: str, title: str) -> str:
    """The lines of one section, its title included."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(title))
    rest = lines[start + 1 :]
    end = next((i for i, line in enumerate(rest) if line and not line.startswith(" ") and i > 0), len(rest))
    return "\n".join([lines[start], *rest[:end]])


def flat(text: str) -> str:
    """One line, branches and repeated blanks gone, so that wrapping does not matter."""
    return re.sub(r"[\s│├└─|+`]+", " ", text.replace("-- ", " "))


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_section_keeps_to_the_width(shape: str, width: int, unicode: bool) -> None:
    text = printed(make_report(SHAPES[shape]), width, unicode=unicode)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert text.isascii() or unicode
    for title in (*TITLES, "Reconstruction", "What was audited"):
        assert any(line.startswith(title[: width - 1]) for line in text.splitlines()), title
    assert "None" not in text
    assert "nan" not in text


@pytest.mark.parametrize("width", [60, 120])
def test_colour_changes_no_letter(width: int) -> None:
    report = make_report()
    coloured = printed(report, width, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == printed(report, width)


def test_sections_stand_between_the_effects_and_the_reconstruction_map_first() -> None:
    lines = printed(make_report()).splitlines()
    order = ["Scores", "Latents", "Effect of each", *TITLES, "Reconstruction", "What was audited"]
    places = [next(i for i, line in enumerate(lines) if line.startswith(title)) for title in order]
    assert places == sorted(places)


def test_map_leads_from_input_groups_through_units_to_output_groups() -> None:
    text = part_of(printed(make_report(), 160), "Circuit map")
    assert [line.split()[0] for line in text.splitlines() if line.startswith(" z")] == ["z0", "z1", "z2"]
    first = flat(text.split(" z1 ")[0])
    parts = [
        "z0 CES 0.4 [0.36, 0.44]; drives height (68% of its effect)",
        "moved by body 0.9 [0.81, 0.99], money 0.45 [0.405, 0.495], habits 0.3 [0.27, 0.33]",
        "decoder.1 41 of 256 units (128 of them measured) carry 92% [83%, 101%] of its effect; without them 6% is left",
        "unit 0: 0.15 to body 0.2 and money 0.1, unit 7: 0.075 to body",
        "38 weaker units",
        "decoder.3 41 of 64 units carry",
        "reaches body 0.8 [0.72, 0.88], money 0.4 [0.36, 0.44], habits 0.267",
    ]
    places = [first.index(part) for part in parts]
    assert places == sorted(places)


def test_map_items_are_not_broken_in_the_middle_where_they_fit_a_line() -> None:
    text = part_of(printed(make_report(), 60), "Circuit map")
    units = [line for line in text.splitlines() if "unit 7" in line]
    assert units
    assert all("unit 7: 0.075 to body 0.2" in line for line in units)


def test_map_of_a_model_with_many_latents_and_layers_says_what_it_leaves_out() -> None:
    text = flat(part_of(printed(make_report(wide_shape())), "Circuit map"))
    assert "not shown: 7 weaker latents; report.to_frame('circuits') has them" in text
    assert "and 2 later layers" in text
    assert "9 weaker groups" in text
    assert "z11 " in text
    assert "z12 " not in text


@pytest.mark.parametrize("levels", [(2,), (2, 3), (1, 2, 4), (3,)])
def test_there_is_no_map_without_levels_1_and_3_and_no_section_for_a_level_not_run(levels: tuple[int, ...]) -> None:
    text = printed(make_report(Shape(levels=levels)))
    assert "Circuit map" not in text
    for level in (1, 3, 4):
        assert (f"\nLevel {level}" in text) == (level in levels)


def test_map_without_level_2_says_what_single_units_reach() -> None:
    text = flat(part_of(printed(make_report(Shape(levels=(1, 3, 4)))), "Circuit map"))
    assert "z0 total effect 0.5 [0.45, 0.55] moved by body" in text
    assert "CES" not in text
    assert "single units reach body 0.2 [0.18, 0.22], money 0.1" in text


def test_circuits_without_a_unit() -> None:
    text = flat(printed(make_report(Shape(undefined=True))))
    assert "decoder.1 no unit carries anything" in text
    assert "z0 decoder.1 none - - -" in text


def test_level_1_shows_shifts_and_the_features_of_most_information() -> None:
    text = part_of(printed(make_report(), unicode=False), "Level 1")
    assert re.search(r"^ body +\.90# \.45: \.30\.", text, re.MULTILINE)
    assert re.search(r"^ z1 +weight 1\.00 \[0\.9, 1\.10\], height 0\.5 .*, income 0\.5 ", text, re.MULTILINE)
    assert "nats" in text
    assert "z3" not in text
    without = part_of(printed(make_report(Shape(variance=False))), "Level 1")
    assert "nats" not in without
    assert "moved most by (standard deviations)" in without
    assert re.search(r"^ z1 +weight 0\.5 ", without, re.MULTILINE)


def test_level_3_lists_every_site_with_its_strongest_units_and_way() -> None:
    text = flat(part_of(printed(make_report(), 160), "Level 3, units"))
    row = "decoder decoder.1 256 2 0: 0.2 [0.18, 0.22], 1: 0.1 [0.09, 0.11], 2: 0.0667 [0.06, 0.0733] substitution (the next"
    assert row in text
    assert "encoder encoder.1 64 2 0: 0.2" in text
    assert "256 rows; unchanged units" in text


def test_circuits_are_marked_where_they_do_not_reach_the_share_or_not_all_units_were_measured() -> None:
    text = part_of(printed(make_report()), "Level 3, circuits")
    assert "90%" in text.splitlines()[0]
    flattened = flat(text)
    assert "z0 decoder.1 ~41 of 256 92% [83%, 101%] 6% [5%, 7%] 1.00 [0.9, 1.10]" in flattened
    assert "decoder.3 *41 of 64" in flattened
    assert "overlap of two latents' circuits in one layer (Jaccard): 0.3 on average (0.1 for random sets" in flattened
    assert "z0 and z1 in decoder.1, 0.3 (0.1)" in flattened
    assert "body encoder.1 41 of 64" in flattened
    assert "* all units" in flattened
    small = flat(part_of(printed(make_report(Shape(layers=(("decoder.1", 64),)))), "Level 3, circuits"))
    assert "* all units" not in small
    assert "~" not in small


def test_level_4_counts_and_sorts_the_significant_mediations_and_cuts_the_list() -> None:
    text = part_of(printed(make_report(Shape(significant=1.0))), "Level 4")
    assert "36 of 36 mediations are significant after correction" in text
    assert "and 21 more" in text
    shares = [int(found) for found in re.findall(r" (\d+)% \[", text)]
    assert len(shares) == 15
    assert shares == sorted(shares, reverse=True)
    assert re.search(r"^ body +z0 +body +90% \[81%, 99%\] +0\.5 +0\.3 +0\.2 +0\.01 +0\.004", text, re.MULTILINE)
    narrow = flat(part_of(printed(make_report(), 60), "Level 4"))
    assert "9 of 36 mediations are" in narrow
    assert "body → z0 → money 64% ±6% 0.5 0.15 0.2 0.01 0.004" in narrow
    with_intervals = part_of(printed(make_report(), 200), "Level 4")
    assert "0.3 [0.27, 0.33]" in with_intervals


def test_level_4_without_a_significant_mediation_shows_no_table() -> None:
    text = part_of(printed(make_report(Shape(significant=0.0))), "Level 4")
    assert "0 of 36 mediations are significant" in text
    assert "TE" not in text


HOSTILE = (("[/red]", ("[bold]a[/bold]", "b\x1b[31mRED")), ("x" * 300, ("line\nbreak", "日本語の列名" * 20)))


@pytest.mark.parametrize("width", [60, 120])
def test_names_are_literal_and_steer_no_terminal(width: int) -> None:
    shape = Shape(groups=HOSTILE, layers=(("decoder.[red]1\x1b[0m", 8),), circuit=2)
    text = printed(make_report(shape), width)
    assert "\x1b" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= width
    squeezed = re.sub(r"\s", "", text)
    for name in ("[/red]", "[bold]a[/bold]", r"b\x1b[31mRED", r"line\nbreak", r"decoder.[red]1\x1b[0m"):
        assert squeezed.count(name) > 1, name
    assert "x" * 60 not in squeezed


def test_without_level_2_scores_and_latents_say_only_what_is_known() -> None:
    text = printed(make_report(Shape(levels=(1, 3, 4))))
    assert "specificity" not in part_of(text, "Scores")
    assert "MSE" in part_of(text, "Scores")
    assert re.search(r"^ z3 +0\.001 +inactive", part_of(text, "Latents"), re.MULTILINE)
    assert "drives" not in text
    assert "Effect of each latent" not in text
    assert "level 2 latent perturbation (not asked for)" in flat(text)


def test_undefined_latents_are_dashes_everywhere() -> None:
    report = make_report(Shape(undefined=True))
    text = printed(report)
    assert re.search(r"^ CES, all latents +- ", part_of(text, "Scores"), re.MULTILINE)
    assert "Effect of each latent" not in text
    lines = verdict(report.reconstruction, report.latents, report.scores)
    assert len(lines) == 2
    assert lines[1] == "3 of 4 latents are active; z3 carries nothing."


def test_verdict_and_warnings_without_level_2() -> None:
    report = make_report(Shape(levels=(1,)))
    lines = verdict(report.reconstruction, report.latents, None)
    assert [line.split(":")[0] for line in lines] == [
        "The model reconstructs",
        "3 of 4 latents are active; z3 carries nothing.",
    ]
    found = audit_warnings(report.model, report.data, report.reconstruction, report.latents, None, report.twin)
    assert found == ()


def sentences(report: AuditReport) -> tuple[str, ...]:
    return level_sentences(report.latents, report.paths, report.mediation)


def test_sentences_on_circuits_and_mediation() -> None:
    # decoder.3 is narrower in units but does not reach the share; the strongest mediation between two groups is named
    assert sentences(make_report()) == (
        "z0's effect runs through 41 of 256 units of decoder.1 (92% of it).",
        "Of 36 mediations 9 are significant: most of what body does to money passes through z0 (64%).",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"levels": (1, 2)}, ()),
        ({"levels": (4,), "significant": 0.0}, ("Of 36 mediations none is significant after correction.",)),
        ({"undefined": True}, ("Of 36 mediations 9 are significant.",)),
        ({"levels": (3,), "layers": (("decoder.3", 64),)}, ()),
    ],
)
def test_sentences_say_no_more_than_is_known(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert sentences(make_report(replace(Shape(), **changes))) == expected


def test_sentence_takes_the_strongest_latent_that_has_a_whole_circuit_and_its_narrowest_layer() -> None:
    report = make_report(Shape(layers=(("wide", 100), ("narrow", 400))))
    assert sentences(report)[0].startswith("z0's effect runs through 41 of 400 units of narrow")
    assert report.paths is not None
    first, *others = report.paths.decoder
    broken = first.model_copy(
        update={"circuits": tuple(c.model_copy(update={"complete": False}) for c in first.circuits)}
    )
    paths = report.paths.model_copy(update={"decoder": (broken, *others)})
    assert level_sentences(report.latents, paths, None)[0].startswith("z1's effect")


def test_a_single_significant_mediation_within_one_group_is_told_in_the_singular() -> None:
    report = make_report(Shape(significant=1 / 36))
    assert (
        sentences(report)[1]
        == "Of 36 mediations 1 is significant: most of what body does to body passes through z0 (90%)."
    )


def test_report_with_undefined_proportion_keeps_its_row() -> None:
    report = make_report()
    assert report.mediation is not None
    first, *others = report.mediation.entries
    entries = (first.model_copy(update={"proportion_mediated": UNDEFINED}), *others)
    changed = report.model_copy(update={"mediation": report.mediation.model_copy(update={"entries": entries})})
    text = part_of(printed(changed), "Level 4")
    assert f"9 of 36 mediations are significant after correction (Holm-Sidak, p < 0.05); {N} rows" in text
    assert re.search(r"^ body z0 +body +- ", text, re.MULTILINE)


def test_a_report_read_back_from_its_json_prints_the_same_rows(tmp_path: Path) -> None:
    """JSON sorts names; rows keep the order of the model's dimensions, latents their numbers."""
    report = make_report(Shape(latents=12))
    report.to_json(tmp_path / "a.json")
    assert printed(AuditReport.from_json(tmp_path / "a.json")) == printed(report)


@pytest.mark.parametrize(
    ("proportion", "told"),
    [
        (0.8, "most of what money does to body passes through z1 (80%)."),
        (0.4, "part of what money does to body passes through z1 (40%)."),
        (1.1, "all of what money does to body passes through z1 (110%; the rest works against it)."),
    ],
)
def test_the_mediation_sentence_takes_the_pair_of_largest_effect_and_its_strongest_mediator(
    proportion: float, told: str
) -> None:
    report = make_report(Shape(significant=1.0))
    assert report.mediation is not None
    entries = []
    for entry in report.mediation.entries:
        pair = (entry.treatment, entry.outcome) == ("money", "body")
        share = proportion if entry.mediator == "z1" else 0.3
        changes = {"te": Estimate(2.0, None, None, N), "proportion_mediated": Estimate(share, None, None, N)}
        entries.append(entry.model_copy(update=changes) if pair else entry)
    changed = report.mediation.model_copy(update={"entries": tuple(entries)})
    (sentence,) = level_sentences(report.latents, None, changed)
    assert sentence == f"Of 36 mediations 36 are significant: {told}"


def test_circuits_of_one_side_only_have_no_empty_table() -> None:
    text = part_of(printed(make_report(Shape(layers=()))), "Level 3, circuits")
    assert "latent" not in text.splitlines()[1]
    assert text.splitlines()[1].split()[:2] == ["feature", "group"]
    neither = part_of(printed(make_report(Shape(layers=(), encoder=()))), "Level 3, circuits")
    assert "none was looked for" in neither
    assert "faithfulness" not in neither


def test_strips_cut_rows_with_least_and_keep_figures_under_their_latents() -> None:
    values = [(f"列{number}" if number % 2 else f"row {number}", [number / 50, 0.333]) for number in range(50)]
    lines = matrix_strip(values, ["z3", "z0"], 60, noun="group").plain.splitlines()
    assert lines[-1] == "not shown: 10 groups with less"
    assert lines[1].startswith("row 10 ")
    assert len(lines) == 42
    ends = {cell_len(line.partition(" .33")[0]) for line in lines[1:-1]}
    assert len(ends) == 1
    narrow = matrix_strip(values, [f"z{i}" for i in range(20)], 20, noun="group", unicode=False).plain.splitlines()
    assert narrow[-1] == "not shown: 18 weaker latents, 10 groups with less"


def test_html_holds_the_same_sections() -> None:
    html = to_html(make_report(Shape(groups=HOSTILE, layers=(("decoder.1", 8),), circuit=2)))
    assert "Circuit map" in html
    assert "[/red]" in html
    assert "<script" not in html
