"""What an interrupted or crashed training leaves, and going on from there to the same end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from circuitprobe.errors import ModelError, UsageError
from circuitprobe.reference_models import (
    ARCHITECTURES,
    StepLosses,
    TrainedModel,
    TrainingInterrupted,
    keeping,
    rebuild,
    train,
)
from circuitprobe.reference_models.training_loop import Trainer


def table(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "height": 170 + 10 * factor,
            "weight": 70 + 8 * factor + rng.normal(size=rows),
            "color": np.where(factor > 0, "red", "blue"),
        }
    )


def run(path: Path | None, *, stop_at: int | None = None, resume: bool = False, **options: object) -> TrainedModel:
    chosen = {"steps": 80, "batch": 16, "latents": 2, "hidden": (8,), **options}
    return train(table(), out=path, resume=resume, progress=Stopper(stop_at), **chosen)  # type: ignore[arg-type]


class Stopper:
    """Raises at a step, as ctrl-C does; notes where a run began."""

    def __init__(self, stop_at: int | None, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.stop_at, self.error = stop_at, error
        self.done = self.began = 0
        self.closed = False

    def start(self, total_steps: int, done: int = 0, batch: int = 1) -> None:
        del total_steps, batch
        self.done = self.began = done

    def advance(self, steps: int, losses: StepLosses) -> None:
        del losses
        self.done += steps
        if self.stop_at is not None and self.done >= self.stop_at:
            raise self.error

    def close(self) -> None:
        self.closed = True


def weights(trained: TrainedModel) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.model.state_dict().values()])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_interrupted_twice_and_resumed_is_the_undisturbed_training(arch: str, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    whole = run(None, arch=arch)
    with pytest.raises(TrainingInterrupted, match=r"m\.pt holds the best weights so far \(step \d+\).*--resume"):
        run(path, arch=arch, stop_at=31)
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt"]
    with pytest.raises(TrainingInterrupted):
        run(path, arch=arch, stop_at=57, resume=True)
    resumed = run(path, arch=arch, resume=True)
    assert torch.equal(weights(whole), weights(resumed))
    assert whole.log == resumed.log
    assert (whole.best_step, whole.ended) == (resumed.best_step, resumed.ended)
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt"]
    undisturbed = tmp_path / "whole.pt"
    run(undisturbed, arch=arch)
    assert undisturbed.read_bytes() == path.read_bytes()


def test_what_ctrl_c_leaves_is_a_model_with_the_best_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with pytest.raises(TrainingInterrupted):
        run(path, stop_at=41)
    payload = torch.load(path, weights_only=True)
    model, encoding, rest = rebuild(payload)
    training = rest["training"]
    assert encoding is not None
    assert training["ended"] == "interrupted"
    assert training["log"][-1]["step"] == 40
    after = [entry for entry in training["log"] if entry["step"] >= 32]
    assert training["best_step"] == min(after, key=lambda entry: entry["validation"])["step"]
    assert not torch.equal(model.mean.weight, payload["resume"]["state"]["model"]["mean.weight"]) or (
        training["best_step"] == 40
    )


def test_ctrl_c_before_the_first_round_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted, match="nothing was written"):
        run(tmp_path / "m.pt", steps=400, stop_at=1)
    assert list(tmp_path.iterdir()) == []


def test_threads_and_display_are_put_back(tmp_path: Path) -> None:
    stopper, threads = Stopper(10), torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        train(table(), steps=50, batch=16, out=tmp_path / "m.pt", progress=stopper)
    assert stopper.closed
    assert torch.get_num_threads() == threads


def test_a_crash_leaves_the_older_file_and_a_partial_one_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "WRITE_EVERY", 0.0)
    path = tmp_path / "m.pt"
    path.write_bytes(b"older")
    with pytest.raises(MemoryError):
        train(table(), steps=80, batch=16, latents=2, hidden=(8,), out=path, progress=Stopper(50, MemoryError))
    assert path.read_bytes() == b"older"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.pt", "m.pt.partial"]
    resumed = run(path, resume=True)
    assert torch.equal(weights(resumed), weights(run(None)))
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt"]


def test_resume_goes_on_and_does_not_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with pytest.raises(TrainingInterrupted):
        run(path, stop_at=50)
    again = Stopper(None)
    train(table(), steps=80, batch=16, latents=2, hidden=(8,), out=path, resume=True, progress=again)
    assert again.began >= 48


def test_resume_of_a_finished_training_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    first = run(path)
    before = path.read_bytes()
    again = run(path, resume=True, stop_at=1)
    assert torch.equal(weights(first), weights(again))
    assert (again.log, again.best_step, again.ended) == (first.log, first.best_step, first.ended)
    assert path.read_bytes() == before


def test_resume_begins_where_there_is_nothing(tmp_path: Path) -> None:
    assert torch.equal(weights(run(tmp_path / "m.pt", resume=True)), weights(run(None)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, "seed 0"),
        ({"steps": 90}, "steps 80"),
        ({"arch": "beta-vae"}, "arch vae"),
        ({"latents": 3}, "latents 2"),
        ({"hidden": (9,)}, "network of other layers"),
        ({"rows": 150}, "other rows"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_resume_refuses_another_training(options: dict[str, object], said: str, finished: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    if finished:
        run(path)
    else:
        with pytest.raises(TrainingInterrupted):
            run(path, stop_at=50)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=said):
        run(path, resume=True, **options)
    assert path.read_bytes() == before


def test_resume_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match=r"m\.pt is no checkpoint"):
        run(path, resume=True)
    torch.save({"format": "other"}, path)
    with pytest.raises(ModelError, match=r"m\.pt is no checkpoint"):
        run(path, resume=True)
    with pytest.raises(UsageError, match="resume without out"):
        run(None, resume=True)


def test_divergence_leaves_the_older_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "WRITE_EVERY", 0.0)
    path = tmp_path / "m.pt"
    path.write_bytes(b"older")
    with pytest.raises(ModelError, match=r"diverged: the .*loss is .* at step") as caught:
        run(path, steps=400, lr=1e12)
    assert "learning rate" in caught.value.fix
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("m.pt", b"older")]


def test_a_loss_that_runs_away_without_becoming_infinite_is_divergence() -> None:
    with pytest.raises(ModelError, match=r"diverged.*at the start|diverged.*(nan|inf)"):
        run(None, steps=400, lr=30.0, arch="dip-vae-ii", lambda_od=1e4)


def test_training_stops_when_the_validation_loss_no_longer_falls() -> None:
    """Two hundred rows, a wide network: it fits the training rows by heart long before the steps are over."""
    trained = run(None, steps=4000, hidden=(128,), lr=5e-3, latents=6, patience=3)
    assert trained.ended == "early"
    assert trained.log[-1].step < 4000
    after = [entry for entry in trained.log if entry.step >= 1600]
    best = min(after, key=lambda entry: entry.validation)
    assert trained.best_step == best.step
    assert sum(entry.step > best.step for entry in trained.log) == 3
    patient = run(None, steps=4000, hidden=(128,), lr=5e-3, latents=6, patience=0)
    assert patient.ended == "steps"
    assert patient.log[: len(trained.log)] == trained.log


def test_the_kept_weights_are_those_of_the_best_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, torch.Tensor] = {}
    keep = Trainer._keep_best

    def watched(trainer: Trainer) -> None:
        seen[trainer.step] = torch.cat([value.detach().flatten() for value in trainer.model.state_dict().values()])
        keep(trainer)

    monkeypatch.setattr(Trainer, "_keep_best", watched)
    trained = run(None, steps=1200, hidden=(128,), lr=5e-3, latents=6, patience=0)
    assert trained.best_step < 1200
    assert torch.equal(weights(trained), seen[trained.best_step])


def test_a_finished_training_on_other_rows_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """As many rows of the same columns: only what is in them tells the tables apart."""
    path = tmp_path / "m.pt"
    run(path)
    other = table().assign(weight=lambda frame: frame["weight"].to_numpy()[::-1])
    with pytest.raises(UsageError, match="other rows or another table"):
        train(other, steps=80, batch=16, latents=2, hidden=(8,), out=path, resume=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda payload: payload.pop("training"),
        lambda payload: payload["training"].pop("log"),
        lambda payload: payload["training"]["log"][0].pop("kl"),
        lambda payload: payload["state_dict"].clear(),
        lambda payload: payload.update(resume=3),
        lambda payload: payload.update(resume={}),
        lambda payload: payload["resume"].update(state={}),
    ],
)
def test_resume_says_that_a_checkpoint_is_damaged(damage: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    with pytest.raises(TrainingInterrupted):
        run(path, stop_at=50)
    payload = torch.load(path, weights_only=True)
    damage(payload)
    torch.save(payload, path)
    with pytest.raises(ModelError):
        run(path, resume=True)


def test_ctrl_c_while_the_finished_model_is_written_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, save = tmp_path / "m.pt", keeping.save_checkpoint

    def stopped(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(keeping, "save_checkpoint", save)
        raise KeyboardInterrupt

    monkeypatch.setattr(keeping, "save_checkpoint", stopped)
    with pytest.raises(TrainingInterrupted, match="holds the best weights so far"):
        run(path)
    again = Stopper(None)
    resumed = train(table(), steps=80, batch=16, latents=2, hidden=(8,), out=path, resume=True, progress=again)
    assert again.began == 80
    assert torch.equal(weights(resumed), weights(run(None)))
    assert "resume" not in torch.load(path, weights_only=True)


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    data, schema = tmp_path / "m.pt.partial", tmp_path / "schema.toml"
    table().to_csv(data, index=False)
    schema.write_text('[columns.height]\nkind = "numeric"\n', encoding="utf-8")
    before = data.read_bytes(), schema.read_bytes()
    with pytest.raises(UsageError, match=r"m\.pt\.partial: it is read in the same run"):
        train(data, steps=2, out=tmp_path / "m.pt")
    with pytest.raises(UsageError, match=r"schema\.toml: it is read in the same run"):
        train(data, steps=2, schema=schema, out=schema)
    assert (data.read_bytes(), schema.read_bytes()) == before


def test_a_folder_in_the_place_of_the_partial_file_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "m.pt.partial").mkdir()
    with pytest.raises(UsageError, match=r"m\.pt\.partial: it is a folder"):
        run(tmp_path / "m.pt")
    assert not (tmp_path / "m.pt").exists()


@pytest.mark.parametrize("arch", ["vae", "factor-vae"])
def test_interrupted_again_before_the_first_round_is_over_is_the_undisturbed_training(
    arch: str, tmp_path: Path
) -> None:
    """What was read is written again as it was: the steps that were begun on it have left no trace in it."""
    path = tmp_path / "m.pt"
    whole = run(None, arch=arch, steps=800)
    with pytest.raises(TrainingInterrupted):
        run(path, arch=arch, steps=800, stop_at=100)
    with pytest.raises(TrainingInterrupted):
        run(path, arch=arch, steps=800, stop_at=90, resume=True)
    assert torch.equal(weights(whole), weights(run(path, arch=arch, steps=800, resume=True)))


def test_factor_vae_does_all_steps_and_keeps_the_last_weights() -> None:
    """Its objective grows while the discriminator learns: an early value is no better model."""
    trained = run(None, arch="factor-vae", steps=400, patience=1)
    assert (trained.best_step, trained.ended) == (400, "steps")
