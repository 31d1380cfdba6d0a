"""No small file takes much memory or time, whatever it is given as: through the real command line, process by process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from attacks import ATTACKS, DATA, MODEL
from forked import Forks, forks

import circuitprobe as cp
from circuitprobe.reference_models import train

IMPORTS = """
import torch, torch.export, circuitprobe, circuitprobe.adapters.data, circuitprobe.adapters.models.load, circuitprobe.inspecting
import circuitprobe.auditing, circuitprobe.study
"""
SECONDS, KILOBYTES = 20, 10**6


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks"), IMPORTS) as made:
        yield made


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small table and a model of it."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(100, 3)), columns=["a", "b", "c"]).to_csv(folder / "t.csv", index=False)
    train(folder / "t.csv", latents=2, hidden=(8,), steps=20, seed=0, out=folder / "m.pt")
    assert cp.load(folder / "m.pt")
    return {MODEL: folder / "m.pt", DATA: folder / "t.csv"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ATTACKS)
def test_small_files_take_little(started: Forks, given: dict[str, Path], tmp_path: Path, name: str) -> None:
    words = ATTACKS[name](tmp_path)
    code, _, err = started.run(*(given.get(str(word), word) for word in words), folder=tmp_path)
    # a batch goes on with the other models
    assert code in ({1, 2} if words[1] == "audit" else {0, 2}), err
    assert "Traceback" not in err
    assert "internal error" not in err
    assert (code == 2) == ("  expected: " in err)
    assert started.seconds < SECONDS, err
    assert started.peak < KILOBYTES, err
