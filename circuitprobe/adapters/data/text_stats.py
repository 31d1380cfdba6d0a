"""Running statistics of a column's texts: distinct values, how many there are beyond counting, how long they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

if TYPE_CHECKING:
    from circuitprobe.types import IntArray

MAX_LEVELS = 1000
SKETCH_SIZE = 4096


class TextStats:
    """Distinct texts with their counts up to a cap; above it an estimate of how many there are.

    Attributes:
        levels: distinct texts and how often each occurs; None once there are more than the cap.
        present: texts seen.
    """

    def __init__(self) -> None:
        self.levels: dict[str, int] | None = {}
        self.present = 0
        self._letters = 0
        self._spaced = 0
        self._smallest: np.ndarray[tuple[int, ...], np.dtype[np.uint64]] = np.empty(0, np.uint64)

    @property
    def mean_length(self) -> float:
        """Mean number of characters."""
        return self._letters / self.present if self.present else 0.0

    @property
    def share_spaced(self) -> float:
        """Share of the texts that hold a space."""
        return self._spaced / self.present if self.present else 0.0

    @property
    def distinct(self) -> float:
        """Number of distinct texts: exact up to 4,096, else estimated from the smallest hashes.

        With the k smallest of all hashes (spread evenly over 64 bits), distinct values number about (k - 1) / h_k where
        h_k is the k-th as a share of the range (Bar-Yossef et al. 2002); the standard error is 1 / sqrt(k), 1.6 %.
        """
        if self.levels is not None:
            return float(len(self.levels))
        if len(self._smallest) < SKETCH_SIZE:
            return float(len(self._smallest))
        return (SKETCH_SIZE - 1) / (float(self._smallest[-1]) / 2.0**64)

    def update(self, labels: Any, counts: IntArray) -> None:  # noqa: ANN401 - pyarrow has no type stubs
        """Take in the distinct texts of a block.

        Args:
            labels: the texts, a pyarrow string array without nulls; the same one may be there twice.
            counts: how often each occurs in the block, shape (labels,).
        """
        self.present += int(counts.sum())
        self._letters += int(np.dot(pc.utf8_length(labels).to_numpy(zero_copy_only=False), counts))
        self._spaced += int(np.dot(pc.match_substring(labels, " ").to_numpy(zero_copy_only=False), counts))
        if self.levels is None:
            self._sketch(labels.to_numpy(zero_copy_only=False))
            return
        for label, count in zip(labels.to_pylist(), counts.tolist(), strict=True):
            self.levels[label] = self.levels.get(label, 0) + count
        if len(self.levels) > MAX_LEVELS:
            self._sketch(np.array(list(self.levels), dtype=object))
            self.levels = None

    def _sketch(self, labels: np.ndarray[tuple[int, ...], np.dtype[np.object_]]) -> None:
        if not len(labels):
            return
        hashes = pd.util.hash_array(labels, categorize=False)
        if len(self._smallest) == SKETCH_SIZE:
            hashes = hashes[hashes < self._smallest[-1]]
        if len(hashes):
            self._smallest = np.union1d(self._smallest, hashes)[:SKETCH_SIZE]
