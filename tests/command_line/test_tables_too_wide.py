"""A table with a column too many for a model that knows only its width: refused with a command that works when typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

ORDER = np.random.default_rng(1).permutation(300)


def numeric() -> pd.DataFrame:
    """Three numeric columns."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    return pd.DataFrame({"height": 170 + 10 * a, "weight": 70 + 12 * a, "income": 3000 + 800 * b})


def label() -> np.ndarray[Any, Any]:
    return np.array(["good", "bad"])[ORDER % 2]


def with_index(frame: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    frame = frame.copy()
    frame.insert(0, name, values)
    return frame


class Width(nn.Module):
    """A VAE that knows nothing of its columns but how many dimensions they make."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mean, self.log_var, self.out = nn.Linear(width, 2), nn.Linear(width, 2), nn.Linear(2, width)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_var = self.mean(x), self.log_var(x) * 0.01
        return mean, log_var

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.out(z)


TOO_MANY: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "label of words": (lambda t: t.assign(label=label()), "--target label"),
    "label of numbers": (lambda t: t.assign(y=np.arange(300) % 3), "--target y"),
    "label with a space": (lambda t: t.assign(**{"the label": np.arange(300) % 3}), "--target 'the label'"),
    "label first": (lambda t: with_index(t, "label", label()), "--target label"),
    "an index under another name": (lambda t: with_index(t, "case", 7 * ORDER + 3), "--ignore case"),
    "a column of small numbers beside an index": (
        lambda t: with_index(t.assign(y=np.arange(300) % 3), "Unnamed: 0", ORDER),
        "--target y",
    ),
    "a column of measurements": (lambda t: t.assign(shoe=np.arange(300) ** 0.5), "--ignore shoe"),
    "an index and a label": (
        lambda t: with_index(t.assign(label=label()), "case", 7 * ORDER + 3),
        "--ignore case --target label",
    ),
}


@pytest.mark.parametrize("case", TOO_MANY)
def test_a_column_too_many_is_refused_and_the_command_works(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    change, expected = TOO_MANY[case]
    monkeypatch.chdir(tmp_path)
    change(numeric()).to_csv("t.csv", index=False)
    torch.save(Width(3), "m.pt")
    typed = ["audit", "m.pt", "t.csv", "--trust", "--levels", "2"]
    refused = command(*typed)
    assert refused.code == 2
    assert "the model takes 3" in refused.err
    assert expected in refused.err
    done = command(*typed, *shlex.split(expected))
    assert done.code == 0, done.err
    assert "3 features" in re.sub(r"\s+", " ", done.out)
