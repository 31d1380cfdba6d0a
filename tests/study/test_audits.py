"""Jobs from a user's models: names of folders, and what makes an audit another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_jobs import AUDIT

from circuitprobe.errors import UsageError
from circuitprobe.study.audits import audit_jobs, fingerprint, labels
from circuitprobe.study.jobs import AuditJob, ModelOptions


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "model.pt").write_text(f"weights {place}", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (tmp_path / "code.py").write_text("def make(): ...\n", encoding="utf-8")
    (tmp_path / "groups.toml").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs(
    options: ModelOptions | None = None, data: str = "rows.csv", models: tuple[str, ...] = ("a/model.pt", "b/model.pt")
) -> tuple[AuditJob, ...]:
    return audit_jobs(models, data, options or ModelOptions(), AUDIT)  # fmt: skip


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["x/one.pt", "x/two.pt"], ["one.pt", "two.pt"]),
        (["a/model.pt", "b/model.pt"], ["a-model.pt", "b-model.pt"]),
        (["1/a/m.pt", "2/a/m.pt", "2/b/m.pt"], ["1-a-m.pt", "2-a-m.pt", "b-m.pt"]),
        (["a/m.pt", "b/m.pt", "c/n.pt"], ["a-m.pt", "b-m.pt", "n.pt"]),
        (["my model (final).pt"], ["my_model_final_.pt"]),
        (["größe.pt"], ["größe.pt"]),
        (["..hidden.pt"], ["hidden.pt"]),
        (["x/Model.pt", "y/model.pt"], ["x-Model.pt", "y-model.pt"]),
        (["x/a b.pt", "x/a_b.pt"], ["1-a_b.pt", "2-a_b.pt"]),
        (["[red]x.pt"], ["_red_x.pt"]),
    ],
)
def test_labels(models: list[str], expected: list[str]) -> None:
    assert list(labels(models)) == expected


def test_labels_fit_a_folders_name() -> None:
    deep = "/".join(["d" * 60] * 4)
    found = labels([f"{deep}/x/{'m' * 100}.pt", f"{deep}/y/{'m' * 100}.pt"])
    assert found == (f"x-{'m' * 100}.pt", f"y-{'m' * 100}.pt")
    found = labels([f"x/{deep}/m.pt", f"y/{deep}/m.pt"])
    assert found == ("1-m.pt", "2-m.pt")


@pytest.mark.parametrize("other", ["a/model.pt", "a/../a/model.pt", "./a/model.pt"])
def test_a_model_named_twice(folder: Path, other: str) -> None:
    with pytest.raises(UsageError, match=r"model\.pt is named twice"):
        jobs(models=("a/model.pt", other))


def test_jobs_hold_whole_paths_and_can_be_carried_out_anywhere(folder: Path) -> None:
    options = ModelOptions(factory="code.py:make", groups="groups.toml", imports=("code.py",))
    first, second = jobs(options)
    assert (first.label, second.label) == ("a-model.pt", "b-model.pt")
    assert first.model == str(folder / "a" / "model.pt")
    assert first.data == str(folder / "rows.csv")
    assert first.options.factory == f"{folder / 'code.py'}:make"
    assert first.options.groups == str(folder / "groups.toml")
    assert first.options.imports == (str(folder / "code.py"),)
    assert jobs(ModelOptions(factory="package.models:make"))[0].options.factory == "package.models:make"


@pytest.mark.parametrize("changed", ["a/model.pt", "rows.csv", "code.py", "groups.toml"])
def test_what_has_changed_is_another_job(folder: Path, changed: str) -> None:
    options = ModelOptions(factory="code.py:make", groups="groups.toml")
    before = [job.digest for job in jobs(options)]
    assert [job.digest for job in jobs(options)] == before
    os.utime(changed, (1, 1))
    assert [job.digest for job in jobs(options)] == before, "a file is as its content"
    with Path(changed).open("a", encoding="utf-8") as handle:
        handle.write("# more\n")
    after = [job.digest for job in jobs(options)]
    assert after[0] != before[0]
    assert (after[1] == before[1]) == (changed == "a/model.pt"), "and only that of the models that it is about"


def test_other_options_are_another_job(folder: Path) -> None:
    assert jobs(ModelOptions(target="y"))[0].digest != jobs()[0].digest


def test_folders_change_with_their_files(folder: Path) -> None:
    before = fingerprint(folder / "a")
    (folder / "a" / "broken").symlink_to(folder / "nowhere")
    assert fingerprint(folder / "a") == before, "a link to nowhere is no file"
    (folder / "a" / "more").touch()
    assert fingerprint(folder / "a") != before


def test_what_is_not_there_is_told_before_anything_is_begun(folder: Path) -> None:
    for options, data, words in (
        (ModelOptions(), "adlt", r"--data adlt: there is no such file or benchmark"),
        (ModelOptions(groups="no.toml"), "rows.csv", r"--groups no\.toml: there is no such file"),
        (ModelOptions(schema_file="no.toml"), "rows.csv", r"--schema no\.toml"),
        (ModelOptions(spec="no.toml"), "rows.csv", r"--spec no\.toml"),
        (ModelOptions(imports=("code.py", "no.py")), "rows.csv", r"--import no\.py"),
    ):
        with pytest.raises(UsageError, match=words):
            jobs(options, data)
    with pytest.raises(UsageError, match=r"there is no model no\.pt"):
        jobs(models=("a/model.pt", "no.pt"))


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        fingerprint(folder / "gone.pt")


def test_a_benchmarks_name_is_read_as_audit_reads_it(folder: Path) -> None:
    assert jobs(data="adult")[0].data == "adult"
    (folder / "adult").mkdir()
    assert jobs(data="adult")[0].data == "adult", "a folder is no table"
    (folder / "wine_quality").write_text("x,y\n", encoding="utf-8")
    assert jobs(data="wine_quality")[0].data == str(folder / "wine_quality"), "a file is"
    (folder / "dsprites").mkdir()
    assert jobs(data="dsprites")[0].data == str(folder / "dsprites"), "and so is a folder of pictures"
