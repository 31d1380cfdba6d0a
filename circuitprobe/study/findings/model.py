"""The pieces that every finding is made of.

Numbers are estimates with 95 % intervals, their ``n`` counts runs. Null stands for what cannot be computed; ``reason`` says why.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from circuitprobe.study.records import Metric
from circuitprobe.types import Estimate

Outcome = Literal["reproduced", "not reproduced", "inconclusive"]


class FindingModel(BaseModel):
    """Frozen, without unknown fields, infinities and nan."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Mean(FindingModel):
    """The mean of a figure over runs."""

    of: str = Field(description="which runs")
    mean: Estimate = Field(description="t-interval over runs; no interval for fewer than two")
    sd: float | None = Field(description="standard deviation over runs, divisor n - 1")


class Ratio(FindingModel):
    """The ratio of two means over independent runs."""

    of: str = Field(description="which runs")
    ratio: Estimate = Field(description="Fieller's interval with Satterthwaite's degrees of freedom")
    df: float | None
    reason: str | None = Field(description="why there is no ratio, or no interval; null where there is")


class Welch(FindingModel):
    """Welch's t test of the difference of two means."""

    difference: Estimate = Field(description="first - second")
    t: float | None
    df: float | None
    p: float | None = Field(description="two-sided")
    reason: str | None = Field(description="why there is no test; null where there is")


class Correlation(FindingModel):
    """Pearson's r of two figures over runs."""

    of: str = Field(description="which runs, and what was taken out of their figures")
    r: Estimate = Field(description="Fisher's interval")
    df: int | None = Field(description="of the t test of r = 0")
    p: float | None = Field(description="two-sided")
    reason: str | None = Field(description="why there is no r, or no interval; null where there is")


class LeftOut(FindingModel):
    """Runs that a figure of a finding does without, as it is undefined for them."""

    metrics: tuple[Metric, ...] = Field(description="one of them is undefined")
    runs: tuple[str, ...]
    count: int


class Judgement(FindingModel):
    """A figure held against the paper's."""

    figure: str
    paper: float
    null_value: float = Field(description="what the figure would be if there were nothing to find")
    halfway: float = Field(description="half-way between the null value and the paper's")
    outcome: Outcome
    reason: str | None = Field(default=None, description="why there is no figure to judge, or no interval")
