"""The four findings in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitprobe.report.words import interval, number

if TYPE_CHECKING:
    from circuitprobe.study.findings.model import Judgement, Outcome
    from circuitprobe.study.telling.model import StudyReport
    from circuitprobe.types import Estimate


@dataclass(frozen=True)
class Statement:
    """A finding in words.

    Attributes:
        number: METHOD.md's.
        title: what it is about.
        outcome: its verdict.
        sentence: what was found, beside the paper's figure.
    """

    number: int
    title: str
    outcome: Outcome
    sentence: str


def statements(report: StudyReport) -> tuple[Statement, ...]:
    """All four, in order."""
    found = report.findings
    modularity, collapse, auc = found.modularity, found.collapse, found.auc
    return (
        Statement(
            1,
            "modularity of circuits, tables against images",
            modularity.outcome,
            f"Modularity on tables is {_figure(modularity.ratio.ratio, modularity.judgement)} times that on images "
            f"(paper: about {number(modularity.judgement.paper)}; 1 if there were no difference).",
        ),
        Statement(
            2,
            "collapse of beta-VAE on tables",
            collapse.outcome,
            f"CES of beta-VAE on tables is {_figure(collapse.beta_vae.ratio.ratio, collapse.ratio_judgement)} times that on images "
            f"(paper: {number(collapse.ratio_judgement.paper)}): {collapse.ratio_judgement.outcome}. r of CES with MSE is "
            f"{_figure(collapse.r.r, collapse.r_judgement)} (paper: {number(collapse.r_judgement.paper)}): "
            f"{collapse.r_judgement.outcome}.",
        ),
        Statement(3, "differences of architectures that CES shows", found.differences.outcome, _shares(report)),
        Statement(
            4,
            "specificity and downstream AUC",
            auc.outcome,
            f"r of specificity with AUC is {_figure(auc.r.r, auc.judgement)} (paper: {number(auc.judgement.paper)}; 0 if there "
            "were no relation).",
        ),
    )


def share_interval(share: Estimate) -> str:
    """``82% [48%, 98%]``; a dash where it is undefined."""
    if share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"


def p_words(p: float | None) -> str:
    """A p-value: three decimals, ``< 0.001`` below; a dash for none."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def run_words(report: StudyReport) -> str:
    """``75 of 75 runs finished``."""
    runs = report.runs
    lacking = [f"{count} {word}" for count, word in ((runs.failed, "failed"), (runs.missing, "missing")) if count]
    return f"{runs.finished} of {runs.planned} runs finished" + (f", {', '.join(lacking)}" if lacking else "")


def _shares(report: StudyReport) -> str:
    family, judgement = report.findings.differences.runs, report.findings.differences.judgement
    if not family.significant:
        return f"No share of CES can be given ({judgement.reason}; {family.made} tests; paper: 9 of 11)."
    own = next(count.significant for count in family.counts if count.metric == "ces")
    return (
        f"CES shows {own} of {family.significant} significant differences, {share_interval(family.share)} (paper: 9 of 11, "
        f"{judgement.paper:.0%}; {judgement.null_value:.0%} if all figures told architectures apart alike)."
    )


def _figure(estimate: Estimate, judgement: Judgement) -> str:
    if estimate.value is None:
        return f"undefined ({judgement.reason})"
    why = f" (no interval: {judgement.reason})" if estimate.low is None else ""
    return interval(estimate) + why
