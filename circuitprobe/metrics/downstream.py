"""What a label can be told from: logistic regression on mu(x) (METHOD.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, IntArray

FOLDS = 5


@dataclass(frozen=True)
class HeldOut:
    """Predictions for rows that the regression did not see.

    Attributes:
        score: probability of each class, shape (rows, classes).
        label: class number of each row, shape (rows,).
        fold: which fold held the row out, shape (rows,).
    """

    score: FloatArray
    label: IntArray
    fold: IntArray


def held_out(mean: FloatArray, label: IntArray, seed: int) -> HeldOut:
    """Predict each row from the other folds.

    Args:
        mean: mu, shape (rows, latents), as it is.
        label: class numbers 0..C-1, each with at least five rows.
        seed: of ``StratifiedKFold(5, shuffle=True)``.

    Returns:
        Predictions of scikit-learn's logistic regression (L2, C = 1).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    classes = int(label.max()) + 1
    score, fold = np.zeros((len(label), classes)), np.zeros(len(label), dtype=np.int64)
    for number, (train, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(mean, label)):
        model = LogisticRegression(max_iter=2000)
        model.fit(mean[train], label[train])
        score[test], fold[test] = model.predict_proba(mean[test]), number
    return HeldOut(score, label, fold)


def macro_auc(predictions: HeldOut, weights: FloatArray) -> FloatArray:
    """Mean over folds of the one-vs-rest AUC, averaged over classes.

    Args:
        predictions: held-out predictions.
        weights: how often each row counts, shape (..., rows).

    Returns:
        Shape (...). 0.5 = chance, 1 = told apart. A class that a fold lacks under ``weights`` is left out of its mean.

    Source:
        METHOD.md section 5. With two classes both one-vs-rest AUCs are the usual AUC.
    """
    classes = range(predictions.score.shape[1]) if predictions.score.shape[1] > 2 else (1,)
    per_fold = []
    for number in range(FOLDS):
        rows = predictions.fold == number
        values = [
            weighted_auc(predictions.score[rows, c], predictions.label[rows] == c, weights[..., rows]) for c in classes
        ]
        per_fold.append(_mean_defined(np.stack(values)))
    return _mean_defined(np.stack(per_fold))


def _mean_defined(values: FloatArray) -> FloatArray:
    """Mean over the first axis of what is not nan."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0))


def weighted_auc(
    score: FloatArray, positive: np.ndarray[tuple[int], np.dtype[np.bool_]], weights: FloatArray
) -> FloatArray:
    """Area under the ROC curve with row weights: P(score of a positive > score of a negative), ties count half.

    Args:
        score: shape (rows,).
        positive: shape (rows,).
        weights: shape (..., rows).

    Returns:
        Shape (...); nan where positives or negatives have no weight.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    sorted_weights = weights[..., order]
    above = np.add.reduceat(np.where(positive[order], sorted_weights, 0.0), starts, axis=-1)
    below = np.add.reduceat(np.where(positive[order], 0.0, sorted_weights), starts, axis=-1)
    won = (above * (np.cumsum(below, axis=-1) - below / 2)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(won / (above.sum(axis=-1) * below.sum(axis=-1)))
