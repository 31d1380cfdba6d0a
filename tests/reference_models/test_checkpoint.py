"""The file format: exact round trip, strict reading, whole or not at all."""

from __future__ import annotations

import copy
import dataclasses
import io
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitprobe.errors import ModelError, UsageError
from circuitprobe.reference_models.checkpoint import rebuild, save_checkpoint, to_payload
from circuitprobe.reference_models.objectives import objective_for
from circuitprobe.reference_models.trained import Plan, TrainedModel
from circuitprobe.reference_models.training import train_rows
from circuitprobe.reference_models.training_loop import LoopSettings
from circuitprobe.report import files
from reference_models.mixed_table import MIXED, mixed_rows


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    data = dataclasses.replace(mixed_rows(), target="label", ignored=("label2", "id"))
    return train_rows(
        data, "vae", 3, (16, 12), Plan(objective_for("vae"), LoopSettings(20, 64, 1e-3, 0)), torch.device("cpu")
    )


def test_round_trip_is_exact(trained: TrainedModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.pt", trained)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    payload = torch.load(tmp_path / "model.pt", weights_only=True)
    model, encoding, rest = rebuild(payload)
    x = mixed_rows(50, seed=9).x
    for again, before in zip(model(x), trained.model(x), strict=True):
        assert torch.equal(again, before)
    assert torch.equal(model.numeric_log_var, trained.model.numeric_log_var)  # type: ignore[arg-type]
    assert not model.training
    assert encoding == MIXED
    assert (rest["source"], rest["target"], rest["ignored"]) == ("mixed", "label", ["label2", "id"])
    assert rest["training"]["steps"] == 20
    assert rest["training"]["log"][-1]["validation"] == trained.log[-1].validation


def test_payload_holds_plain_values_only(trained: TrainedModel) -> None:
    allowed = (str, int, float, bool, type(None), torch.Tensor)

    def check(value: object) -> None:
        if type(value) is dict:
            for key, item in value.items():
                assert type(key) is str
                check(item)
        elif type(value) is list:
            for item in value:
                check(item)
        else:
            assert type(value) in allowed

    check(to_payload(trained))


def test_same_model_same_bytes(trained: TrainedModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", trained)
    save_checkpoint(tmp_path / "b.pt", trained)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_rebuild_leaves_the_global_random_state(trained: TrainedModel) -> None:
    before = torch.random.get_rng_state()
    rebuild(to_payload(trained))
    assert torch.equal(torch.random.get_rng_state(), before)


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def damage(payload: dict[str, Any]) -> None:
        for key in path[:-1]:
            payload = payload[key]
        del payload[path[-1]]

    return damage


def _with(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def damage(payload: dict[str, Any]) -> None:
        for key in path[:-1]:
            payload = payload[key]
        payload[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("format"), "format entry is None"),
        (_with("other", "format"), "'other'"),
        (_without("version"), "version is None"),
        (_with("1", "version"), "version is '1'"),
        (_with(3, "version"), "version 3; this circuitprobe reads up to version 2"),
        (_without("architecture"), "architecture is nothing"),
        (_with(0, "architecture", "latents"), "architecture.latents"),
        (_without("data"), "entry data is missing"),
        (_with([], "data"), "entry data is a list"),
        (_without("data", "columns"), "keys"),
        (_without("data", "target"), "data.target is missing"),
        (_with(7, "data", "source"), "data.source is a int"),
        (_with(7, "data", "target"), "data.target is a int"),
        (_with([7], "data", "ignored"), "data.ignored"),
        (_without("training"), "entry training is missing"),
        (_without("state_dict"), "entry state_dict is missing"),
        (_without("state_dict", "mean.bias"), "lacks mean.bias"),
        (_with(torch.zeros(4), "state_dict", "mean.bias"), "mean.bias have shape (4,)"),
        (_with(torch.zeros(3, dtype=torch.int64), "state_dict", "mean.bias"), "torch.int64"),
        (_with([0.0] * 3, "state_dict", "mean.bias"), "mean.bias are a list"),
        (_with(torch.zeros(3), "state_dict", "extra"), "such as extra"),
        (_with([["numeric", 1]] * 8, "architecture", "blocks"), "5 columns over 8 dimensions"),
    ],
)
def test_damaged_checkpoints_say_what_is_wrong(
    trained: TrainedModel, damage: Callable[[dict[str, Any]], None], said: str
) -> None:
    payload = copy.deepcopy(to_payload(trained))
    damage(payload)
    with pytest.raises(ModelError) as caught:
        rebuild(payload)
    assert said in caught.value.seen


def test_missing_folder_is_named(trained: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder") as caught:
        save_checkpoint(tmp_path / "nowhere" / "model.pt", trained)
    assert "mkdir" in caught.value.fix


def test_folders_and_devices_are_no_destination(trained: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder"):
        save_checkpoint(tmp_path, trained)
    with pytest.raises(UsageError, match="device"):
        save_checkpoint(Path("/dev/null"), trained)
    assert not Path("/dev/null").is_file()


def test_a_file_that_does_not_fit_leaves_the_old_one(trained: TrainedModel, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the write breaks off in the middle."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"older")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(UsageError, match="cannot write"):
            save_checkpoint(path, trained)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("model.pt", b"older")]


def test_an_interrupt_while_writing_leaves_nothing(
    trained: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "model.pt", trained)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_replaced_through_its_link(trained: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "real.pt").write_bytes(b"older")
    (tmp_path / "link.pt").symlink_to(tmp_path / "real.pt")
    save_checkpoint(tmp_path / "link.pt", trained)
    assert (tmp_path / "link.pt").is_symlink()
    assert torch.load(io.BytesIO((tmp_path / "real.pt").read_bytes()), weights_only=True)["version"] == 2
