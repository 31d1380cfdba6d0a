"""Hostile files where a study is asked for, or in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import hostile.every_attack  # noqa: F401 - fills the corpus
from hostile.corpus import Harmless, cases
from hostile.running import Commands, attacked


@pytest.mark.parametrize(("role", "name"), cases("study", "study plan", "study record", "study audit"))
def test_is_refused_in_a_study(role: str, name: str, running: Commands, good: Harmless, tmp_path: Path) -> None:
    attacked(running, good, role, name, tmp_path)
