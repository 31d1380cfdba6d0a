"""The FactorVAE score (Kim & Mnih 2018), with the sizes of Locatello et al. 2019, appendix C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray

TRAIN_VOTES = 10_000
EVAL_VOTES = 5_000
MEMBERS = 64
DEAD_STD = 0.05
_BLOCK = 1024


@dataclass(frozen=True)
class Votes:
    """Which rows vote about which factor; drawn once, used for every code of the same rows.

    Attributes:
        factor: the factor that is held fixed, shape (votes,).
        value: its class number, shape (votes,).
        members: rows that share a value of it, shape (votes, 64).
        train: the first so many votes make the classifier, the others are its test.
    """

    factor: IntArray
    value: IntArray
    members: IntArray
    train: int


@dataclass(frozen=True)
class FactorVae:
    """The FactorVAE score and what it is made of.

    Attributes:
        value: share of the test votes that the classifier gets right; 0 where every latent is dead.
        active: latents that can be voted for, shape (latents,).
        counts: training votes, shape (latents, factors), in the numbering of all latents.
        factor_of: what the classifier says for each latent, shape (latents,); -1 for one that got no training vote.
        right: per test vote whether the classifier is right, shape (test votes,).
    """

    value: float
    active: npt.NDArray[np.bool_]
    counts: IntArray
    factor_of: IntArray
    right: npt.NDArray[np.bool_]


def draw_votes(
    factors: IntArray,
    rng: np.random.Generator,
    train: int = TRAIN_VOTES,
    test: int = EVAL_VOTES,
    members: int = MEMBERS,
) -> Votes:
    """Draw the votes: a factor, one of its values, and rows that have it.

    Per vote ``integers(factors)``, ``integers(values of it that two rows or more have)`` (values ascending), and
    ``choice(rows with it, members)``, without replacement where there are as many rows, with it where there are fewer.

    Args:
        factors: class numbers, shape (rows, factors); every factor has a value that two rows share.
        rng: draws them, training votes first.
        train: votes that make the classifier.
        test: votes that it is tried on.
        members: rows per vote.
    """
    pools = [
        [rows for value in np.unique(column) if len(rows := np.flatnonzero(column == value)) > 1]
        for column in factors.T
    ]
    fixed = np.empty(train + test, dtype=np.int64)
    drawn = np.empty((train + test, members), dtype=np.int64)
    for vote in range(train + test):
        fixed[vote] = rng.integers(len(pools))
        values = pools[fixed[vote]]
        rows = values[rng.integers(len(values))]
        drawn[vote] = rng.choice(rows, members, replace=len(rows) < members)
    return Votes(fixed, factors[drawn[:, 0], fixed], drawn, train)


def resampled_scores(found: FactorVae, votes: Votes, rng: np.random.Generator, resamples: int) -> FloatArray:
    """The score on resamples of the values that were held fixed, the votes of a value going with it.

    Votes about one value share its rows of the pool, so that they are no independent draws: where single votes were resampled,
    intervals were up to a third too short.

    Args:
        found: the score.
        votes: that it is made of.
        rng: per resample, factor after factor, ``integers(0, m, size=m)`` of its m values that have test votes, ascending.
        resamples: how many.

    Returns:
        Shape (resamples,).
    """
    factor, value = votes.factor[votes.train :], votes.value[votes.train :]
    shape = (int(factor.max()) + 1, int(value.max()) + 1)
    cast, won = np.zeros(shape), np.zeros(shape)
    np.add.at(cast, (factor, value), 1.0)
    np.add.at(won, (factor, value), found.right)
    held = [np.flatnonzero(row) for row in cast]
    scores = np.empty(resamples)
    for place in range(resamples):
        drawn = [values[rng.integers(0, len(values), size=len(values))] if len(values) else values for values in held]
        scores[place] = sum(won[k, values].sum() for k, values in enumerate(drawn)) / sum(
            cast[k, values].sum() for k, values in enumerate(drawn)
        )
    return scores


def factor_vae(codes: FloatArray, votes: Votes, factors: int, dead_std: float = DEAD_STD) -> FactorVae:
    """Accuracy of telling the fixed factor from the latent that varies least among rows that share its value.

    A vote is the live latent with the smallest variance over its members relative to that over all rows, the lower one on a
    tie. The classifier says for each latent the factor of most training votes, the lower one on a tie; for a latent
    without a training vote it says nothing, which counts as wrong.

    Args:
        codes: mu(x), shape (rows, latents).
        votes: of the same rows.
        factors: how many there are.
        dead_std: latents with a smaller standard deviation over all rows are dead: left out of the vote.

    Returns:
        In [0, 1]; 1 / factors and a little more for codes that are independent of the factors.
    """
    scale = codes.var(axis=0)
    active = np.sqrt(scale) >= dead_std
    counts = np.zeros((codes.shape[1], factors), dtype=np.int64)
    if not active.any():
        wrong = np.zeros(len(votes.factor) - votes.train, dtype=np.bool_)
        return FactorVae(0.0, active, counts, np.full(codes.shape[1], -1), wrong)
    chosen = _least_varying(codes, votes.members, scale, active)
    np.add.at(counts, (chosen[: votes.train], votes.factor[: votes.train]), 1)
    factor_of = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    right = factor_of[chosen[votes.train :]] == votes.factor[votes.train :]
    return FactorVae(float(right.mean()), active, counts, factor_of, right)


def _least_varying(codes: FloatArray, members: IntArray, scale: FloatArray, active: npt.NDArray[np.bool_]) -> IntArray:
    """Per vote the live latent with the smallest relative variance, in the numbering of all latents, shape (votes,)."""
    live = np.flatnonzero(active)
    picked, relative_to = codes[:, live], scale[live]
    chosen = np.empty(len(members), dtype=np.int64)
    for start in range(0, len(members), _BLOCK):
        block = members[start : start + _BLOCK]
        chosen[start : start + len(block)] = live[(picked[block].var(axis=1) / relative_to).argmin(axis=1)]
    return chosen
