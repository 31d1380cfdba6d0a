"""``AuditReport.to_frame``: the tables of every level."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from builders import Shape, make_report

from circuitprobe.errors import UsageError
from circuitprobe.report import AuditReport


def test_inputs_are_features_by_latents_with_both_ends() -> None:
    frame = make_report().to_frame("inputs")
    assert list(frame.index) == ["height", "weight", "income", "city", "smoker"]
    assert frame.index.name == "feature"
    assert list(frame.columns) == [f"z{i}{end}" for i in range(4) for end in ("", "_low", "_high")]
    assert frame.loc["weight", ["z0", "z0_low", "z0_high"]].to_list() == pytest.approx([0.25, 0.225, 0.275])
    assert frame.loc["smoker", "z2"] == pytest.approx(0.5 / 3)


def test_units_have_one_row_per_unit_that_changes() -> None:
    frame = make_report().to_frame("units")
    assert len(frame) == 62 + 254 + 62
    assert frame.groupby("site", sort=False).size().to_dict() == {"encoder.1": 62, "decoder.1": 254, "decoder.3": 62}
    unit = frame[(frame.site == "decoder.1") & (frame.unit == 3)].iloc[0]
    assert (unit.half, unit.effect, unit.effect_low) == ("decoder", pytest.approx(0.05), pytest.approx(0.045))
    assert unit["effect_money"] == pytest.approx(0.05)
    assert pd.isna(unit["shift_z0"])
    assert frame.loc[frame.half == "encoder", "shift_z0_high"].to_list() == pytest.approx([0.11] * 62)


def test_circuits_have_one_row_per_sender_and_site() -> None:
    frame = make_report().to_frame("circuits")
    keys = list(zip(frame.side, frame.sender, frame.site, strict=True))
    decoder = [("decoder", f"z{i}", site) for i in range(3) for site in ("decoder.1", "decoder.3")]
    assert keys == decoder + [("encoder", group, "encoder.1") for group in ("body", "money", "habits")]
    first = frame.iloc[0]
    assert (first["size"], first.units_in_layer, first.units_measured, first.complete) == (41, 256, 128, True)
    assert first.units[:3] == (0, 7, 14)
    assert first.total == pytest.approx(0.5)
    assert [first.faithfulness, first.faithfulness_low, first.completeness, first.additivity_high] == pytest.approx(
        [0.92, 0.828, 0.06, 1.1]
    )


def test_mediation_has_one_row_per_treatment_mediator_and_outcome() -> None:
    frame = make_report().to_frame("mediation")
    assert len(frame) == 36
    assert list(frame.columns) == [
        *("treatment", "mediator", "outcome"),
        *(f"{name}{end}" for name in ("te", "nie", "nde", "interaction", "proportion_mediated") for end in ("", "_low", "_high")),
        *("p", "p_corrected"),
    ]  # fmt: skip
    second = frame.iloc[1]
    assert (second.treatment, second.mediator, second.outcome) == ("body", "z0", "money")
    assert [second.nie, second.nie_high, second.proportion_mediated, second.p_corrected] == pytest.approx(
        [0.15, 0.165, 0.9 / 2**0.5, 0.004]
    )


def test_undefined_is_missing_not_0() -> None:
    report = make_report(Shape(undefined=True))
    assert report.to_frame("inputs").isna().all(axis=None)
    circuits = report.to_frame("circuits")
    assert circuits.faithfulness.isna().all()
    assert circuits["size"].to_list() == [0] * 9
    assert report.to_frame("mediation").proportion_mediated.isna().all()
    assert report.to_frame("latents").ces.isna().all()
    assert report.to_frame("scores").loc["ces", "value"] is None or pd.isna(
        report.to_frame("scores").loc["ces", "value"]
    )


def test_tables_of_a_model_without_layers_have_their_columns() -> None:
    report = make_report(Shape(layers=(), encoder=()))
    assert list(report.to_frame("units").columns) == ["half", "site", "unit", "effect", "effect_low", "effect_high"]
    circuits = report.to_frame("circuits")
    assert len(circuits) == 0
    assert {"sender", "site", "size", "faithfulness_low", "units"} <= set(circuits.columns)


@pytest.mark.parametrize(
    ("table", "level"),
    [("effects", 2), ("scores", 2), ("inputs", 1), ("units", 3), ("circuits", 3), ("mediation", 4)],
)
def test_a_level_that_was_not_run_is_refused_with_the_way_to_run_it(table: Any, level: int) -> None:
    others = tuple(other for other in (1, 2, 3, 4) if other != level)
    with pytest.raises(UsageError) as refused:
        make_report(Shape(levels=others)).to_frame(table)
    assert f"no level {level} (not asked for)" in refused.value.seen
    assert f"--levels {level}" in refused.value.fix


def test_unknown_table_is_refused_with_all_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        make_report().to_frame("effect")  # type: ignore[arg-type]
    for table in ("effects", "latents", "scores", "reconstruction", "inputs", "units", "circuits", "mediation"):
        assert table in refused.value.expected


@pytest.mark.parametrize(
    "table", ["effects", "latents", "scores", "reconstruction", "inputs", "units", "circuits", "mediation"]
)
def test_tables_survive_the_json(table: Any, tmp_path: Any) -> None:
    report = make_report()
    report.to_json(tmp_path / "a.json")
    pd.testing.assert_frame_equal(
        AuditReport.from_json(tmp_path / "a.json").to_frame(table), report.to_frame(table), rtol=1e-8
    )
