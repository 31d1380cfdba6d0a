"""Finding 4: does intervention specificity predict downstream AUC?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.correlation import pearson, within
from circuitprobe.study.findings.model import Correlation, FindingModel, Judgement, LeftOut, Outcome
from circuitprobe.study.findings.verdict import judged
from circuitprobe.study.records import RunRecord

PAPER = 0.460
"""The paper's r of specificity with AUC (p < .001)."""


class AucFinding(FindingModel):
    """Pearson's r of specificity with downstream AUC.

    Each benchmark has its own target, and some targets are easier to tell than others: over all runs r also holds what benchmarks
    have in common with themselves, within benchmarks it does not.
    """

    outcome: Outcome
    judgement: Judgement
    r: Correlation = Field(description="over all runs; decides")
    r_tables: Correlation
    r_images: Correlation
    r_within: Correlation = Field(description="partial correlation given the benchmark")
    left_out: LeftOut


def auc_finding(records: Sequence[RunRecord]) -> AucFinding:
    """Compute finding 4.

    Args:
        records: of all runs, in any order.

    Raises:
        UsageError: two records are of one run.
    """
    kept = of.defined(records, "specificity", "auc")
    r = _correlated("all runs", kept)
    judgement = judged("r of specificity with AUC", r.r, paper=PAPER, null_value=0.0, reason=r.reason)
    return AucFinding(
        outcome=judgement.outcome,
        judgement=judgement,
        r=r,
        r_tables=_correlated("table runs", of.of_modality(kept, "table")),
        r_images=_correlated("image runs", of.of_modality(kept, "image")),
        r_within=within(
            "all runs, benchmark means taken out",
            of.values(kept, "specificity"),
            of.values(kept, "auc"),
            [record.benchmark for record in kept],
        ),
        left_out=of.left_out(records, "specificity", "auc"),
    )


def _correlated(which: str, runs: Sequence[RunRecord]) -> Correlation:
    return pearson(which, of.values(runs, "specificity"), of.values(runs, "auc"))
