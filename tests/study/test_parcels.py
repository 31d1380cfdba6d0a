"""What is sent with a job to a machine that has none of its files; no cluster is needed for this."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from circuitprobe.errors import UsageError
from circuitprobe.study import parcels
from circuitprobe.study.executors import executor_named
from circuitprobe.study.jobs import AuditJob, AuditOptions, ModelOptions, StudyJob, TrainingOptions
from circuitprobe.study.parcels import sent, unpack

AUDIT = AuditOptions(
    rows=10, seed=0, levels=(2,), intervention_values=2, resamples=10, permutations=10, truth_rows=0
)  # fmt: skip


def job(model: str, data: str, **options: object) -> AuditJob:
    return AuditJob(label="m", model=model, data=data, options=ModelOptions.model_validate(options), audit=AUDIT)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    for name in ("deep/vae.pt", "table.csv", "g.toml", "s.toml", "spec.toml", "code/make.py", "code/layers.py", "t.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(f"content of {name}", encoding="utf-8")
    return tmp_path


def unpacked(given: AuditJob, folder: Path) -> tuple[AuditJob, dict[str, str]]:
    moved, packed = sent(given)
    assert isinstance(moved, AuditJob)
    for part in packed:
        unpack(part.read(), folder / part.place)
    found = {
        path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return moved, found


def test_every_file_is_sent_and_found_under_its_own_name(files: Path) -> None:
    given = job(
        "deep/vae.pt", str(files / "table.csv"), groups="g.toml", schema_file="s.toml", spec="spec.toml",
        factory="code/make.py:build", imports=("t.py", "code/make.py"), target="label",
    )  # fmt: skip
    moved, found = unpacked(given, files / "there")
    assert found == {
        "model/vae.pt": "content of deep/vae.pt",
        "data/table.csv": "content of table.csv",
        "groups/g.toml": "content of g.toml",
        "schema/s.toml": "content of s.toml",
        "spec/spec.toml": "content of spec.toml",
        "factory/make.py": "content of code/make.py",
        # importable for make.py, as it is where it comes from
        "factory/layers.py": "content of code/layers.py",
        "imports/0/t.py": "content of t.py",
        "imports/1/make.py": "content of code/make.py",
        "imports/1/layers.py": "content of code/layers.py",
    }
    how = moved.options
    assert (moved.model, moved.data) == ("model/vae.pt", "data/table.csv")
    assert (how.groups, how.schema_file, how.spec) == ("groups/g.toml", "schema/s.toml", "spec/spec.toml")
    assert (how.factory, how.imports) == ("factory/make.py:build", ("imports/0/t.py", "imports/1/make.py"))
    assert (how.target, moved.audit, moved.name) == ("label", AUDIT, "m")


def test_a_folder_is_sent_whole_under_its_own_name(files: Path) -> None:
    Path("deep/more").mkdir()
    Path("deep/more/config.json").write_text("{}", encoding="utf-8")
    moved, found = unpacked(job("deep", "table.csv"), files / "there")
    assert moved.model == "model/deep"
    assert found["model/deep/vae.pt"] == "content of deep/vae.pt"
    assert found["model/deep/more/config.json"] == "{}"


def test_what_is_no_file_here_stays_as_it_was_typed(files: Path) -> None:
    moved, found = unpacked(job("gone.pt", "adult", factory="package.module:build", groups=None), files / "there")
    assert found == {}
    assert (moved.model, moved.data, moved.options.factory) == ("gone.pt", "adult", "package.module:build")


def test_a_run_of_a_study_takes_no_files() -> None:
    how = TrainingOptions(steps=1, batch=1, lr=0.1, patience=1, latents=1, hidden=(), rows=None, strength=None)
    study = StudyJob(arch="vae", benchmark="adult", seed=0, training=how, audit=AUDIT)
    assert sent(study) == (study, ())


def test_too_many_bytes_are_refused_with_both_figures(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parcels.LIMIT == 512 * 1024 * 1024
    with Path("table.csv").open("wb") as table:
        # a file of holes: it takes no room
        table.truncate(parcels.LIMIT)
    with pytest.raises(UsageError, match="the files of m are 512 MiB together") as refused:
        sent(job("deep/vae.pt", "table.csv"))
    assert "512 MiB" in refused.value.expected
    with Path("table.csv").open("wb") as table:
        table.truncate(parcels.LIMIT - Path("deep/vae.pt").stat().st_size)
    sent(job("deep/vae.pt", "table.csv"))


def test_only_models_are_thought_to_be_one_jobs_own(files: Path) -> None:
    _, packed = sent(job("deep/vae.pt", "table.csv", groups="g.toml"))
    assert {part.place: part.shared for part in packed} == {"model": False, "data": True, "groups": True}


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Ray is not installed") as refused:
        executor_named("ray", 2, None)()
    assert "pip install 'circuitprobe[ray]'" in refused.value.fix
    assert refused.value.exit_code == 2
