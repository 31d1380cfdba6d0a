"""Separated attribute predictability (Kumar et al. 2018), for classes as in Locatello et al. 2019, appendix C."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.metrics.ground_truth.mig import leading

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray

PENALTY = 0.01
DEAD_VARIANCE = 1e-12


@dataclass(frozen=True)
class Sap:
    """The SAP score and what it is made of.

    Attributes:
        value: mean over factors of ``gap``.
        gap: accuracy of the first latent - that of the second, per factor, shape (factors,), each in [0, 1].
        accuracy: share of the held-out rows that a classifier on one latent gets right, shape (factors, latents).
        first: the latent that tells each factor best, the lower one on a tie, shape (factors,).
        second: the one after it; -1 where there is one latent, whose rival is the commonest class.
        lead: per held-out row and factor, right by the first minus right by the second: -1, 0 or 1, shape (test rows, factors).
    """

    value: float
    gap: FloatArray
    accuracy: FloatArray
    first: IntArray
    second: IntArray
    lead: FloatArray


def sap(
    train: tuple[FloatArray, IntArray],
    test: tuple[FloatArray, IntArray],
    seed: int,
    tick: Callable[[], None] | None = None,
) -> Sap:
    """Mean over factors of (best - second best accuracy of a linear classifier that sees one latent).

    The classifier is scikit-learn's ``LinearSVC(C=0.01, class_weight="balanced")``, one against the rest. A latent whose variance
    over the training rows is below 1e-12 tells nothing: its prediction is the commonest class. Counted as 0, as is usual, it
    would leave a gap of chance itself to a single live latent.

    Args:
        train: codes (rows, latents) and class numbers (rows, factors) that the classifiers are fitted on.
        test: the same of other rows.
        seed: of the classifiers; they are fitted in the primal, where nothing is drawn.
        tick: called after each factor.

    Returns:
        In [0, 1]; at most 1 - what an unrelated latent gets right by chance. One line cannot tell ordered classes apart: from a
        factor's own class numbers the classifier is right always with 2 or 3 values, in 65 % with 6, below 10 % with 32.
    """
    codes, labels = train
    common = np.array([np.bincount(column).argmax() for column in labels.T])
    by_chance = test[1] == common
    hits = np.empty((labels.shape[1], codes.shape[1], len(test[0])), dtype=np.bool_)
    live = codes.var(axis=0) >= DEAD_VARIANCE
    for k in range(labels.shape[1]):
        for i in range(codes.shape[1]):
            hits[k, i] = _right(train, test, i, k, seed) if live[i] else by_chance[:, k]
        if tick is not None:
            tick()
    accuracy = hits.mean(axis=2)
    first, second = leading(accuracy)
    every = np.arange(len(first))
    rival = np.where((second >= 0)[:, None], hits[every, second], by_chance.T)
    lead = (hits[every, first].astype(np.float64) - rival).T
    # with one latent the commonest class can be right more often than it
    gap = np.maximum(lead.mean(axis=0), 0.0)
    return Sap(float(gap.mean()), gap, accuracy, first, second, lead)


def _right(
    train: tuple[FloatArray, IntArray], test: tuple[FloatArray, IntArray], latent: int, factor: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Which held-out rows a classifier on one latent gets right."""
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=PENALTY, class_weight="balanced", dual=False, random_state=seed)
    with warnings.catch_warnings():
        # few rows of many classes: that is what the factor is
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        model.fit(train[0][:, [latent]], train[1][:, factor])
    return np.asarray(model.predict(test[0][:, [latent]]) == test[1][:, factor])
