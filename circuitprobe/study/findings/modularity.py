"""Finding 1: is circuit modularity lower on tables than on images?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.means import mean_of, ratio_of, welch
from circuitprobe.study.findings.model import FindingModel, Judgement, LeftOut, Mean, Outcome, Ratio, Welch
from circuitprobe.study.findings.verdict import judged
from circuitprobe.study.records import RunRecord

PAPER = 0.5
"""The paper's ratio of mean modularity on tables to that on images; it says "about"."""


class ModularityFinding(FindingModel):
    """Mean modularity over the runs on tables against that over the runs on images.

    The interval is over runs: what other seeds and architectures of this kind would give on these benchmarks. It does not say what
    other benchmarks would give.
    """

    outcome: Outcome
    judgement: Judgement
    ratio: Ratio = Field(description="tables / images; decides")
    welch: Welch = Field(description="tables - images")
    tables: Mean
    images: Mean
    benchmarks: tuple[Mean, ...]
    left_out: LeftOut


def modularity_finding(records: Sequence[RunRecord]) -> ModularityFinding:
    """Compute finding 1.

    Args:
        records: of all runs, in any order.

    Raises:
        UsageError: two records are of one run.
    """
    kept = of.defined(records, "modularity")
    tables = of.values(of.of_modality(kept, "table"), "modularity")
    images = of.values(of.of_modality(kept, "image"), "modularity")
    ratio = ratio_of("table runs / image runs", tables, images)
    judgement = judged(
        "mean modularity, tables / images", ratio.ratio, paper=PAPER, null_value=1.0, reason=ratio.reason
    )
    return ModularityFinding(
        outcome=judgement.outcome,
        judgement=judgement,
        ratio=ratio,
        welch=welch(tables, images),
        tables=mean_of("table runs", tables),
        images=mean_of("image runs", images),
        benchmarks=tuple(
            mean_of(name, of.values(of.of_benchmark(kept, name), "modularity")) for name in of.benchmarks_of(records)
        ),
        left_out=of.left_out(records, "modularity"),
    )
