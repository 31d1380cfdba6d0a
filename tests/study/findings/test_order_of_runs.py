"""Findings are functions of the set of runs: their order changes no bit."""

from __future__ import annotations

import random

import pytest
from pydantic import BaseModel, ValidationError
from study.findings.study_runs import grid

from circuitprobe.study.findings.auc import auc_finding
from circuitprobe.study.findings.collapse import collapse_finding
from circuitprobe.study.findings.differences import differences_finding
from circuitprobe.study.findings.modularity import modularity_finding
from circuitprobe.study.findings.power import power_of
from circuitprobe.study.records import RunRecord


def all_of(records: list[RunRecord]) -> list[BaseModel]:
    return [
        modularity_finding(records),
        collapse_finding(records),
        differences_finding(records),
        auc_finding(records),
        power_of(records, 40),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_records_in_any_order_give_the_same_findings(seed: int) -> None:
    records = grid()[seed:]  # incomplete, too
    shuffled = random.Random(seed).sample(records, len(records))
    assert [found.model_dump_json() for found in all_of(shuffled)] == [
        found.model_dump_json() for found in all_of(records)
    ]


def test_no_runs_at_all_give_findings_with_reasons() -> None:
    modularity, collapse, differences, auc, _ = all_of([])
    assert modularity.outcome == collapse.outcome == differences.outcome == auc.outcome == "inconclusive"
    assert modularity.judgement.reason
    assert collapse.r_judgement.reason
    assert auc.judgement.reason


def test_findings_are_frozen_and_survive_their_json() -> None:
    for found in all_of(grid()):
        assert type(found).model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError, match="frozen"):
        modularity_finding(grid()).outcome = "reproduced"  # type: ignore[misc]
