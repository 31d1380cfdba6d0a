"""Random architectures: whatever short cuts are taken, the numbers are those of the slow reference.

One level per architecture, so that many are tried; double precision to 1e-8, single precision to 1e-4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import comparing
from .random_networks import cases

if TYPE_CHECKING:
    from .two_ways import Case

LEVELS = st.sampled_from(comparing.LEVELS)


def many(examples: int) -> settings:
    skipped = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, suppress_health_check=skipped)


@many(50)
@given(cases(torch.float64), LEVELS)
def test_double_precision(case: Case, level: str) -> None:
    comparing.one_level(case, level, 1e-8)


@many(30)
@given(cases(torch.float32), LEVELS)
def test_single_precision(case: Case, level: str) -> None:
    comparing.one_level(case, level, 1e-4)
