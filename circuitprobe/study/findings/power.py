"""What the runs could have shown: the smallest differences and correlations that tests on so many find."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median_low

import numpy as np
from pydantic import Field
from scipy import stats

from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.differences import ALPHA, FAMILY
from circuitprobe.study.findings.model import FindingModel
from circuitprobe.study.records import Metric, RunRecord

POWER = 0.8
LEAST = 2
"""Runs that a standard deviation needs."""


class Detectable(FindingModel):
    """The smallest difference of two architectures that a test of so many runs on each side finds."""

    n: int = Field(description="runs on each side: the median over the groups compared")
    sd: float | None = Field(description="pooled standard deviation over runs within the groups")
    df: int = Field(description="of sd")
    alone: float | None = Field(description="smallest difference found with power 0.8 at alpha 0.05; null: not known")
    first_step: float | None = Field(
        description="the same at alpha 1 - 0.95^(1/m), the first step of Holm-Sidak over m tests"
    )


class MetricPower(FindingModel):
    """The differences in one figure that could have been found."""

    metric: Metric
    seeds: Detectable = Field(description="one pair on one benchmark; sd between seeds")
    runs: Detectable = Field(description="one pair over the runs of all benchmarks; sd over an architecture's runs")


class CorrelationPower(FindingModel):
    """The smallest correlation that could have been found."""

    figure: str
    n: int
    smallest_r: float | None = Field(
        description="smallest |r| found with power 0.8 at alpha 0.05: tanh((1.96 + 0.84) / sqrt(n - 3)); null for fewer than 4 runs"
    )


class Power(FindingModel):
    """What the study could have shown."""

    power: float = POWER
    alpha: float = ALPHA
    tests: int = Field(description="m, tests of finding 3 that could be made")
    first_step_alpha: float | None = Field(description="1 - 0.95^(1/m)")
    differences: tuple[MetricPower, ...]
    correlations: tuple[CorrelationPower, ...]


def power_of(records: Sequence[RunRecord], tests: int) -> Power:
    """Compute what the runs could have shown.

    Args:
        records: of all runs, in any order.
        tests: m, how many tests of finding 3 could be made.

    Raises:
        UsageError: two records are of one run.
    """
    step = 1.0 - (1.0 - ALPHA) ** (1.0 / tests) if tests else None
    return Power(
        tests=tests,
        first_step_alpha=step,
        differences=tuple(_metric(records, metric, step) for metric in FAMILY),
        correlations=(
            _correlation("CES with MSE", len(of.defined(records, "ces", "mse"))),
            _correlation("specificity with AUC", len(of.defined(records, "specificity", "auc"))),
        ),
    )


def smallest_difference(sd: float, n: float, alpha: float) -> float:
    """The difference of two means that a two-sided t test on n runs a side finds with power 0.8 (R's power.t.test, strict).

    Computed as the analysis of variance of two groups (``statsmodels.stats.power.FTestAnovaPower``), whose F is t squared: the
    noncentral t of ``TTestIndPower`` is nan for some effects that so few runs need.

    Args:
        sd: of the values, the same on both sides.
        n: runs on each side, at least 2.
        alpha: of the test.
    """
    from scipy.optimize import brentq
    from statsmodels.stats.power import FTestAnovaPower

    solver = FTestAnovaPower()

    def beyond(effect: float) -> float:
        return float(solver.power(effect / 2.0, 2 * n, alpha, k_groups=2)) - POWER

    top = 1.0
    while beyond(top) < 0.0:
        top *= 2.0
    return sd * float(brentq(beyond, 0.0, top, xtol=1e-12))


def smallest_r(n: int) -> float | None:
    """The |r| that a two-sided test on n runs finds with power 0.8 at alpha 0.05, by Fisher's z."""
    if n <= 3:
        return None
    return math.tanh(float(stats.norm.ppf(1.0 - ALPHA / 2.0) + stats.norm.ppf(POWER)) / math.sqrt(n - 3))


def _metric(records: Sequence[RunRecord], metric: Metric, step: float | None) -> MetricPower:
    kept = of.defined(records, metric)
    return MetricPower(
        metric=metric,
        seeds=_detectable(_grouped(kept, metric, lambda run: (run.arch, run.benchmark)), step),
        runs=_detectable(_grouped(kept, metric, lambda run: (run.arch,)), step),
    )


def _grouped(
    runs: Sequence[RunRecord], metric: Metric, group: Callable[[RunRecord], tuple[str, ...]]
) -> list[list[float]]:
    groups: dict[tuple[str, ...], list[float]] = {}
    for run, value in zip(runs, of.values(runs, metric), strict=True):
        groups.setdefault(group(run), []).append(value)
    return list(groups.values())


def _detectable(groups: Sequence[Sequence[float]], step: float | None) -> Detectable:
    """With sd^2 = sum (n_g - 1) s_g^2 / sum (n_g - 1) over the groups."""
    n = median_low([len(group) for group in groups]) if groups else 0
    df = sum(len(group) - 1 for group in groups)
    if not df:
        return Detectable(n=n, sd=None, df=0, alone=None, first_step=None)
    sd = math.sqrt(sum(float(np.var(group, ddof=1)) * (len(group) - 1) for group in groups if len(group) >= LEAST) / df)
    if n < LEAST:
        return Detectable(n=n, sd=sd, df=df, alone=None, first_step=None)
    return Detectable(
        n=n,
        sd=sd,
        df=df,
        alone=smallest_difference(sd, n, ALPHA),
        first_step=None if step is None else smallest_difference(sd, n, step),
    )


def _correlation(figure: str, n: int) -> CorrelationPower:
    return CorrelationPower(figure=figure, n=n, smallest_r=smallest_r(n))
