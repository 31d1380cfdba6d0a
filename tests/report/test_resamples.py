"""Resamples packed into a report's JSON: what is lost, how large they grow, what damage is told."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from builders import make_report

from circuitprobe.errors import DataError
from circuitprobe.report import AuditReport
from circuitprobe.report.resamples import LEAST, LEVELS, MOST_BYTES, Packed, Resamples, pack
from circuitprobe.types import Estimate


def packed(value: float, values: list[float] | np.ndarray) -> Resamples:
    found = pack({"ces": (value, np.asarray(values, dtype=np.float64))})
    assert found is not None
    return found


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_a_round_trip_moves_no_value_by_more_than_half_a_code(scale: float) -> None:
    values = scale * np.random.default_rng(0).normal(3.0, 1.0, size=1000)
    back = packed(3.0 * scale, values).values("ces")
    assert back is not None
    half = (values.max() - values.min()) / LEVELS / 2
    assert np.abs(back - values).max() <= 1.01 * half
    assert np.abs(back - values).max() > 0.5 * half


def test_the_ends_and_undefined_values_come_back() -> None:
    back = packed(1.0, [0.25, np.nan, 0.75, np.inf, 0.5]).values("ces")
    assert back is not None
    assert back[[0, 2]].tolist() == [0.25, 0.75]
    assert back[4] == pytest.approx(0.5, abs=1e-5)
    assert np.isnan(back[[1, 3]]).all()


def test_values_without_spread_and_without_any_defined_one() -> None:
    same = packed(0.3, np.full(7, 0.3)).values("ces")
    assert same is not None
    assert same.tolist() == [0.3] * 7
    none = packed(float("nan"), np.full(7, np.nan))
    assert np.isnan(none.values("ces")).all()
    assert none.value("ces") is None


def test_the_value_on_all_rows_is_kept_and_other_figures_are_not_there() -> None:
    found = packed(0.123456789123, [0.1, 0.2])
    assert found.value("ces") == 0.123456789
    assert found.value("mse") is None
    assert found.values("mse") is None


def test_nothing_to_pack_is_nothing() -> None:
    assert pack({}) is None
    assert pack({"modularity": (float("nan"), np.empty(0))}) is None
    some = pack({"modularity": (float("nan"), np.empty(0)), "ces": (1.0, np.ones(3))})
    assert some is not None
    assert list(some.figures) == ["ces"]
    assert some.count == 3


def test_figures_of_unequal_numbers_are_cut_to_the_fewest() -> None:
    found = pack({"a": (0.0, np.arange(9.0)), "b": (0.0, np.arange(5.0))})
    assert found is not None
    assert found.count == 5
    assert found.values("a") == pytest.approx(np.arange(5.0), abs=1e-4)


@pytest.mark.parametrize(("figures", "expected"), [(1000, 1000), (1048, 1000), (1049, 999), (2000, 524), (6000, LEAST)])
def test_no_more_than_two_mebibytes_of_codes_but_two_hundred_at_least(figures: int, expected: int) -> None:
    values = np.linspace(0.0, 1.0, 1000)
    found = pack({f"ces:z{i}": (0.5, values) for i in range(figures)})
    assert found is not None
    assert found.count == expected
    assert found.count * figures * 2 <= MOST_BYTES or found.count == LEAST
    last = found.values(f"ces:z{figures - 1}")
    assert last is not None
    assert last[1] > last[0]
    assert len(last) == expected


@pytest.mark.parametrize(
    "codes",
    [
        "no such letters: \x7f é",
        base64.b85encode(b"abc").decode(),
        base64.b85encode(b"ab" * 3).decode(),
        "",
        "~~~~~",
    ],
    ids=["not base85", "half a code", "three of four", "none", "beyond 32 bits"],
)
def test_damaged_text_is_told(codes: str) -> None:
    damaged = Resamples(count=4, figures={"ces:z3": Packed(value=1.0, low=0.0, high=1.0, codes=codes)})
    with pytest.raises(DataError, match=r"resamples of ces:z3 are damaged") as caught:
        damaged.values("ces:z3")
    assert caught.value.fix == "audit again"


def test_an_audit_and_the_same_one_read_back_unpack_to_the_same_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1 / 3, 1e-3, size=1000)
    made = make_report()
    assert made.scores is not None
    low, high = map(float, np.quantile(values, [0.025, 0.975]))
    scores = made.scores.model_copy(update={"ces": Estimate(1 / 3, low, high, 500)})
    report = made.model_copy(update={"scores": scores, "resamples": packed(1 / 3, values)})
    report.to_json(tmp_path / "audit.json")
    back = AuditReport.from_json(tmp_path / "audit.json")
    assert report.resamples is not None
    assert back.resamples is not None
    assert np.array_equal(back.resamples.values("ces"), report.resamples.values("ces"))
    assert back.resamples.value("ces") == report.resamples.value("ces")
