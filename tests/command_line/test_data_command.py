"""``circuitprobe data list`` and ``data export``: what is shown, what is written, and that nothing is half-written."""

from __future__ import annotations

import csv
import json
import lzma
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from circuitprobe.adapters.benchmarks import (
    ALL_BENCHMARKS,
    BENCHMARKS,
    benchmark,
    benchmark_file,
    benchmark_schema,
    dsprites,
    dsprites_files,
)  # fmt: skip
from circuitprobe.adapters.data import TableSchema, apply_encoding, fit_encoding, read_array_source, read_table
from circuitprobe.errors import UsageError
from circuitprobe.exporting import export

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("width", [40, 89, 90, 110])
def test_list_fits_any_width(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = command("data", "list")
    assert max(map(len, done.out.splitlines())) <= width
    assert all(name in done.out for name in ALL_BENCHMARKS)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_list_says_what_is_there(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = command("data", "list")
    assert done.code == 0, done.err
    out = " ".join(done.out.split())
    shown = [*ALL_BENCHMARKS, "48,842", "737,280", "demographic", "CC BY 4.0", "20 numeric, 3 categorical", "income"]
    for word in (*shown, "quality >= 6 (or color)", "64 x 64 pixels", "shape 3, scale 6"):
        assert word in out


def test_list_counts_what_is_there(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = {line.split()[0]: line for line in command("data", "list").out.splitlines()[1:6]}
    assert re.findall(r"adult +48,842 +15 columns +7 categorical, 5 numeric, 1 binary +income", lines["adult"])
    assert re.findall(r"german_credit +1,000 +21 columns +11 categorical, 7 numeric, 2 binary", lines["german_credit"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_csv_is_the_published_file(command: Callable[..., Any], tmp_path: Path, name: str) -> None:
    done = command("data", "export", name, "out.csv")
    assert done.code == 0, done.err
    published = lzma.decompress(benchmark_file(benchmark(name)).read_bytes())
    assert (tmp_path / "out.csv").read_bytes() == published
    assert benchmark(name).attribution in done.out
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_read_back_it_is_the_benchmark(command: Callable[..., Any], name: str, suffix: str) -> None:
    """With the command that is printed: same rows, columns, statistics and model input."""
    done = command("data", "export", name, f"out{suffix}")
    printed = done.out.splitlines()
    ignored = re.findall(r"--ignore (\S+)", done.out)
    Path("schema.toml").write_text("\n".join(line for line in printed if line.startswith("  ")))
    schema = TableSchema.load("schema.toml") if "--schema schema.toml" in done.out else None
    expected, found = read_table(name, rows=300, seed=5), read_table(f"out{suffix}", rows=300, seed=5, schema=schema)
    np.testing.assert_array_equal(found.index, expected.index)
    assert found.total == expected.total
    pd.testing.assert_frame_equal(found.frame[list(expected.frame)], expected.frame)
    kept = [column for column in found.columns if column.name in expected.frame]
    assert [(c.name, c.kind, c.categories, c.low, c.high) for c in kept] == [
        (c.name, c.kind, c.categories, c.low, c.high) for c in expected.columns
    ]
    # sums over blocks of other sizes differ in the last bit
    assert [c.mean for c in kept] == pytest.approx([c.mean for c in expected.columns], rel=1e-12, nan_ok=True)
    declared = benchmark(name)
    assert set(ignored) | {declared.target} == set(declared.not_features)
    out_of = [column.name for column in found.columns if column.name in declared.not_features]
    x, _ = apply_encoding(found, fit_encoding(found, exclude=out_of, schema=schema))
    wanted, _ = apply_encoding(
        expected, fit_encoding(expected, exclude=declared.outcomes, schema=benchmark_schema(name))
    )
    np.testing.assert_allclose(x, wanted, rtol=1e-12, atol=1e-12)


def test_a_model_of_the_benchmark_gets_the_same_rows(command: Callable[..., Any], tmp_path: Path) -> None:
    trained = command("train", "german_credit", "--steps", 3, "--out", "m.pt", "--quiet")
    assert trained.code == 0, trained.err
    assert command("data", "export", "german_credit", "g.csv").code == 0
    found = []
    for source in ("german_credit", "g.csv"):
        done = command(
            "audit", "m.pt", source, "--levels", 1, "--rows", 80, "--target", "credit_risk", "--json", "a.json"
        )
        assert done.code == 0, done.err
        found.append(json.loads(Path("a.json").read_text()))
    assert found[0]["data"]["rows_sha256"] == found[1]["data"]["rows_sha256"]
    assert found[0]["downstream"] == found[1]["downstream"]


def test_parquet_has_every_column_and_types(command: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("adult", "default_credit"):
        assert command("data", "export", name, "out.parquet", "--rows", 40, "--seed", 2).code == 0
        assert command("data", "export", name, "out.csv", "--rows", 40, "--seed", 2).code == 0
        frame, text = pd.read_parquet(tmp_path / "out.parquet"), pd.read_csv(tmp_path / "out.csv", dtype=str)
        assert list(frame) == list(text)
        pd.testing.assert_frame_equal(frame.astype(str), text, check_dtype=False)
    assert frame["age"].dtype == np.int64
    assert frame["sex"].dtype != np.int64
    np.testing.assert_array_equal(frame["age"], read_table(name, rows=40, seed=2).frame["age"])


def test_rows_drawn_are_those_of_an_audit(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("data", "export", "german_credit", "out.csv", "--rows", 30, "--seed", 9)
    assert "30 of 1,000 rows (seed 9)" in done.out
    with (tmp_path / "out.csv").open(newline="") as handle:
        found = list(csv.DictReader(handle))
    expected = read_table("german_credit", rows=30, seed=9)
    assert [row["age"] for row in found] == [f"{age:g}" for age in expected.frame["age"]]
    done = command("data", "export", "german_credit", "out.csv", "--rows", 5_000)
    assert "1,000 rows x 21 columns" in done.out


def test_an_archive_of_dsprites(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsprites_files, "IMAGES_AT_ONCE", 32)
    monkeypatch.setattr(dsprites_files, "ROWS_AT_ONCE", 13)
    done = command("data", "export", "dsprites", "d.npz", "--rows", 100, "--seed", 4)
    assert done.code == 0, done.err
    assert "rendered" in done.out
    index = read_array_source("dsprites", rows=100, seed=4).index
    with np.load(tmp_path / "d.npz", allow_pickle=False) as archive:
        assert archive.files == ["imgs", "latents_values", "latents_classes"]
        np.testing.assert_array_equal(archive["imgs"], dsprites.images(index))
        np.testing.assert_array_equal(archive["latents_values"], dsprites.factor_values(index))
        np.testing.assert_array_equal(archive["latents_classes"], dsprites.factor_classes(index))
        assert [archive[name].dtype for name in archive.files] == [np.uint8, np.float64, np.int64]
    first = (tmp_path / "d.npz").read_bytes()
    assert len(first) < 100 * 4096 / 4
    assert command("data", "export", "dsprites", "d.npz", "--rows", 100, "--seed", 4, "--quiet").out == ""
    assert (tmp_path / "d.npz").read_bytes() == first


def test_factors_of_dsprites(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsprites_files, "ROWS_AT_ONCE", 70)
    assert command("data", "export", "dsprites", "d.csv", "--rows", 500).code == 0
    frame = pd.read_csv(tmp_path / "d.csv")
    assert list(frame) == ["image", "color", "shape", "scale", "orientation", "posX", "posY"]
    np.testing.assert_array_equal(frame["image"], read_array_source("dsprites", rows=500, seed=0).index)
    np.testing.assert_allclose(frame.iloc[:, 1:], dsprites.factor_values(frame["image"].to_numpy()), rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("adul", "a.csv"), ("no benchmark 'adul'", "did you mean 'adult'?", "dsprites")),
        (("dsprite", "a.npz"), ("did you mean 'dsprites'?",)),
        (("zzz", "a.csv"), ("circuitprobe data list",)),
        (("adult", "a.npz"), ("'.npz'", ".csv or .parquet", "data export adult a.csv")),
        (("adult", "a"), ("no suffix", "data export adult a.csv")),
        (("adult", "."), ("data export adult adult.csv",)),
        (("dsprites", "a.parquet"), (".npz or .csv", "data export dsprites a.npz")),
        (("adult", "none/a.csv"), ("there is no folder none", "mkdir -p none")),
        (("adult", "folder.csv"), ("it is a folder",)),
    ],
)
def test_refusals(
    command: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "folder.csv").mkdir()
    done = command("data", "export", *arguments)
    assert done.code == 2
    assert done.out == ""
    for word in ("expected:", "try:", *words):
        assert word in done.err
    assert os.listdir(tmp_path) == ["folder.csv"]


def test_rows_and_arguments_that_make_no_sense(command: Callable[..., Any], tmp_path: Path) -> None:
    for arguments in (("adult", "a.csv", "--rows", "1"), ("adult",), ("adult", "a.csv", "--seed", "-1")):
        assert command("data", "export", *arguments).code == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_is_not_writable(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = command("data", "export", "adult", "locked/a.csv")
    assert done.code == 2
    assert "not writable" in done.err


@pytest.mark.parametrize("out", ["a.csv", "a.parquet", "d.npz", "d.csv"])
def test_full_disk_leaves_what_was_there(tmp_path: Path, out: str) -> None:
    (tmp_path / out).write_text("kept")
    name = "adult" if out.startswith("a") else "dsprites"
    done = subprocess.run(
        [sys.executable, "-m", "circuitprobe", "data", "export", name, out, "--rows", "20000"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 2, done.stderr
    assert f"cannot write {out}" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == [out]
    assert (tmp_path / out).read_text() == "kept"


def test_interrupted_leaves_what_was_there(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.npz").write_text("kept")
    monkeypatch.setattr(dsprites_files, "IMAGES_AT_ONCE", 10)
    render, calls = dsprites.images, []

    def interrupted(index: Any) -> Any:
        calls.append(len(index))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(index)

    monkeypatch.setattr(dsprites, "images", interrupted)
    done = command("data", "export", "dsprites", "d.npz", "--rows", 100)
    assert done.code == 130
    assert done.err == "circuitprobe: interrupted\n"
    assert calls == [10, 10, 10]
    assert os.listdir(tmp_path) == ["d.npz"]
    assert (tmp_path / "d.npz").read_text() == "kept"


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys; from circuitprobe.cli import app\n"
        "try: app(['data', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pandas', 'numpy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "export" in done.stdout


def test_in_python_without_progress(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rows is 1"):
        export("adult", tmp_path / "a.csv", rows=1)
    written = export("dsprites", tmp_path / "d.NPZ", rows=5)
    assert (written.rows, written.total, written.path) == (5, 737_280, tmp_path / "d.NPZ")
    assert read_array_source(written.path, rows=None, seed=0, target="posX").total == 5
    assert str(written).startswith(f"Wrote {tmp_path / 'd.NPZ'}: 5 of 737,280 images")
