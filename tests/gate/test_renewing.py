"""``--circuitprobe-update``: baselines are written, what changed is told, and nothing is lost on the way."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest
from report.builders import Shape, make_report

import circuitprobe as cp
from circuitprobe.gate.asserting import Audited, assert_no_regression
from circuitprobe.gate.baseline_file import baseline_text, read_snapshot
from circuitprobe.gate.renewing import current, renewing
from circuitprobe.gate.snapshot import snapshot_of
from circuitprobe.report import AuditReport
from gate.changed_reports import CES, estimate, no_warning, with_latent

LATENTS_RENAMED = {"z0": "z2", "z2": "z0"}


def renewed(*audits: Audited | AuditReport, baseline: str | Path = "baseline.json") -> list[str]:
    told: list[str] = []
    with renewing(told.append):
        for audit in audits:
            assert_no_regression(audit, baseline, gates=CES)
    return told


def test_a_new_baseline_is_written_and_then_passes(
    audit: Audited, report: AuditReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert renewed(audit, baseline=tmp_path / "baseline.json") == ["baseline.json: a new baseline"]
    assert Path("baseline.json").read_text() == baseline_text(snapshot_of(report))
    no_warning(lambda: assert_no_regression(audit, "baseline.json", gates=CES))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baseline.details", "baseline.json"]


def test_a_plain_report_renews_too(report: AuditReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert renewed(report) == ["baseline.json: a new baseline"]


def test_an_unchanged_baseline_is_not_touched(audit: Audited, baseline: Path) -> None:
    os.utime(baseline, ns=(1, 1))
    before = baseline.read_bytes()
    assert renewed(audit) == ["baseline.json: unchanged"]
    assert baseline.read_bytes() == before
    assert baseline.stat().st_mtime_ns == 1


def test_what_changed_is_told_with_both_figures(report: AuditReport, baseline: Path) -> None:
    worse = with_latent(report, "z1", ces=estimate(0.05))
    told = renewed(worse)
    assert told == [
        f"baseline.json: 1 of {len(told_rows(report))} figures differ from the old baseline beyond chance",
        "  ces of z1: 0.2 [0.18, 0.22] -> 0.05 [0.04, 0.06]",
    ]
    assert read_snapshot(baseline).compared.latents["z1"].figures["ces"].value == pytest.approx(0.05)


def told_rows(report: AuditReport) -> tuple[object, ...]:
    return cp.compare((report, report))


def test_latents_that_changed_places_are_told_with_both_names(report: AuditReport, baseline: Path) -> None:
    latents = {entry.name: entry for entry in report.latents}
    other = [latents[LATENTS_RENAMED.get(name, name)].model_copy(update={"name": name}) for name in latents]
    other[0] = other[0].model_copy(update={"ces": estimate(0.9)})
    told = renewed(report.model_copy(update={"latents": tuple(other)}))
    assert told[1:] == ["  ces of z2 (now z0): 0.133 [0.12, 0.147] -> 0.9 [0.89, 0.91]"]


def test_many_changes_are_counted(report: AuditReport, baseline: Path) -> None:
    names = ("ces", "specificity", "disentanglement", "kl", "on_support_rate")
    every = report.model_copy(
        update={
            "latents": tuple(
                entry.model_copy(update=dict.fromkeys(names, estimate(5.0 + place)))
                for place, entry in enumerate(report.latents)
            ),
            "scores": report.scores.model_copy(
                update={
                    name: estimate(9.0)
                    for name in ("fgd", "fgc", "ces", "modularity", "specificity", "inverse_entropy")
                }
            ),
        }
    )
    told = renewed(every)
    assert len(told) == 22
    changed = int(told[0].split(": ")[1].split(" of ")[0])
    assert changed >= 21
    assert told[-1] == f"  and {changed - 20} more"


def test_audits_that_cannot_be_compared_are_renewed_and_told(baseline: Path) -> None:
    other = make_report(Shape(groups=(("body", ("height", "age")),)))
    (line,) = renewed(other)
    assert line.startswith(
        "baseline.json: a new baseline; the old one: the audits are not comparable: features: age against"
    )
    assert baseline.read_text() == baseline_text(snapshot_of(other))


def damage(path: Path, how: str) -> None:
    if how == "no JSON":
        path.write_text(path.read_text()[:300])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no text":
        path.write_bytes(b"\xff\xfe\x00")
    elif how == "another file":
        path.write_text('{"name": "package.json"}')
    elif how == "no details":
        path.with_suffix(".details").unlink()
    elif how == "details of another":
        path.with_suffix(".details").write_bytes(gzip.compress(b"{}"))
    else:
        packed = {"value": 0.1, "low": 0.0, "high": 1.0, "codes": "~"}
        details = json.loads(gzip.decompress(path.with_suffix(".details").read_bytes()))
        text = json.dumps({**details, "resamples": {"count": 10, "figures": {"mse": packed}}}).encode()
        path.with_suffix(".details").write_bytes(gzip.compress(text))
        content = json.loads(path.read_text()) | {"details_sha256": hashlib.sha256(text).hexdigest()}
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "how", ["no JSON", "empty", "no text", "another file", "no details", "details of another", "damaged resamples"]
)
def test_a_damaged_baseline_is_replaced_and_told(audit: Audited, baseline: Path, how: str) -> None:
    beside = baseline.with_suffix(".details")
    whole = baseline.read_bytes(), beside.read_bytes()
    damage(baseline, how)
    (line,) = renewed(audit)
    assert line.startswith("baseline.json: a new baseline; the old one: ")
    assert (baseline.read_bytes(), beside.read_bytes()) == whole


def test_a_write_that_fails_leaves_the_old_baseline_whole_and_says_nothing(
    report: AuditReport, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, told = baseline.read_bytes(), list[str]()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    worse = with_latent(report, "z1", ces=estimate(0.05))
    with renewing(told.append), pytest.raises(cp.UsageError, match="No space left on device"):
        assert_no_regression(worse, baseline)
    assert baseline.read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["baseline.details", "baseline.json"]
    assert told == []


def test_an_audit_without_level_2_replaces_nothing(baseline: Path) -> None:
    before = baseline.read_bytes()
    with pytest.raises(cp.UsageError, match=r"no level 2 to write into baseline.json"):
        renewed(make_report(Shape(levels=(1,))))
    assert baseline.read_bytes() == before


def test_a_second_audit_in_the_same_run_is_compared_not_written(report: AuditReport, baseline: Path) -> None:
    worse = with_latent(report, "z1", ces=estimate(0.05))
    with pytest.raises(AssertionError, match=r"ces of z1 went from 0.2"):
        renewed(report, worse)
    with pytest.raises(AssertionError, match=r"ces of z1 went from 0.2"):
        renewed(report, worse, baseline=baseline.resolve())
    assert read_snapshot(baseline).compared.latents["z1"].figures["ces"].value == pytest.approx(0.2)


def test_runs_within_runs_have_baselines_of_their_own(report: AuditReport, baseline: Path) -> None:
    worse = with_latent(report, "z1", ces=estimate(0.05))
    told: list[str] = []
    with renewing(told.append):
        assert_no_regression(report, baseline)
        assert len(renewed(worse)) == 2
        with pytest.raises(AssertionError, match="ces of z0"):
            assert_no_regression(with_latent(report, "z0", ces=estimate(0.01)), baseline, gates=CES)
    assert told == ["baseline.json: unchanged"]
    assert current() is None
    with pytest.raises(AssertionError, match="ces of z0"):
        assert_no_regression(with_latent(worse, "z0", ces=estimate(0.01)), baseline, gates=CES)
