"""Hostile files where the gate, or an option, asks for one: audits, baselines, details, configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

import hostile.every_attack  # noqa: F401 - fills the corpus
from hostile.corpus import Harmless, cases
from hostile.running import Commands, attacked


@pytest.mark.parametrize(
    ("role", "name"), cases("baseline", "details", "audit", "config", "config here", "schema", "groups", "spec")
)
def test_is_refused(role: str, name: str, running: Commands, good: Harmless, tmp_path: Path) -> None:
    attacked(running, good, role, name, tmp_path)
