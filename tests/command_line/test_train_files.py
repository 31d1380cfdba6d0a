"""``circuitprobe train`` on files: what it prints works when typed."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a file of two arrays of images."""
    monkeypatch.chdir(tmp_path)
    images = (np.random.default_rng(0).random((60, 16, 16)) > 0.5).astype(np.uint8)
    np.savez(tmp_path / "two.npz", a=images, b=1 - images)
    np.save(tmp_path / "one.npy", images)
    return tmp_path


def test_one_array_of_several_is_chosen_as_the_message_says(folder: Path, command: Callable[..., Any]) -> None:
    asked = command("train", "two.npz", "--out", "m.pt", "--steps", 1)
    assert asked.code == 2
    assert "--array a" in asked.err
    chosen = command("train", "two.npz", "--out", "m.pt", "--steps", 1, "--array", "b")
    assert chosen.code == 0, chosen.err
    following = chosen.out.split("next: circuitprobe ")[1]
    assert "two.npz --array b" in following
    audited = command(*shlex.split(following), "--levels", "1", "--rows", 16, "--grid", 2, "--quiet")
    assert audited.code == 0, audited.err
    assert (folder / "m.pt").is_file()


def test_array_with_a_table_or_a_benchmark_is_told(folder: Path, command: Callable[..., Any]) -> None:
    (folder / "t.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(60)), encoding="utf-8")
    for data in ("t.csv", "dsprites"):
        told = command("train", data, "--out", "m.pt", "--steps", 1, "--array", "a")
        assert told.code == 2
        assert "--array" in told.err
        assert not (folder / "m.pt").exists()


def test_a_name_that_begins_with_a_hyphen_is_printed_so_that_it_can_be_typed(
    folder: Path, command: Callable[..., Any]
) -> None:
    trained = command("train", "one.npy", "--out", "-m.pt", "--steps", 1)
    assert (folder / "-m.pt").is_file()
    assert "audit ./-m.pt one.npy" in trained.out


@pytest.mark.parametrize(
    ("arch", "measure"),
    [("vae", "negative ELBO"), ("factor-vae", "objective"), ("beta-vae", "objective"), ("dip-vae-ii", "objective")],
)
def test_the_figure_that_chose_the_weights_is_named(
    arch: str, measure: str, folder: Path, command: Callable[..., Any]
) -> None:
    """The negative ELBO is that of a VAE alone."""
    trained = command("train", "one.npy", "--out", "m.pt", "--steps", 1, "--arch", arch)
    assert f"({measure}, nats per row" in trained.out
    last = torch.load(folder / "m.pt", weights_only=True)["training"]["log"][-1]
    assert (last["validation"] == last["validation_elbo"]) == (measure == "negative ELBO")
