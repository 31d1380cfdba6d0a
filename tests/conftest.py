"""A small table and a small model trained on it, made once per test session."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from circuitprobe.reference_models import train

# a build fails for what was changed, not for the examples or the machine of the day
settings.register_profile("circuitprobe", derandomize=True, deadline=None)
settings.load_profile("circuitprobe")


def make_table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Two hidden causes; numeric, binary and categorical columns that follow them, and a label."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame(
        {
            "height": 170 + 10 * a + rng.normal(size=rows),
            "weight": 70 + 12 * a + rng.normal(size=rows),
            "income": 3000 + 800 * b + 50 * rng.normal(size=rows),
            "city": np.where(b > 0.5, "Rome", np.where(b < -0.5, "Oslo", "Bonn")),
            "smoker": np.where(a + 0.3 * rng.normal(size=rows) > 0, "yes", "no"),
            "label": np.where(b + 0.5 * rng.normal(size=rows) > 0, "good", "bad"),
        }
    )


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    """The small table."""
    return make_table()


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> Path:
    """The small table as a CSV file."""
    path = tmp_path_factory.mktemp("table") / "people.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, csv: Path) -> Path:
    """A VAE of four latents trained on the small table."""
    path = tmp_path_factory.mktemp("model") / "people.pt"
    train(csv, latents=4, hidden=(24,), steps=600, target="label", seed=0, out=path)
    return path


sys.path.insert(0, str(Path(__file__).parent))

# tests that are run in a job of GitHub Actions must not write into its summary, nor annotate it; here rather than in a fixture,
# so that it holds for every process and fixture
for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"):
    os.environ.pop(variable, None)
