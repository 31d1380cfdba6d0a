"""The few numbers to which the hand-solved cases reduce, each derived in its docstring.

Linear decoder D(z) = W z + b: replacing z_i = mu_i by v changes feature f by W_fi (v - mu_i), so that
delta_f = |W_fi| |v - mu_i| / s_f. With m_i = mean over rows and k of |v_ik - mu_i|:

    e_{i,f} = m_i |W_fi| / s_f            CES_i = m_i sqrt( mean_f (W_fi / s_f)^2 ).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

SIGMA = 0.2
LN2 = math.log(2.0)


def half_steps() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """t_j = SIGMA Phi^-1((j - 1/2) / 4), j = 1..4: minus and plus SIGMA (1.1503, 0.3186)."""
    return np.asarray(SIGMA * norm.ppf((np.arange(1, 5) - 0.5) / 4))


def two_point_values() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The 8 posterior-calibrated values of a latent with mu = -1 and 1 equally often and sigma = SIGMA = 0.2.

    The aggregate posterior is 1/2 N(-1, SIGMA^2) + 1/2 N(1, SIGMA^2). Below 0 the right half contributes less than
    Phi(-5) of its mass and near -1 less than Phi(-8) < 1e-15, so that the (k - 1/2)/8 quantile solves
    1/2 Phi((q + 1) / SIGMA) = (k - 1/2)/8, k = 1..4: q = -1 + t_k. The upper four are mirrored: 1 + t_j.
    """
    return np.concatenate([-1 + half_steps(), 1 + half_steps()])


def mean_step() -> float:
    """T = mean |t_j| = SIGMA (Phi^-1(5/8) + Phi^-1(7/8)) / 2 = 0.14689."""
    return float(SIGMA * (norm.ppf(5 / 8) + norm.ppf(7 / 8)) / 2)


def two_point_deviation() -> float:
    """The deviation m = mean over rows and k of |v_k - mu| for the values of ``two_point_values``: 1 + T/2.

    Row mu = -1: the lower four values are at distance |t_j|, mean T; the upper four at 2 + t_j, mean 2 (the t_j sum to
    0). Half of each: T/2 + 1. Row mu = 1 mirrors it, so every row has the same mean and intervals have width 0.
    """
    return 1 + mean_step() / 2


def two_point_prior_deviation() -> float:
    """The same with the 8 prior values -3, -15/7, -9/7, -3/7, 3/7, 9/7, 15/7, 3: 13/7.

    Distances to mu = 1: 4, 22/7, 16/7, 10/7, 4/7, 2/7, 8/7, 2; they sum to 6 + 62/7 = 104/7; over 8: 13/7.
    """
    return 13 / 7


def two_point_kl() -> float:
    """KL( N(+-1, s^2) || N(0, 1) ) = (1 + s^2 - 1 - ln s^2) / 2 = s^2 / 2 - ln s, the same for both signs."""
    return SIGMA**2 / 2 - math.log(SIGMA)


def two_point_scale() -> float:
    """s_i = sqrt( Var mu + sigma^2 ) = sqrt(1 + SIGMA^2)."""
    return math.sqrt(1 + SIGMA**2)


def normal_values() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The 8 values of a collapsed latent (mu = 0, sigma = 1 in every row): Phi^-1((k - 1/2)/8)."""
    return np.asarray(norm.ppf((np.arange(1, 9) - 0.5) / 8))


def normal_deviation() -> float:
    """The deviation m of a collapsed latent: mean |Phi^-1((k - 1/2)/8)|, the mean of the upper four values."""
    return float(np.mean(norm.ppf([9 / 16, 11 / 16, 13 / 16, 15 / 16])))


def entropy(*shares: float) -> float:
    """Entropy in nats of shares that are normalised here; 0 ln 0 = 0."""
    total = sum(shares)
    return -sum(share / total * math.log(share / total) for share in shares if share > 0)
