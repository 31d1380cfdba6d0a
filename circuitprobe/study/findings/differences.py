"""Finding 3: which figures tell architectures apart?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from pydantic import Field
from scipy import stats

from circuitprobe.stats.corrected import holm_sidak
from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.blocked import blocked
from circuitprobe.study.findings.means import CONFIDENCE, welch
from circuitprobe.study.findings.model import FindingModel, Judgement, LeftOut, Outcome, Welch
from circuitprobe.study.findings.verdict import judged
from circuitprobe.study.records import Metric, RunRecord
from circuitprobe.types import Estimate

FAMILY: tuple[Metric, ...] = ("ces", "specificity", "modularity", "fgd_adjusted")
OF_INTEREST: Metric = "ces"
PAPER = 9 / 11
"""The paper: 9 of 11 significant differences show in CES."""

ALPHA = 0.05
Compare = Callable[[Sequence[RunRecord], Sequence[RunRecord], Metric], Welch]


class PairTest(FindingModel):
    """Two architectures compared in one figure."""

    metric: Metric
    first: str
    second: str
    test: Welch = Field(description="of first - second")
    p_corrected: float | None = Field(description="Holm-Sidak over the family; null where there is no test")
    significant: bool = Field(description="p_corrected is below 0.05")


class MetricCount(FindingModel):
    """How many of a figure's tests are significant."""

    metric: Metric
    made: int = Field(description="tests that could be made")
    significant: int


class Family(FindingModel):
    """All pairs of architectures in all figures of the family, corrected together."""

    how: str
    tests: tuple[PairTest, ...]
    made: int = Field(description="tests that could be made: what Holm-Sidak corrects for")
    significant: int
    counts: tuple[MetricCount, ...]
    share: Estimate = Field(
        description="significant tests that are of CES over all significant ones, Clopper-Pearson interval, n the significant "
        "ones; null value: the share of CES among the tests made"
    )


class DifferencesFinding(FindingModel):
    """How many pairwise differences are significant, and how many of them CES shows.

    The tests of a family share runs and are not independent, so that the Clopper-Pearson interval of the share, which takes them as
    independent, may be too narrow; Holm-Sidak holds for independent tests, and errs on the safe side for positively dependent ones.
    """

    outcome: Outcome
    judgement: Judgement
    runs: Family = Field(description="decides")
    within_benchmarks: Family
    left_out: tuple[LeftOut, ...] = Field(description="per figure")


def differences_finding(records: Sequence[RunRecord]) -> DifferencesFinding:
    """Compute finding 3: Welch t tests over runs, all benchmarks together, corrected by Holm-Sidak; beside it within benchmarks.

    Args:
        records: of all runs, in any order.

    Raises:
        UsageError: two records are of one run.
    """
    runs = _family("Welch t tests over the runs of all benchmarks", records, _over_runs)
    judgement = judged(
        "share of CES among the significant differences",
        runs.share,
        paper=PAPER,
        null_value=0.0 if runs.share.null is None else runs.share.null,
        reason=None if runs.significant else "no difference is significant" if runs.made else "no test could be made",
    )
    return DifferencesFinding(
        outcome=judgement.outcome,
        judgement=judgement,
        runs=runs,
        within_benchmarks=_family(
            "least squares on architecture + benchmark, HC3 variances, one degree of freedom less per benchmark",
            records,
            _within_benchmarks,
        ),
        left_out=tuple(of.left_out(records, metric) for metric in FAMILY),
    )


def _over_runs(first: Sequence[RunRecord], second: Sequence[RunRecord], metric: Metric) -> Welch:
    return welch(of.values(first, metric), of.values(second, metric))


def _within_benchmarks(first: Sequence[RunRecord], second: Sequence[RunRecord], metric: Metric) -> Welch:
    return blocked(_placed(first, metric), _placed(second, metric))


def _placed(runs: Sequence[RunRecord], metric: Metric) -> list[tuple[str, float]]:
    return [(run.benchmark, value) for run, value in zip(runs, of.values(runs, metric), strict=True)]


def _family(how: str, records: Sequence[RunRecord], compare: Compare) -> Family:
    pairs = [(metric, *pair) for metric in FAMILY for pair in combinations(of.archs_of(records), 2)]
    kept = {metric: of.defined(records, metric) for metric in FAMILY}
    tests = [
        compare(of.of_arch(kept[metric], first), of.of_arch(kept[metric], second), metric)
        for metric, first, second in pairs
    ]
    p = np.array([np.nan if test.p is None else test.p for test in tests], dtype=np.float64)
    corrected = [float(value) if np.isfinite(value) else None for value in holm_sidak(p)]
    entries = tuple(
        PairTest(
            metric=metric,
            first=first,
            second=second,
            test=test,
            p_corrected=value,
            significant=value is not None and value < ALPHA,
        )
        for (metric, first, second), test, value in zip(pairs, tests, corrected, strict=True)
    )
    counts = tuple(_counted(metric, entries) for metric in FAMILY)
    made, significant = sum(count.made for count in counts), sum(count.significant for count in counts)
    return Family(how=how, tests=entries, made=made, significant=significant, counts=counts, share=_share(counts))


def _counted(metric: Metric, tests: Sequence[PairTest]) -> MetricCount:
    own = [test for test in tests if test.metric == metric]
    return MetricCount(
        metric=metric,
        made=sum(test.p_corrected is not None for test in own),
        significant=sum(test.significant for test in own),
    )


def _share(counts: Sequence[MetricCount]) -> Estimate:
    made, significant = sum(count.made for count in counts), sum(count.significant for count in counts)
    own = next(count for count in counts if count.metric == OF_INTEREST)
    null = own.made / made if made else None
    if not significant:
        return Estimate(None, None, None, 0, null)
    ends = stats.binomtest(own.significant, significant).proportion_ci(CONFIDENCE, method="exact")
    return Estimate(own.significant / significant, float(ends.low), float(ends.high), significant, null)
