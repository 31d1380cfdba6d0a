"""A study's report from its folder, from its archive, and what is written beside."""

from __future__ import annotations

import json
import tarfile
import textwrap
from pathlib import Path

import jsonschema
import pytest
from study.hand_study import FAILED, GRID, LEFT_OUT, hand_study, scores_of

from circuitprobe import study
from circuitprobe.errors import CircuitProbeError, UsageError
from circuitprobe.report import AuditReport
from circuitprobe.study.gathered import gather
from circuitprobe.study.telling.model import json_schema

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "whole"
    hand_study(folder)
    return folder


@pytest.fixture
def part(tmp_path: Path) -> Path:
    hand_study(tmp_path / "part", whole=False)
    return tmp_path / "part"


def test_figures_are_those_of_the_audits(whole: Path) -> None:
    gathered = gather(whole)
    jobs = {(job.arch, job.benchmark, job.seed): job for job in gathered.plan.jobs()}
    assert len(gathered.records) == 8
    for record in gathered.records:
        for name, value in scores_of(jobs[record.arch, record.benchmark, record.seed]).items():
            assert record.figures[name] == pytest.approx(value, abs=1e-9)  # type: ignore[index]
    # (0.3 + 0.32) / (0.6 + 0.62): tables over images
    assert study.report(whole).findings.modularity.ratio.ratio.value == pytest.approx(0.31 / 0.61, abs=1e-9)


def test_what_has_not_ended_is_named(part: Path) -> None:
    runs = study.report(part).runs
    assert (runs.planned, runs.finished, runs.failed, runs.missing) == (8, 6, 1, 1)
    assert runs.failures[0].error == "the loss is nan"
    assert gather(part).missing == (LEFT_OUT,)
    assert list(gather(part).failed) == [FAILED]


def test_an_archive_gives_the_same_report(whole: Path, part: Path, tmp_path: Path) -> None:
    for folder in (whole, part):
        study.write_archive(folder, tmp_path / "a.tar.xz")
        assert study.report(tmp_path / "a.tar.xz").to_json() == study.report(folder).to_json()


def test_an_archive_is_small_and_the_same_twice(whole: Path, tmp_path: Path) -> None:
    study.write_archive(whole, tmp_path / "a.tar.xz")
    study.write_archive(tmp_path / "a.tar.xz", tmp_path / "b.tar.xz")
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.xz") as packed:
        names = packed.getnames()
        member = packed.extractfile("runs/dsprites-vae-0/audit.json")
        assert member is not None
        audit = AuditReport.of_json(member.read(), "audit.json")
        assert all((entry.mtime, entry.uid, entry.uname) == (0, 0, "") for entry in packed)
    assert len(names) == 1 + 2 * 8
    assert not any(name.endswith(".pt") for name in names)
    assert audit.resamples is None
    whole_audit = AuditReport.from_json(whole / "runs" / "dsprites-vae-0" / "audit.json")
    assert whole_audit.resamples is not None
    assert audit == whole_audit.model_copy(update={"resamples": None})


def test_everything_is_written(whole: Path, tmp_path: Path) -> None:
    outputs = study.ReportOutputs(
        tmp_path / "r.json", tmp_path / "docs" / "r.md", tmp_path / "docs" / "pictures", tmp_path / "s.tar.xz"
    )
    (tmp_path / "docs").mkdir()
    made = study.report(whole, outputs)
    assert study.StudyReport.from_json(tmp_path / "r.json").to_json() == made.to_json()
    text = (tmp_path / "docs" / "r.md").read_text()
    for name in ("modularity", "ces_mse", "specificity_auc"):
        assert f"](pictures/{name}.svg)" in text
        assert (tmp_path / "docs" / "pictures" / f"{name}.svg").read_text().startswith("<?xml")
    assert study.report(tmp_path / "s.tar.xz") == made


def test_the_report_keeps_to_its_schema(whole: Path) -> None:
    schema = json.loads((DOCS / "study-report-schema.json").read_text())
    assert schema == json_schema()
    jsonschema.validate(json.loads(study.report(whole).to_json()), schema)


@pytest.mark.parametrize("output", ["json", "markdown", "archive"])
def test_no_output_is_written_where_one_cannot_be(whole: Path, tmp_path: Path, output: str) -> None:
    places = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md", "archive": tmp_path / "s.tar.xz"}
    places[output] = tmp_path / "no" / "such" / "folder"
    with pytest.raises(UsageError, match="cannot write"):
        study.report(whole, study.ReportOutputs(**places))
    assert not list(tmp_path.iterdir())


def test_one_place_for_two_outputs_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named for two outputs"):
        study.report(whole, study.ReportOutputs(json=tmp_path / "r", markdown=tmp_path / "." / "r"))


def test_an_archive_does_not_replace_what_it_is_made_of(whole: Path, tmp_path: Path) -> None:
    study.write_archive(whole, tmp_path / "a.tar.xz")
    with pytest.raises(UsageError, match="read in the same run"):
        study.report(tmp_path / "a.tar.xz", study.ReportOutputs(archive=tmp_path / "a.tar.xz"))


def damaged(folder: Path, how: str) -> Path:
    """A study's folder with something wrong."""
    run = folder / "runs" / "dsprites-vae-0"
    if how == "no plan":
        (folder / "study.toml").unlink()
    elif how == "audit gone":
        (run / "audit.json").unlink()
    elif how == "audit cut off":
        (run / "audit.json").write_text((run / "audit.json").read_text()[:500])
    elif how == "record cut off":
        (run / "run.json").write_text('{"name": "dsp')
    elif how == "other steps":
        plan = (folder / "study.toml").read_text()
        (folder / "study.toml").write_text(plan.replace("dsprites = 10", "dsprites = 11"))
    elif how == "no run":
        for path in (folder / "runs").iterdir():
            path.rename(folder / f".{path.name}")
    return folder


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no plan", "has no study.toml"),
        ("audit gone", "dsprites-vae-0 has no audit.json"),
        ("audit cut off", "dsprites-vae-0/audit.json is not a report"),
        ("record cut off", "dsprites-vae-0/run.json is damaged"),
        ("other steps", "dsprites-vae-0 was made with other settings"),
        ("no run", "no run of"),
    ],
)
def test_damage_is_told(part: Path, how: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        study.report(damaged(part, how))


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("nothing")
    for path, said in ((tmp_path / "none", "there is no study"), (tmp_path / "text.txt", "no archive of a study")):
        with pytest.raises(CircuitProbeError, match=said):
            study.report(path)


def test_seeds_added_to_the_grid_leave_what_is_there_as_it_is(part: Path) -> None:
    plan = study.read_plan(part / "study.toml")
    grown = plan.model_copy(update={"grid": GRID.model_copy(update={"seeds": (0, 1, 2)})})
    study.write_plan(grown, part / "study.toml")
    runs = study.report(part).runs
    assert (runs.planned, runs.finished, runs.missing) == (12, 6, 5)


def test_a_run_that_failed_with_other_settings_is_missing(part: Path) -> None:
    record = part / "failed" / FAILED / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "digest": "0" * 64}))
    runs = study.report(part).runs
    assert (runs.failed, runs.missing) == (0, 2)


def test_the_example_of_the_package_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # every run is there already, so that no process is begun
    monkeypatch.chdir(tmp_path)
    assert study.__doc__ is not None
    example = textwrap.dedent(study.__doc__.split("::", 1)[1])
    written = hand_study(tmp_path / "folder")
    monkeypatch.setattr(study, "default_plan", lambda grid: written)
    names: dict[str, object] = {}
    exec(example, names)  # noqa: S102 - that is the test
    assert isinstance(names["report"], study.StudyReport)
