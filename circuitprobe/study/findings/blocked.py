"""The difference of two architectures with what the benchmarks add taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.study.findings.means import CONFIDENCE, SAME
from circuitprobe.study.findings.model import Welch
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

ALONE = 1.0 - 1e-9
"""A run of this leverage has its cell to itself: its residual is 0 whatever its value, and says nothing of its variance."""


def blocked(first: Sequence[tuple[str, float]], second: Sequence[tuple[str, float]]) -> Welch:
    """The difference first - second by least squares on value ~ architecture + benchmark, with variances that may differ (HC3).

    As Welch's test, it lets variances differ between architectures, and between benchmarks too: that of the difference is the
    sandwich (X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1 (HC3: MacKinnon and White (1985), J. Econometrics 29, 305-325), e the
    residuals, h the leverages. Each benchmark costs a degree of freedom: t with n - 1 - (number of benchmarks) of them. Benchmarks
    that have runs of one side only say nothing of the difference and are left out.

    Args:
        first: benchmark and value of each run of one architecture.
        second: of the other.
    """
    shared = sorted({name for name, _ in first} & {name for name, _ in second})
    rows = [(name, value, 1.0) for name, value in first if name in shared]
    rows += [(name, value, 0.0) for name, value in second if name in shared]
    n, df = len(rows), len(rows) - 1 - len(shared)
    if not shared or df < 1:
        return _unknown(None, n, "too few runs on benchmarks that both have")
    y = np.array([value for _, value, _ in rows])
    design = np.array([[side, *(float(name == block) for block in shared)] for name, _, side in rows])
    return _fitted(y, design, df)


def _fitted(y: FloatArray, design: FloatArray, df: int) -> Welch:
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.outliers_influence import OLSInfluence

    plain = OLS(y, design).fit()
    value = float(plain.params[0])
    if float(np.max(OLSInfluence(plain).hat_matrix_diag)) >= ALONE:
        return _unknown(value, len(y), "a run has its architecture and benchmark to itself")
    if float(np.abs(plain.resid).max()) <= SAME * float(np.abs(y).max()):
        return _unknown(value, len(y), "no variance on either side")
    robust = plain.get_robustcov_results(cov_type="HC3", use_t=True)
    low, high = robust.conf_int(alpha=1.0 - CONFIDENCE)[0]
    return Welch(
        difference=Estimate(value, float(low), float(high), len(y), 0.0),
        t=float(robust.tvalues[0]),
        df=float(df),
        p=float(robust.pvalues[0]),
        reason=None,
    )


def _unknown(value: float | None, n: int, reason: str) -> Welch:
    return Welch(difference=Estimate(value, None, None, n, 0.0), t=None, df=None, p=None, reason=reason)
