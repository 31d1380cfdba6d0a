"""``circuitprobe study run`` and ``study audit`` as typed: exit codes, messages, files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import Outcome

import circuitprobe as cp

Command = Callable[..., Outcome]
ONE = (
    "--archs",
    "vae",
    "--benchmarks",
    "german_credit",
    "--seeds",
    "0",
    "--steps",
    "10",
    "--rows",
    "60",
    "--train-rows",
    "200",
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing option '--out'"),
        (("--out", "o", "--archs", "bta-vae"), "did you mean 'beta-vae'"),
        (("--out", "o", "--archs", ""), "--archs: names nothing"),
        (("--out", "o", "--benchmarks", "adlt"), "did you mean 'adult'"),
        (("--out", "o", "--seeds", "0,0"), "--seeds: names something twice: 0, 0"),
        (("--out", "o", "--seeds", "x"), "--seeds x"),
        (("--out", "o", "--workers", "0"), "--workers"),
        (("--out", "o", "--rows", "1"), "--rows"),
        (("--out", "o", "--steps", "0"), "--steps"),
        (("--out", "o", "--levels", "1"), "level 2 among them"),
        (("--out", "o", "--executor", "locl"), "did you mean 'local'"),
        (("--out", "o", "--address", "ray://here:1"), "--executor ray"),
        (("--out", "o", "--study", "no.toml"), "There is no study file"),
        (("--out", "o", "--study", "no.toml", "--rows", "9"), "--study together with"),
        (("--out", "file"), "cannot write file: it is a file"),
        (("--out", "file/inside"), "Not a directory"),
        (("--out", "."), "holds file, and no study"),
    ],
)
def test_a_study_that_cannot_be(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "file").touch()
    found = command("study", "run", *arguments)
    assert found.code == 2
    assert words in found.err
    assert found.out == ""
    assert "Traceback" not in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "and nothing is left"


def test_one_run_into_a_relative_folder_and_again(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = command("study", "run", "--out", "a/study", *ONE, "--workers", "1")
    assert (found.code, found.out) == (0, "1 of 1 runs finished: a/study\nnext: circuitprobe study report a/study\n")
    assert found.err.splitlines()[0] == "0 of 1 finished; 1 at a time"
    assert found.err.splitlines()[1].startswith("german_credit-vae-0: finished in ")
    assert len(found.err.splitlines()) == 2
    out = tmp_path / "a" / "study"
    run = out / "runs" / "german_credit-vae-0"
    assert {path.name for path in run.iterdir()} == {"audit.json", "job.json", "log.txt", "model.pt", "run.json"}
    before = (run / "run.json").stat()

    again = command("study", "run", "--out", "a/study")
    assert (again.code, again.out) == (found.code, found.out)
    quiet = command("study", "run", "--out", "a/study", *ONE, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert (run / "run.json").stat().st_mtime_ns == before.st_mtime_ns

    other = command("study", "run", "--out", "a/study", *ONE[:-2])
    assert other.code == 2
    assert "is of another study: table.rows is 200 there and absent here" in other.err
    plan = out / "study.toml"
    plan.write_text(
        plan.read_text(encoding="utf-8").replace("german_credit = 10", "german_credit = 11"), encoding="utf-8"
    )
    changed = command("study", "run", "--out", "a/study")
    assert changed.code == 2
    assert "german_credit-vae-0 was finished with other settings" in changed.err
    assert (run / "run.json").stat().st_mtime_ns == before.st_mtime_ns


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_audits_side_by_side(command: Command, tmp_path: Path, csv: Path, one_thread: None) -> None:
    for seed, name in enumerate(("a/model.pt", "b/model.pt")):
        (tmp_path / name).parent.mkdir()
        cp.train(csv, latents=2, hidden=(6,), steps=30, target="label", seed=seed, out=tmp_path / name)
    (tmp_path / "text.pt").write_text("no model", encoding="utf-8")
    a, b, text = (tmp_path / name for name in ("a/model.pt", "b/model.pt", "text.pt"))
    how = ("--data", csv, "--target", "label", "--levels", "2", "--rows", "60")
    out = tmp_path / "audits"
    found = command("study", "audit", a, b, text, *how, "--out", out)
    assert found.code == 1, "one audit has failed"
    assert "2 of 3 audited" in found.out
    assert "text.pt failed" in found.out
    assert all(name in found.out for name in ("a-model.pt", "b-model.pt"))
    for model in (a, b):
        assert command("audit", model, csv, *how[2:], "--json", tmp_path / "one.json", "--quiet").code == 0
        audit = out / "runs" / f"{model.parent.name}-model.pt" / "audit.json"
        assert audit.read_bytes() == (tmp_path / "one.json").read_bytes()
    record = json.loads((out / "failed" / "text.pt" / "run.json").read_bytes())
    assert record["failure"]["kind"] == "error"

    again = command("study", "audit", a, b, text, *how, "--out", out, "--workers", "1")
    assert (again.code, again.out) == (1, found.out)
    assert "; 0 at a time" in again.err, "nothing was begun"
    before = (out / "runs" / "b-model.pt" / "run.json").stat().st_mtime_ns
    cp.train(csv, latents=2, hidden=(6,), steps=30, target="label", seed=5, out=a)
    changed = command("study", "audit", a, b, *how, "--out", out)
    assert changed.code == 0
    assert "1 of 2 finished" in changed.err
    assert "2 of 2 audited" in changed.out
    assert (out / "runs" / "b-model.pt" / "run.json").stat().st_mtime_ns == before
    assert command("audit", a, csv, *how[2:], "--json", tmp_path / "one.json", "--quiet").code == 0
    assert (out / "runs" / "a-model.pt" / "audit.json").read_bytes() == (tmp_path / "one.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.pt", "--data", "adult", "--out", "o"), "there is no model no.pt"),
        (("m.pt", "m.pt", "--data", "adult", "--out", "o"), "m.pt is named twice"),
        (("m.pt", "--data", "adlt", "--out", "o"), "did you mean 'adult'"),
        (("m.pt", "--data", "adult", "--out", "o", "--levels", "9"), "--levels 9"),
        (("m.pt", "--data", "adult", "--out", "o", "--groups", "no.toml"), "--groups no.toml"),
        (("m.pt", "--data", "adult", "--out", "."), "holds m.pt, and no study"),
        (("--data", "adult", "--out", "o"), "Missing argument"),
    ],
)
def test_audits_that_cannot_be(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "m.pt").touch()
    found = command("study", "audit", *arguments)
    assert found.code == 2
    assert words in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]
