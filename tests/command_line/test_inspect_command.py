"""``circuitprobe inspect``: what it prints, its exit codes, and that what it advises works."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_wrong_input import Stranger, Talkative, assert_refused
from torch import nn


@pytest.fixture
def numbers(csv: Path, tmp_path: Path) -> Path:
    """The numeric columns of the small table."""
    path = tmp_path / "n.csv"
    pd.read_csv(csv)[["height", "weight", "income"]].to_csv(path, index=False)
    return path


def saved(model: nn.Module, path: Path) -> Path:
    torch.save(model, path)
    return path


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_with_data_it_shows_model_columns_and_sites(command: Callable[..., Any], checkpoint: Path, csv: Path) -> None:
    done = command("inspect", checkpoint, csv, "--target", "label")
    assert (done.code, done.err) == (0, "")
    text = flat(done.out)
    assert done.out.splitlines()[0] == f"circuitprobe inspect  {checkpoint.name} (TableVAE, 4 latents)"
    assert "posterior (mean, log_var)" in text
    assert "240 of 240 rows of people.csv" in text
    assert "scaling standard" in text
    assert "target label" in text
    assert "city categorical 3-5" in text
    assert "encoder.1 ReLU 24 1 24 yes: activation" in text
    assert "decoder.1 ReLU 24 1 24 yes: activation" in text
    assert "no: output head" in text
    assert "1 of" in text
    assert "--sites 'decoder.*'" in text


def test_without_data_it_runs_on_made_up_rows(command: Callable[..., Any], checkpoint: Path) -> None:
    done = command("inspect", checkpoint)
    assert (done.code, done.err) == (0, "")
    assert "8 rows of standard normal numbers" in flat(done.out)
    assert "height numeric 0" in flat(done.out)
    assert command("inspect", checkpoint).out == done.out


def test_sites_option_shows_what_it_chooses(command: Callable[..., Any], checkpoint: Path, csv: Path) -> None:
    done = command("inspect", checkpoint, csv, "--sites", "decoder.0", "--sites", "encoder.*")
    assert done.code == 0
    text = flat(done.out)
    assert "with --sites decoder.0 encoder.*" in text
    assert "yes (no default: followed by an activation)" in text
    refused = command("inspect", checkpoint, csv, "--sites", "decoder.00")
    assert_refused(refused, "decoder.00", "decoder.0")


def test_the_spec_file_it_prints_can_be_given_back(command: Callable[..., Any], numbers: Path, tmp_path: Path) -> None:
    model = saved(Stranger(3), tmp_path / "m.pt")
    done = command("inspect", model, numbers, "--trust")
    assert done.code == 0, done.err
    lines = [line.strip() for line in done.out.splitlines() if re.match(r"^ +[a-z_]+ = ", line)]
    assert lines[0] == 'encode = "encode"'
    assert "input_width = 3" in lines
    (tmp_path / "vae.toml").write_text("\n".join(lines))
    again = command("inspect", model, numbers, "--trust", "--spec", tmp_path / "vae.toml")
    # what the user says needs no evidence
    assert set(again.out.split()) <= set(done.out.split())
    assert 'posterior = ["mean", "log_var"]' in again.out


def test_the_best_encodings_are_shown_for_a_model_without_a_schema(
    command: Callable[..., Any], numbers: Path, tmp_path: Path
) -> None:
    done = command("inspect", saved(Stranger(3), tmp_path / "m.pt"), numbers, "--trust", "--rows", "50")
    text = flat(done.out)
    assert "50 of 240 rows" in text
    assert re.search(r"best of \d tried .* of the column means' MSE \(taken\)", text)
    (tmp_path / "s.toml").write_text('scaling = "min-max"\n')
    told = command("inspect", tmp_path / "m.pt", numbers, "--trust", "--schema", tmp_path / "s.toml")
    assert "scaling min-max" in flat(told.out)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(
    command: Callable[..., Any], checkpoint: Path, csv: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = command("inspect", checkpoint, csv)
    assert done.code == 0
    assert max(len(line.rstrip()) for line in done.out.splitlines()) <= width
    assert "\x1b" not in done.out


def test_wrong_input_is_refused(command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    assert_refused(command("inspect", tmp_path / "none.pt"), "none.pt")
    assert_refused(command("inspect", checkpoint, tmp_path / "none.csv"), "none.csv")
    assert_refused(command("inspect", checkpoint, csv, "--target", "lable"), "label")
    assert_refused(command("inspect", checkpoint, "--target", "label"), "target", "inspect MODEL DATA")
    assert_refused(command("inspect", checkpoint, csv, "--device", "quantum"), "quantum")
    assert_refused(command("inspect", saved(Stranger(3), tmp_path / "m.pt")), "--trust")
    assert_refused(command("inspect", tmp_path / "m.pt", csv, "--trust"), "3", "city")
    torch.save(Stranger(3).state_dict(), tmp_path / "w.pt")
    assert_refused(command("inspect", tmp_path / "w.pt"), "--factory")


def test_a_model_that_names_do_not_explain_is_refused_with_a_spec_to_write(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    model = saved(nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "m.pt")
    assert_refused(command("inspect", model, "--trust"), "no encoder and decoder", "--spec")


class Anything(nn.Module):
    """Takes rows of any width."""

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_var = x, torch.zeros_like(x) - 1
        return mean, log_var

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z


def test_unknown_width_asks_for_data(command: Callable[..., Any], numbers: Path, tmp_path: Path) -> None:
    model = saved(Anything(), tmp_path / "m.pt")
    assert_refused(command("inspect", model, "--trust"), "m.pt", "inspect MODEL DATA", "input_width")
    assert command("inspect", model, numbers, "--trust").code == 0
    (tmp_path / "vae.toml").write_text("input_width = 5\n")
    told = command("inspect", model, "--trust", "--spec", tmp_path / "vae.toml")
    assert told.code == 0, told.err
    assert "model dimensions 5" in flat(told.out)


def test_what_a_model_prints_stays_out(command: Callable[..., Any], numbers: Path, tmp_path: Path) -> None:
    done = command("inspect", saved(Talkative(3), tmp_path / "m.pt"), numbers, "--trust")
    assert done.code == 0, done.err
    assert "encoding" in done.err
    assert "encoding 8" not in done.out


def test_state_dict_with_a_factory(
    command: Callable[..., Any], numbers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(Stranger(3).state_dict(), tmp_path / "w.pt")
    (tmp_path / "my_models.py").write_text(
        "from test_wrong_input import Stranger\n\ndef make():\n    return Stranger(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    done = command("inspect", "w.pt", numbers, "--factory", "my_models:make")
    assert done.code == 0, done.err
    assert "(Stranger, 2 latents)" in done.out
    np.testing.assert_array_equal(
        sorted(p.name for p in tmp_path.iterdir() if p.is_file()), ["my_models.py", "n.csv", "w.pt"]
    )
