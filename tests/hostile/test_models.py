"""Hostile files where a model is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import hostile.every_attack  # noqa: F401 - fills the corpus
from hostile.corpus import Harmless, cases
from hostile.running import Commands, attacked


@pytest.mark.parametrize(("role", "name"), cases("model"))
def test_is_refused_as_a_model(role: str, name: str, running: Commands, good: Harmless, tmp_path: Path) -> None:
    attacked(running, good, role, name, tmp_path)
