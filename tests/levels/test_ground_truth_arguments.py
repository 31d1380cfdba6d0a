"""Arguments of ``cp.ground_truth`` that make no sense."""

from __future__ import annotations

import numpy as np
import pytest

import circuitprobe as cp
from circuitprobe.errors import UsageError


@pytest.mark.parametrize(("option", "said"), [({"seed": -1}, "seed = -1"), ({"resamples": 0}, "resamples = 0")])
def test_senseless_numbers_are_refused(option: dict[str, int], said: str) -> None:
    factors = np.arange(90)[:, None] % 3
    with pytest.raises(UsageError, match=said):
        cp.ground_truth(factors.astype(float), factors, dci=False, **option)  # type: ignore[arg-type]
