"""What the overlap of two sets would be by chance."""

from __future__ import annotations

import numpy as np


def expected_jaccard(first: int, second: int, units: int) -> float:
    """Expected |A and B| / |A or B| of two random sets of units.

    Args:
        first: |A|.
        second: |B|.
        units: how many units there are to choose from, at least as many as either set has.

    Returns:
        The mean over the hypergeometric distribution of |A and B|; nan where both sets are empty.

    Source:
        METHOD.md section 3 names the Jaccard overlap; its chance value is ours.
    """
    from scipy.stats import hypergeom

    if first + second == 0:
        return float("nan")
    shared = np.arange(max(0, first + second - units), min(first, second) + 1)
    return float((hypergeom.pmf(shared, units, first, second) * shared / (first + second - shared)).sum())
