"""Reports that were edited, merged or damaged: every number that cannot be is refused with its place, no honest report is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import Shape, make_report

from circuitprobe.errors import CircuitProbeError
from circuitprobe.gate.baseline_file import details_path, read_snapshot, write_baseline
from circuitprobe.gate.snapshot import snapshot_of
from circuitprobe.report import AuditReport

AUDITS = sorted((Path(__file__).parents[2] / "examples" / "audits").glob("*.json"))
ESTIMATE = {"value", "low", "high", "n", "null"}
FREE = {"unit_axis"}
"""Integers that may be negative."""


def read(content: dict[str, Any]) -> AuditReport:
    return AuditReport.of_json(json.dumps(content), "audit.json")


def refused(content: dict[str, Any], *words: str) -> None:
    with pytest.raises(CircuitProbeError) as error:
        read(content)
    assert error.value.exit_code == 2
    for word in words:
        assert word in str(error.value)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every number."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(value, (*path, key))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path


def kinds(content: dict[str, Any], most: int) -> list[tuple[Any, ...]]:
    """So many numbers of every field: entries of lists and of mappings are alike, one or two of them stand for all."""
    seen: dict[tuple[Any, ...], int] = {}
    chosen = []
    for path in places(content):
        kind = (*(key for key in path if not isinstance(key, int) and key in NAMES), len(path))
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= most:
            chosen.append(path)
    return chosen


def at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def changed(content: dict[str, Any], path: tuple[Any, ...], value: object) -> dict[str, Any]:
    made = copy.deepcopy(content)
    at(made, path[:-1])[path[-1]] = value
    return made


NAMES = {
    name
    for part in json.loads(json.dumps(AuditReport.model_json_schema()))["$defs"].values()
    for name in part.get("properties", ())
} | set(AuditReport.model_fields)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """Small, with every level."""
    shape = Shape(
        latents=2, groups=(("a", ("b", "c")), ("d", ("e",))), layers=(("decoder.1", 4),), encoder=(("encoder.1", 4),), circuit=2
    )  # fmt: skip
    return json.loads(make_report(shape).to_json())


@pytest.mark.parametrize("path", AUDITS, ids=lambda path: path.stem)
def test_the_examples_are_read(path: Path) -> None:
    assert AuditReport.from_json(path).latents


@pytest.mark.parametrize(
    "shape", [Shape(), Shape(undefined=True), Shape(levels=(1, 3, 4)), Shape(latents=1), Shape(variance=False), Shape(layers=())]
)  # fmt: skip
def test_reports_of_other_shapes_are_read(shape: Shape) -> None:
    report = make_report(shape)
    assert AuditReport.of_json(report.to_json(), "x") == AuditReport.of_json(report.to_json(), "y")


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", '"0.5"', "true", "[]", "{}"])
def test_no_number_is_a_word_or_not_finite(whole: dict[str, Any], token: str) -> None:
    for path in kinds(whole, 1):
        text = json.dumps(changed(whole, path, "@@")).replace('"@@"', token)
        # Literal[1, 2, 3, 4] takes true for 1
        if (token, path[-1]) != ("true", "level"):
            with pytest.raises(CircuitProbeError):
                AuditReport.of_json(text, "audit.json")


def test_no_count_is_negative(whole: dict[str, Any]) -> None:
    tried = 0
    for path in kinds(whole, 2):
        if isinstance(at(whole, path), int) and path[-1] not in FREE:
            refused(changed(whole, path, -5))
            tried += 1
    assert tried > 15


def test_every_value_lies_within_its_interval(whole: dict[str, Any]) -> None:
    tried = 0
    for path in kinds(whole, 2):
        estimate = at(whole, path[:-1])
        if path[-1] != "value" or set(estimate) != ESTIMATE or estimate["low"] is None:
            continue
        room = 0.05 * (estimate["high"] - estimate["low"]) + 1e-6 * max(1.0, abs(estimate["value"]))
        for change in (
            {"value": estimate["high"] + room},
            {"value": estimate["low"] - room},
            {"low": estimate["high"] + room},
            {"high": estimate["low"] - room},
            {"low": None},
            {"high": None},
            {"value": None},
            {"n": 0},
            {"n": -1},
            {"n": 10**9},
        ):
            made = changed(whole, path[:-1], {**estimate, **change})
            refused(made, path[-2] if isinstance(path[-2], str) else "")
        tried += 1
    assert tried > 20


def test_bounded_numbers_keep_to_their_bounds(whole: dict[str, Any]) -> None:
    tried = 0
    shares = {
        "specificity", "disentanglement", "on_support_rate", "on_support_rate_prior", "fgd", "fgc", "modularity", "auc", "accuracy",
    }  # fmt: skip
    for path in kinds(whole, 2):
        if path[-1] in ("p", "p_corrected", "fgd_p", "jaccard"):
            refused(changed(whole, path, 1.5))
            refused(changed(whole, path, -0.5))
            tried += 1
        elif path[-1] == "value" and path[-2] in shares:
            for value in (1.5, -0.5):
                made = {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 10, "null": None}
                refused(changed(whole, path[:-1], made), str(path[-2]))
            tried += 1
    assert tried > 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["latents"].pop(), "model.latents"),
        (lambda c: c["latents"].append(c["latents"][0]), "latents has"),
        (lambda c: c["latents"][1].update(name=c["latents"][0]["name"]), "twice"),
        (lambda c: c["latents"][0]["effects"].popitem(), "latents[0].effects lacks"),
        (lambda c: c["latents"][0]["effects"].update(other=next(iter(c["latents"][0]["effects"].values()))), "'other'"),
        (lambda c: c["data"]["features"].pop(), "data.groups has"),
        (lambda c: c["data"]["features"].append(c["data"]["features"][0]), "twice"),
        (lambda c: c["data"]["groups"].popitem(), "data.groups"),
        (lambda c: c["data"].update(rows_audited=c["data"]["rows_total"] + 1), "data.rows_audited"),
        (lambda c: c["data"].update(rows_audited=0), "data.rows_audited"),
        (lambda c: c["scores"].update(active_latents=c["scores"]["active_latents"] + 1), "scores.active_latents"),
        (lambda c: c["scores"]["completeness"].popitem(), "scores.completeness"),
        (lambda c: c["reconstruction"]["features"].popitem(), "reconstruction.features"),
        (lambda c: c["inputs"]["features"].popitem(), "inputs.features"),
        (lambda c: c["mediation"]["entries"][0].update(mediator="z99"), "z99"),
        (lambda c: next(iter(c["latents"][0]["response"].values()))["low"].append(0.0), "response"),
    ],
)  # fmt: skip
def test_parts_that_do_not_belong_together(whole: dict[str, Any], change: Callable[[Any], object], words: str) -> None:
    made = copy.deepcopy(whole)
    change(made)
    refused(made, words)


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return json.loads(AUDITS[-1].read_text(encoding="utf-8"))


def test_figures_are_those_of_their_resamples(example: dict[str, Any]) -> None:
    scores = example["scores"]
    for name in ("ces", "specificity", "fgd", "modularity"):
        own = scores[name]
        width = own["high"] - own["low"]
        for change in (
            {"value": own["value"] + 0.1 * width},
            {"low": own["low"] - width, "high": own["high"] + width},
            {"low": own["low"] + 0.2 * width, "high": own["high"] - 0.2 * width},
        ):
            refused(changed(example, ("scores", name), {**own, **change}), f"resamples.figures['{name}']")
    packed = example["resamples"]["figures"]["ces"]
    refused(changed(example, ("resamples", "figures", "ces", "low"), packed["high"] + 1), "resamples.figures['ces']")
    refused(changed(example, ("resamples", "figures", "ces", "codes"), packed["codes"][:-5]), "ces are damaged")
    refused(changed(example, ("resamples", "count"), 999), "damaged")
    refused(changed(example, ("resamples", "count"), 0), "resamples.count")
    refused(changed(example, ("resamples", "figures"), {"other": packed}), "'other'")


def test_a_baseline_is_checked_as_an_audit_is(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    for audit in AUDITS:
        write_baseline(snapshot_of(AuditReport.from_json(audit)), path)
        assert read_snapshot(path).compared.latents
    text, details = path.read_text(encoding="utf-8"), details_path(path)
    assert details.exists()
    content = json.loads(text)
    tried = 0
    for place in list(places(content["compared"]))[::11]:
        part = at(content["compared"], place[:-1])
        if place[-1] == "n" and part["low"] is not None:
            room = 0.05 * (part["high"] - part["low"]) + 1e-3
            change = ({"value": part["high"] + room}, {"low": part["high"] + room}, {"n": -1}, {"n": 10**9})[tried % 4]
            made = changed(content, ("compared", *place[:-1]), {**part, **change})
            path.write_text(json.dumps(made), encoding="utf-8")
            with pytest.raises(CircuitProbeError):
                read_snapshot(path)
            tried += 1
    assert tried > 15
