"""Disentanglement, completeness, informativeness (Eastwood & Williams 2018), as in Locatello et al. 2019, appendix C."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray

STAGES = 100


@dataclass(frozen=True)
class Dci:
    """DCI and what it is made of.

    Attributes:
        disentanglement: sum over latents of weight x ``by_latent``, weights the shares of the importance; 0 where no latent has
            any, nan with one factor.
        completeness: the same over factors of ``by_factor``; nan with one latent.
        informativeness: mean over factors of the held-out accuracy.
        importance: R, shape (latents, factors); columns sum to 1, or to 0 where no latent is of use.
        by_latent: 1 - H(R_i.) / ln factors, shape (latents,); 0 for a latent without importance.
        by_factor: 1 - H(R_.k) / ln latents, shape (factors,); 0 for a factor without any.
        right: which held-out rows are told right, shape (test rows, factors).
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: FloatArray
    by_latent: FloatArray
    by_factor: FloatArray
    right: npt.NDArray[np.bool_]


def dci(
    train: tuple[FloatArray, IntArray],
    test: tuple[FloatArray, IntArray],
    seed: int,
    workers: int | None = None,
    tick: Callable[[], None] | None = None,
) -> Dci:
    """What gradient-boosted trees need which latent for, and how well they tell the factors.

    Per factor scikit-learn's ``GradientBoostingClassifier`` with its defaults (100 stages of trees of depth 3 per class) is
    fitted on all latents; the importances are its own (mean decrease of impurity).

    Args:
        train: codes (rows, latents) and class numbers (rows, factors) to fit on.
        test: the same of other rows.
        seed: of every fit; without it trees break ties by lot, and no two runs agree.
        workers: factors that are fitted at a time; None: one per processor. It changes no figure.
        tick: called after each stage of each factor, from the worker's thread.

    Returns:
        All three in [0, 1]. Informativeness of codes that tell nothing is the share of the commonest class.
    """
    factors = train[1].shape[1]
    stop = threading.Event()

    def fitted(k: int) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        return _fitted(train, test, k, seed, stop, tick)

    # those with the most classes take longest and begin
    order = sorted(range(factors), key=lambda k: -int(train[1][:, k].max()))
    with ThreadPoolExecutor(min(factors, workers or _processors())) as pool:
        running = {k: pool.submit(fitted, k) for k in order}
        try:
            ended, _ = wait(running.values(), return_when=FIRST_EXCEPTION)
            # one that failed is among them, and must not wait for the others' results
            for future in ended:
                future.result()
            found = [running[k].result() for k in range(factors)]
        except BaseException:
            # an interruption must not wait for minutes of trees
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    importance = np.stack([own for own, _ in found], axis=1)
    return dci_scores(importance, np.stack([right for _, right in found], axis=1))


def dci_scores(importance: FloatArray, right: npt.NDArray[np.bool_]) -> Dci:
    """The three scores from importances (latents, factors) and held-out hits (rows, factors)."""
    by_latent, by_factor = _concentration(importance), _concentration(importance.T)
    return Dci(
        disentanglement=_weighted(by_latent, importance.sum(axis=1)),
        completeness=_weighted(by_factor, importance.sum(axis=0)),
        informativeness=float(right.mean()),
        importance=importance,
        by_latent=by_latent,
        by_factor=by_factor,
        right=right,
    )


def _fitted(
    train: tuple[FloatArray, IntArray],
    test: tuple[FloatArray, IntArray],
    factor: int,
    seed: int,
    stop: threading.Event,
    tick: Callable[[], None] | None,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Importances (latents,) and held-out hits (rows,) of one factor's classifier."""
    from sklearn.ensemble import GradientBoostingClassifier

    def after_stage(stage: int, model: object, local: object) -> bool:
        del stage, model, local
        if tick is not None:
            tick()
        return stop.is_set()

    model = GradientBoostingClassifier(n_estimators=STAGES, random_state=seed)
    model.fit(train[0], train[1][:, factor], monitor=after_stage)
    importance = np.abs(np.asarray(model.feature_importances_, dtype=np.float64))
    return importance, np.asarray(model.predict(test[0]) == test[1][:, factor])


def _concentration(importance: FloatArray) -> FloatArray:
    """1 - H(row) / ln columns, shape (rows,); 0 for a row of zeros, nan with one column."""
    columns = importance.shape[1]
    if columns < 2:
        return np.full(len(importance), np.nan)
    total = importance.sum(axis=1, keepdims=True)
    share = np.divide(importance, total, out=np.zeros(importance.shape), where=total > 0)
    found = np.clip(1.0 - entr(share).sum(axis=1) / np.log(columns), 0.0, 1.0)
    return np.asarray(np.where(total[:, 0] > 0, found, 0.0))


def _weighted(scores: FloatArray, weights: FloatArray) -> float:
    if not np.isfinite(scores).all():
        return float("nan")
    return float(scores @ weights / weights.sum()) if weights.sum() > 0 else 0.0


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
