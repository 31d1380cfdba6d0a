"""One seed, one stream per purpose: no draw depends on how many others were made before it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are drawn for; the generator is ``numpy.random.default_rng([seed, stream])``."""

    ROWS = 1
    BOOTSTRAP = 2
    FEATURE_GROUPS = 3


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """The generator of one purpose."""
    return np.random.default_rng([seed, int(stream)])
