"""Which rows were audited is known whatever a model makes of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.data import read_table
from circuitprobe.fitting.digests import array_digest, table_digest
from circuitprobe.report import AuditReport

OPTIONS = {"levels": (2,), "twin": False, "resamples": 60, "permutations": 10, "groups": {"ab": ["a", "b"], "c": ["c"]}}


def frame(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    return pd.DataFrame({"a": 5 + 2 * a, "b": a + rng.normal(size=rows), "c": np.where(a > 0, "yes", "no")})


def test_the_digest_by_hand() -> None:
    table = read_table(pd.DataFrame({"b": [1.5, np.nan, -2.0], "a": ["x", None, "é"]}))
    numbers = np.array([1.5, np.nan, -2.0], dtype="<f8").tobytes()
    expected = hashlib.sha256("a\nx\n\né\n".encode() + b"b\n" + numbers).hexdigest()
    assert table_digest(table, ["b", "a"]) == expected
    assert table_digest(table, ["b"]) != expected
    assert (
        array_digest(np.array([[0.5, 1.0]])) == hashlib.sha256(np.array([0.5, 1.0], dtype="<f8").tobytes()).hexdigest()
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models that scale the columns differently, as they were trained on other rows."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        cp.train(frame(seed=seed), steps=5, hidden=(8,), latents=2, seed=seed, out=folder / f"{seed}.pt")
    return folder / "1.pt", folder / "2.pt"


def audited(model: Path, rows: pd.DataFrame) -> AuditReport:
    return cp.audit(model, rows, **OPTIONS)  # type: ignore[arg-type]


def test_models_with_scalings_of_their_own_are_compared_pairwise_on_the_same_rows(trained: tuple[Path, Path]) -> None:
    before, now = (audited(model, frame()) for model in trained)
    assert before.data.rows_sha256 != now.data.rows_sha256
    assert before.data.sample_sha256 == now.data.sample_sha256
    assert cp.check(now, before).paired
    other = audited(trained[1], frame(seed=3))
    assert other.data.sample_sha256 != now.data.sample_sha256
    assert not cp.check(other, before).paired


class Plain(nn.Module):
    """The code is the row."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.full_like(x, -2.0)

    def decode(self, z: Tensor) -> Tensor:
        return z


def test_rows_in_the_models_space_have_the_digest_of_that_space_only() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    wrapped = cp.wrap(Plain(), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z))
    report = cp.audit(wrapped, x, levels=(2,), twin=False, resamples=20)
    assert report.data.sample_sha256 is None
    assert len(report.data.rows_sha256) == 64
