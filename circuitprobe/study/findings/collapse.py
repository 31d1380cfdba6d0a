"""Finding 2: does beta-VAE's CES collapse on tables, and does it go with reconstruction error?"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from circuitprobe.study.findings import selection as of
from circuitprobe.study.findings.correlation import pearson, within
from circuitprobe.study.findings.means import mean_of, ratio_of, welch
from circuitprobe.study.findings.model import Correlation, FindingModel, Judgement, LeftOut, Mean, Outcome, Ratio, Welch
from circuitprobe.study.findings.verdict import judged, of_parts
from circuitprobe.study.records import Metric, RunRecord

ARCH = "beta-vae"
PAPER_TABLES, PAPER_IMAGES = 0.043, 0.133
"""The paper's CES of beta-VAE."""

PAPER_R = -0.886
"""The paper's r of CES with MSE."""


class Collapse(FindingModel):
    """One architecture's mean CES over the runs on tables against that over its runs on images."""

    arch: str
    ratio: Ratio = Field(description="tables / images")
    welch: Welch = Field(description="tables - images")
    tables: Mean
    images: Mean


class CollapseFinding(FindingModel):
    """Two parts: beta-VAE's CES on tables against images, and r of CES with MSE."""

    outcome: Outcome
    ratio_judgement: Judgement
    r_judgement: Judgement
    beta_vae: Collapse
    others: tuple[Collapse, ...] = Field(description="the same for each other architecture: is it special to beta-VAE?")
    r: Correlation = Field(description="of CES with MSE over all runs; decides")
    r_tables: Correlation
    r_images: Correlation
    r_within: Correlation = Field(description="partial correlation given the benchmark")
    r_share: Correlation = Field(
        description="of CES with MSE over that of the column means, over all runs: MSE of standardised columns and of intensities "
        "are numbers of different size"
    )
    left_out: tuple[LeftOut, ...] = Field(description="of the ratios; of r; of r with the share")


def collapse_finding(records: Sequence[RunRecord]) -> CollapseFinding:
    """Compute finding 2.

    Args:
        records: of all runs, in any order.

    Raises:
        UsageError: two records are of one run.
    """
    kept = of.defined(records, "ces")
    own = _collapse(kept, ARCH)
    r = _correlated("all runs", of.defined(records, "ces", "mse"), "mse")
    ratio_judgement = judged(
        "mean CES of beta-VAE, tables / images",
        own.ratio.ratio,
        paper=PAPER_TABLES / PAPER_IMAGES,
        null_value=1.0,
        reason=own.ratio.reason,
    )
    r_judgement = judged("r of CES with MSE", r.r, paper=PAPER_R, null_value=0.0, reason=r.reason)
    paired = of.defined(records, "ces", "mse")
    return CollapseFinding(
        outcome=of_parts((ratio_judgement, r_judgement)),
        ratio_judgement=ratio_judgement,
        r_judgement=r_judgement,
        beta_vae=own,
        others=tuple(_collapse(kept, arch) for arch in of.archs_of(records) if arch != ARCH),
        r=r,
        r_tables=_correlated("table runs", of.of_modality(paired, "table"), "mse"),
        r_images=_correlated("image runs", of.of_modality(paired, "image"), "mse"),
        r_within=within(
            "all runs, benchmark means taken out",
            of.values(paired, "ces"),
            of.values(paired, "mse"),
            [record.benchmark for record in paired],
        ),
        r_share=_correlated(
            "all runs, MSE over that of the column means", of.defined(records, "ces", "mse_share"), "mse_share"
        ),
        left_out=(
            of.left_out(records, "ces"),
            of.left_out(records, "ces", "mse"),
            of.left_out(records, "ces", "mse_share"),
        ),
    )


def _collapse(kept: Sequence[RunRecord], arch: str) -> Collapse:
    runs = of.of_arch(kept, arch)
    tables = of.values(of.of_modality(runs, "table"), "ces")
    images = of.values(of.of_modality(runs, "image"), "ces")
    return Collapse(
        arch=arch,
        ratio=ratio_of(f"{arch}: table runs / image runs", tables, images),
        welch=welch(tables, images),
        tables=mean_of(f"{arch} on tables", tables),
        images=mean_of(f"{arch} on images", images),
    )


def _correlated(which: str, runs: Sequence[RunRecord], error: Metric) -> Correlation:
    return pearson(which, of.values(runs, "ces"), of.values(runs, error))
