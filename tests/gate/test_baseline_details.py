"""The details beside a baseline: both files belong together, and appear together."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitprobe.errors import UsageError
from circuitprobe.gate.baseline_file import read_snapshot, write_baseline
from circuitprobe.report.files import write_atomically
from gate.hand_snapshots import Audit, snapshot


def unreadable(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read_snapshot(path)
    return caught.value


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda details: details["responses"].update(z1={}), "there are responses of z0 and not of all latents"),
        (lambda details: details["responses"].pop("z1"), "z1 is not both among the latents and the responses"),
        (lambda details: details["responses"]["z0"].pop("height"), "responses of z0 are not those of the features"),
        (lambda details: details["responses"]["z0"]["height"]["low"].append(0.0), "values without intervals"),
    ],
)
def test_details_that_do_not_fit_are_refused(tmp_path: Path, damage: Callable[[Any], object], said: str) -> None:
    path, beside = tmp_path / "b.json", tmp_path / "b.details"
    write_baseline(snapshot(Audit().whole()), path)
    details = json.loads(gzip.decompress(beside.read_bytes()))
    damage(details)
    text = json.dumps(details).encode()
    beside.write_bytes(gzip.compress(text))
    content = json.loads(path.read_text()) | {"details_sha256": hashlib.sha256(text).hexdigest()}
    path.write_text(json.dumps(content))
    assert said in unreadable(path).seen


def test_a_baseline_is_both_files(tmp_path: Path) -> None:
    path, beside = tmp_path / "b.json", tmp_path / "b.details"
    write_baseline(snapshot(Audit().whole()), path)
    whole = beside.read_bytes()
    beside.unlink()
    assert "b.details is not beside b.json" in unreadable(path).seen
    for damaged in (b"", b"no archive", whole[:-9], gzip.compress(b"no JSON")):
        beside.write_bytes(damaged)
        assert "cannot be read" in unreadable(path).seen
    write_baseline(snapshot(Audit().whole().with_model(mse=0.2)), tmp_path / "other.json")
    beside.write_bytes((tmp_path / "other.details").read_bytes())
    assert "b.details does not belong to this b.json" in unreadable(path).seen
    beside.write_bytes(whole)
    assert read_snapshot(path).compared.figures["mse"].value == 0.1


def test_both_files_appear_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, beside = tmp_path / "b.json", tmp_path / "b.details"
    write_baseline(snapshot(Audit().whole()), path)
    before = path.read_bytes(), beside.read_bytes()

    def full(target: Path, write: object) -> None:
        if Path(target) == path:
            raise UsageError("cannot write", expected="room", fix="make some")
        write_atomically(target, write)  # type: ignore[arg-type]

    monkeypatch.setattr("circuitprobe.gate.baseline_file.write_atomically", full)
    with pytest.raises(UsageError, match="cannot write"):
        write_baseline(snapshot(Audit().whole().with_model(mse=0.2)), path)
    assert (path.read_bytes(), beside.read_bytes()) == before
    path.unlink()
    beside.unlink()
    with pytest.raises(UsageError, match="cannot write"):
        write_baseline(snapshot(), path)
    assert not list(tmp_path.iterdir())


def test_a_baseline_cannot_be_called_as_its_details(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.details") as caught:
        write_baseline(snapshot(), tmp_path / "b.details")
    assert caught.value.fix == "b.json"
