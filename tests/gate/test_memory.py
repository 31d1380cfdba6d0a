"""The same arguments give the same audit; anything else gives another."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report.builders import make_report

import circuitprobe as cp
from circuitprobe.gate.asserting import Audited
from circuitprobe.gate.baseline_file import read_snapshot
from circuitprobe.gate.memory import remembering


class Counting:
    """An audit function that says how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self,
        vae: object,
        data: object,
        *,
        rows: int = 2048,
        groups: object = None,
        levels: object = (1, 2, 3, 4),
        twin: bool = True,
        target: str | None = None,
        values: object = None,
    ) -> object:
        self.calls.append({"rows": rows, "levels": levels, "twin": twin})
        return make_report()


@pytest.fixture
def audit() -> Counting:
    return Counting()


def test_level_2_without_a_twin_runs_unless_others_are_asked_for(audit: Counting) -> None:
    audited = remembering(audit)
    assert isinstance(audited("adult.pt", "adult"), Audited)
    audited("adult.pt", "adult", levels=(1, 2), twin=True)
    assert audit.calls == [
        {"rows": 2048, "levels": (2,), "twin": False},
        {"rows": 2048, "levels": (1, 2), "twin": True},
    ]


def test_equal_arguments_are_audited_once(audit: Counting) -> None:
    audited, frame = remembering(audit), pd.DataFrame({"a": [1.0]})
    first = audited("adult.pt", frame, groups={"g": ["a"]}, rows=5)
    assert audited("adult.pt", frame, rows=5, groups={"g": ("a",)}) is first
    assert len(audit.calls) == 1


def test_an_options_default_is_no_other_audit(audit: Counting) -> None:
    audited = remembering(audit)
    assert audited("adult.pt", "adult") is audited("adult.pt", "adult", rows=2048, target=None, levels=[2], twin=False)
    assert len(audit.calls) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"rows": 6},
        {"groups": {"g": ["b"]}},
        {"groups": {"h": ["a"]}},
        {"groups": [["g", ["a"]]]},
        {"groups": "g"},
        {"levels": (1, 2)},
        {"twin": True},
        {"target": "label"},
        {"rows": True},
        {"rows": 5.0},
    ],
)
def test_other_options_are_another_audit(audit: Counting, other: dict[str, Any]) -> None:
    audited = remembering(audit)
    first = audited("adult.pt", "adult", rows=5, groups={"g": ["a"]})
    assert audited("adult.pt", "adult", **{"rows": 5, "groups": {"g": ["a"]}, **other}) is not first


def test_files_count_by_place_size_and_time(audit: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audited, data = remembering(audit), tmp_path / "rows.csv"
    data.write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    first = audited("adult.pt", "rows.csv")
    assert audited("adult.pt", data) is first
    assert audited("adult.pt", Path("rows.csv")) is first
    times = data.stat()
    data.write_text("a\n12\n")
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    longer = audited("adult.pt", data)
    assert longer is not first
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    later = audited("adult.pt", data)
    assert later is not longer
    copy = tmp_path / "copy" / "rows.csv"
    copy.parent.mkdir()
    copy.write_text("a\n12\n")
    os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    monkeypatch.chdir(copy.parent)
    assert audited("adult.pt", "rows.csv") is not later


def test_a_folder_counts_by_the_files_in_it(audit: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audited = remembering(audit)
    for place in ("here", "there"):
        (tmp_path / place / "pictures" / "more").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    first = audited("adult.pt", "pictures")
    assert audited("adult.pt", tmp_path / "here" / "pictures") is first
    (tmp_path / "here" / "pictures" / "more" / "a.png").write_bytes(b"a")
    assert audited("adult.pt", "pictures") is not first
    monkeypatch.chdir(tmp_path / "there")
    assert audited("adult.pt", "pictures") is not first


def test_objects_count_by_identity_and_are_kept_alive(audit: Counting) -> None:
    audited = remembering(audit)
    frame = pd.DataFrame({"a": [1.0]})
    alive = weakref.ref(frame)
    first = audited("adult.pt", frame)
    assert audited("adult.pt", frame.copy()) is not first
    del frame
    gc.collect()
    assert alive() is not None
    assert audited("adult.pt", alive()) is first


@pytest.mark.parametrize("odd", ["x" * 5000, "a\0b", "", "."])
def test_texts_that_can_be_no_file_are_no_trouble(audit: Counting, odd: str) -> None:
    audited = remembering(audit)
    assert audited("adult.pt", "adult", target=odd) is audited("adult.pt", "adult", target=odd)


def test_a_misspelt_option_is_told_before_anything_runs(audit: Counting) -> None:
    with pytest.raises(cp.UsageError, match="no option 'targt'") as caught:
        remembering(audit)("adult.pt", "adult", targt="label")
    assert caught.value.fix == "did you mean 'target'?"
    assert "rows, groups, levels" in caught.value.expected
    assert not audit.calls


def failing(vae: object, data: object, *, levels: object = (), twin: bool = True) -> object:
    """Fails as an audit does whose model raises."""
    try:
        return vae(data)  # type: ignore[operator]
    except ValueError as error:
        raise cp.ModelError("decode failed", expected="no error", fix="repair decode") from error


def users_model(data: object) -> object:
    return pd.to_numeric(pd.Series([data]), errors="raise")


def frames(error: BaseException) -> list[str]:
    found, place = [], error.__traceback__
    while place is not None:
        found.append(place.tb_frame.f_code.co_name)
        place = place.tb_next
    return found


def test_errors_lose_the_frames_between_the_test_and_the_users_model() -> None:
    with pytest.raises(cp.ModelError) as caught:
        remembering(failing)(users_model, "no number")
    assert frames(caught.value)[1:] == ["audited"]
    # this file counts as the user's: so does the function here that plays the audit
    assert isinstance(caught.value.__cause__, ValueError)
    assert frames(caught.value.__cause__)[:2] == ["failing", "users_model"]


def test_a_cause_in_libraries_alone_is_left_out(tmp_path: Path) -> None:
    def reading(vae: object, data: Path, *, levels: object, twin: object) -> object:
        return read_snapshot(data)

    with pytest.raises(cp.UsageError) as caught:
        reading(None, tmp_path, levels=(), twin=False)
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(cp.UsageError) as caught:
        remembering(reading)("adult.pt", tmp_path)
    assert frames(caught.value)[1:] == ["audited"]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_full_trace_leaves_errors_whole() -> None:
    with pytest.raises(cp.ModelError) as caught:
        remembering(failing, full_trace=True)(users_model, "no number")
    assert frames(caught.value)[1:] == ["audited", "failing"]
