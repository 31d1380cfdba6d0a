"""Downstream AUC with its interval (METHOD.md section 5)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import DataError
from circuitprobe.metrics.downstream import FOLDS, held_out, macro_auc
from circuitprobe.report.model import Downstream
from circuitprobe.stats.bootstrap import Resampler, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from circuitprobe.interventions.subject import Subject
    from circuitprobe.types import FloatArray

# the orientations of dSprites are 40
MOST_CLASSES = 40
MOST_PREDICTORS = 2048


def usable_classes(target: str, labels: Sequence[str | None]) -> tuple[str, ...]:
    """The classes with at least five labelled rows, in order of their names.

    Raises:
        DataError: fewer than two, or so many that the column is no label.
    """
    counts = Counter(label for label in labels if label is not None)
    if len(counts) > MOST_CLASSES:
        raise DataError(
            f"target {target!r} has {len(counts)} distinct values among the audited rows",
            expected=f"a label of 2 to {MOST_CLASSES} classes",
            fix="name a label column, or add a column with the classes",
        )
    classes = tuple(sorted(name for name, count in counts.items() if count >= FOLDS))
    if len(classes) < 2:
        seen = ", ".join(f"{name} in {count} rows" for name, count in counts.most_common(3)) or "no value at all"
        raise DataError(
            f"target {target!r} has {seen}",
            expected=f"at least two classes with {FOLDS} audited rows each",
            fix="audit more rows (--rows) or name another target",
        )
    return classes


def predictors(subject: Subject) -> tuple[FloatArray | None, str]:
    """What a label is told from: mu(x); for a discrete code its indices, one column for each that is in use at a place.

    Returns:
        Shape (rows, predictors), or None and the reason.
    """
    mean, vae = subject.base.mean, subject.vae
    if vae.prior_only:
        return None, vae.prior_only
    if vae.codes is None:
        return mean, ""
    used = [np.unique(column) for column in mean.T]
    width = sum(len(indices) for indices in used)
    if width > MOST_PREDICTORS:
        return None, f"the code's indices make {width:,} columns, more than {MOST_PREDICTORS:,}"
    return np.concatenate([mean[:, [m]] == indices for m, indices in enumerate(used)], axis=1).astype(np.float64), ""


def downstream_level(
    mean: FloatArray, target: str, labels: Sequence[str | None], resampler: Resampler
) -> tuple[Downstream, FloatArray]:
    """How well the label is told from mu(x).

    Args:
        mean: mu, shape (rows, code columns), or what ``predictors`` makes of it.
        target: the label's name.
        labels: one per row; None where it is missing: such rows, and rows of classes with fewer than five, are left out.
        resampler: the bootstrap; the fitted predictions are resampled, not the fits.

    Returns:
        The figure, and the AUC on each resample.

    Raises:
        DataError: the target is no usable label.
    """
    classes = usable_classes(target, labels)
    rows = np.array([i for i, label in enumerate(labels) if label in classes])
    label = np.array([classes.index(str(labels[i])) for i in rows])
    predictions = held_out(mean[rows], label, resampler.seed)
    value = macro_auc(predictions, np.ones(len(rows)))
    resampled = np.concatenate([macro_auc(predictions, weights[:, rows]) for _, weights in resampler.weights()])
    auc = estimate(float(value), resampled, len(rows), null=0.5)
    return Downstream(target=target, classes=classes, auc=auc), resampled
