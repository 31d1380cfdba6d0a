"""Wrong input: exit code 2, one message with the next command in it, no traceback, nothing left behind."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

HEADER = "height,weight,income,city,smoker,label\n"
CSV = HEADER + "170,70,3000,Rome,yes,good\n180,82,3100,Oslo,no,bad\n165,60,2900,Bonn,no,good\n"

TABLES = {
    "empty": ("", "empty"),
    "header only": ("height,weight\n", "row"),
    "one row": ("\n".join(CSV.splitlines()[:2]) + "\n", "row"),
    "text in a numeric column": (CSV + "tall,70,3000,Rome,yes,good\n" + CSV.split("\n", 1)[1] * 10, "tall"),
    "all-NaN column": (
        HEADER + "170,,3000,Rome,yes,good\n160,,3100,Oslo,no,bad\n" * 5,
        "weight",
    ),
    "duplicate names": (CSV.replace("weight", "height", 1), "height"),
    "ragged": (CSV + "1,2,3\n", "line 5"),
    "other columns": ("a,b\n1,2\n2,3\n4,5\n", "height"),
}


def assert_refused(done: Any, *words: str) -> None:
    assert done.code == 2, done.out + done.err
    assert "expected:" in done.err
    assert "try:" in done.err
    assert "Traceback" not in done.err + done.out
    assert "internal error" not in done.err
    assert done.out == ""
    for word in words:
        assert word in done.err


@pytest.mark.parametrize("case", TABLES)
def test_tables(command: Callable[..., Any], checkpoint: Path, tmp_path: Path, case: str) -> None:
    text, word = TABLES[case]
    (tmp_path / "t.csv").write_text(text)
    done = command("audit", checkpoint, tmp_path / "t.csv", "--json", tmp_path / "a.json")
    assert_refused(done, word)
    assert os.listdir(tmp_path) == ["t.csv"]


def test_no_such_table_or_model(command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    assert_refused(command("audit", checkpoint, tmp_path / "none.csv"), "none.csv")
    assert_refused(command("audit", checkpoint, "aduld"), "adult")
    assert_refused(command("audit", tmp_path / "none.pt", csv), "none.pt")


def test_benchmark_that_does_not_fit_the_model(command: Callable[..., Any], checkpoint: Path) -> None:
    assert_refused(command("audit", checkpoint, "wine_quality"), "height", "fixed_acidity")


class Stranger(nn.Module):
    """A VAE of a given width without a schema."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean, self.log_var, self.out = nn.Linear(width, 2), nn.Linear(width, 2), nn.Linear(2, width)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mean(x), self.log_var(x) - 2

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.out(z)


class Talkative(Stranger):
    """A model that prints."""

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        print("encoding", len(x))  # noqa: T201 - the habit under test
        return super().encode(x)


def test_widths_that_do_not_fit_show_both_sides(command: Callable[..., Any], csv: Path, tmp_path: Path) -> None:
    torch.save(Stranger(9), tmp_path / "m.pt")
    done = command("audit", tmp_path / "m.pt", csv, "--trust")
    assert_refused(done, "9", "city", "--ignore")


def test_models(command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    assert_refused(command("audit", tmp_path / "cut.pt", csv), "cut off")
    (tmp_path / "text.pt").write_text("not a model\n")
    assert_refused(command("audit", tmp_path / "text.pt", csv), "text file")
    torch.save(nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 2)), tmp_path / "classifier.pt")
    assert_refused(command("audit", tmp_path / "classifier.pt", csv), "--trust")
    assert_refused(command("audit", tmp_path / "classifier.pt", csv, "--trust"), "no encoder and decoder", "--spec")
    # a column that is not there is said first: what the model is does not depend on it
    wrong = command("audit", tmp_path / "classifier.pt", csv, "--trust", "--condition", "nothing")
    assert_refused(wrong, "no column 'nothing'")
    payload = torch.load(checkpoint, weights_only=True)
    next(iter(payload["state_dict"].values()))[0] = float("nan")
    torch.save(payload, tmp_path / "nan.pt")
    assert_refused(command("audit", tmp_path / "nan.pt", csv), "nan or infinite")


def test_hostile_pickle_is_not_run(command: Callable[..., Any], csv: Path, tmp_path: Path) -> None:
    witness = tmp_path / "was_run"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(witness), "w"))

    torch.save(Bomb(), tmp_path / "m.pt")
    assert_refused(command("audit", tmp_path / "m.pt", csv), "runs code")
    assert not witness.exists()


def test_collapsed_posterior_is_audited_and_said(command: Callable[..., Any], csv: Path, tmp_path: Path) -> None:
    model = Stranger(3)
    with torch.no_grad():
        for parameter in (*model.mean.parameters(), *model.log_var.parameters()):
            parameter.zero_()
        model.log_var.bias.fill_(2.0)  # encode subtracts 2: the posterior is the prior for every row
    torch.save(model, tmp_path / "m.pt")
    (tmp_path / "vae.toml").write_text('posterior = ["mean", "log_var"]\n')
    numeric = pd.read_csv(csv)[["height", "weight", "income"]]
    numeric.to_csv(tmp_path / "n.csv", index=False)
    done = command("audit", tmp_path / "m.pt", tmp_path / "n.csv", "--trust", "--spec", tmp_path / "vae.toml")
    assert done.code == 0, done.err
    assert "None of its 2 latents is active" in done.out
    assert "NOT reconstruct" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "{tmp}/no/such/a.json"), ("folder",)),
        (("--target", "lable"), ("label",)),
        (("--target", "height"), ("distinct values",)),
        (("--groups", "{tmp}/none.toml"), ("none.toml",)),
        (("--schema", "{tmp}/none.toml"), ("none.toml",)),
        (("--device", "quantum"), ("quantum",)),
    ],
)
def test_wrong_options(
    command: Callable[..., Any],
    checkpoint: Path,
    csv: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    assert_refused(command("audit", checkpoint, csv, *filled), *words)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--rows", "1"), "--rows"),
        (("--seed", "-1"), "--seed"),
        (("--seed", "5000000000"), "--seed"),
        (("--chunk", "0"), "--chunk"),
        (("--no-such-option",), "--no-such-option"),
        (("--rows", "many"), "integer"),
    ],
)
def test_usage_errors(
    command: Callable[..., Any], checkpoint: Path, csv: Path, arguments: tuple[str, ...], word: str
) -> None:
    done = command("audit", checkpoint, csv, *arguments)
    assert done.code == 2
    assert word in done.err
    assert "internal error" not in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("arguments", [(), ("nosuch",), ("audit",), ("train", "adult")])
def test_incomplete_commands_are_usage_errors(command: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert "internal error" not in done.err
    assert "Usage" in done.err + done.out


def test_output_never_replaces_input(command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(csv.read_bytes())
    (tmp_path / "m.pt").write_bytes(checkpoint.read_bytes())
    (tmp_path / "link.json").symlink_to(tmp_path / "t.csv")
    for target in ("t.csv", "m.pt", "link.json"):
        done = command("audit", tmp_path / "m.pt", tmp_path / "t.csv", "--json", tmp_path / target)
        assert_refused(done, "read in the same run")
    assert_refused(command("train", tmp_path / "t.csv", "--out", tmp_path / "t.csv"), "read in the same run")
    assert (tmp_path / "t.csv").read_bytes() == csv.read_bytes()
    assert (tmp_path / "m.pt").read_bytes() == checkpoint.read_bytes()
    os.mkfifo(tmp_path / "pipe")
    assert_refused(command("audit", checkpoint, csv, "--json", tmp_path / "pipe"), "a device or a pipe")


def test_what_a_model_prints_stays_out_of_the_report(command: Callable[..., Any], csv: Path, tmp_path: Path) -> None:
    pd.read_csv(csv)[["height", "weight", "income"]].to_csv(tmp_path / "n.csv", index=False)
    torch.save(Talkative(3), tmp_path / "m.pt")
    done = command("audit", tmp_path / "m.pt", tmp_path / "n.csv", "--trust", "--rows", "50")
    assert done.code == 0, done.err
    assert "encoding" in done.err
    assert "encoding" not in done.out
    quiet = command("audit", tmp_path / "m.pt", tmp_path / "n.csv", "--trust", "--rows", "50", "--quiet")
    assert (quiet.out, quiet.err) == ("", "")


def test_groups_must_cover_every_feature(
    command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "g.toml").write_text('[groups]\nbody = ["height", "weight"]\n')
    assert_refused(command("audit", checkpoint, csv, "--groups", tmp_path / "g.toml"), "city")


def test_full_disk_leaves_nothing(checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    program = "import sys; sys.argv[0] = 'circuitprobe'; from circuitprobe.shell import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "audit",
            str(checkpoint),
            str(csv),
            "--rows",
            "120",
            "--json",
            str(tmp_path / "a.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_overflow_are_told(
    command: Callable[..., Any], checkpoint: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    broken = table.copy()
    broken.loc[3, "height"] = np.inf
    broken.to_csv(tmp_path / "t.csv", index=False)
    assert_refused(command("audit", checkpoint, tmp_path / "t.csv"), "height")
