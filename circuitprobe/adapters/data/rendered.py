"""The audited rows of a benchmark of images, rendered from its factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitprobe.adapters.benchmarks import dsprites
from circuitprobe.adapters.data.image_source import ArrayRows
from circuitprobe.adapters.data.known_factors import KnownFactors
from circuitprobe.adapters.data.near_names import did_you_mean, listed
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.data.reservoir import drawn_rows
from circuitprobe.errors import DataError, UsageError

if TYPE_CHECKING:
    from circuitprobe.adapters.benchmarks import ImageBenchmark


def rendered_rows(
    known: ImageBenchmark, rows: int | None, seed: int, array: str | None, target: str | None
) -> ArrayRows:
    """Images of dSprites, and no others than the audited ones.

    Args:
        known: the benchmark.
        rows: how many are audited; None for all.
        seed: of their choice, by the rule of ``read_table``.
        array: must be None: there is no file with arrays.
        target: a factor that varies; the labels are its classes, counted from 0 as in the published archive.

    Raises:
        DataError: no such factor, or one that does not vary.
        UsageError: an array is named.
    """
    if array is not None:
        raise UsageError(
            f"--array {array} with the benchmark {known.name}", expected="an archive of arrays", fix="leave out --array"
        )
    if target is not None and target not in known.targets:
        only = target in {factor.name for factor in known.factors}
        raise DataError(
            f"{known.name} has one {target} in all images." if only else f"{known.name} has no factor {target!r}.",
            expected=f"one of {listed(known.targets)}",
            fix=did_you_mean(target, known.targets) or f"--target {known.target}",
        )
    index = drawn_rows(known.images, rows, seed)
    labels = None
    if target is not None:
        classes = dsprites.factor_classes(index)[:, dsprites.NAMES.index(target)]
        labels = tuple(number_label(float(value)) for value in classes.tolist())
    values = dsprites.images(index)
    factors = KnownFactors(dsprites.NAMES, known.images, values[0].nbytes, dsprites.images, dsprites.factor_classes)
    return ArrayRows(
        values, known.name, known.images, index, levels=1.0, labels=labels, notes=(known.note,), factors=factors
    )
