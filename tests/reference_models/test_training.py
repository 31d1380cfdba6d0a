"""Determinism, the validation split, recovery of known factors, bad input."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from circuitprobe.adapters.data import ColumnSchema, TableSchema
from circuitprobe.errors import CircuitProbeError, DataError, UsageError
from circuitprobe.reference_models import StepLosses, TrainedModel, rebuild, train
from circuitprobe.reference_models.likelihoods import kl_to_prior
from circuitprobe.reference_models.objectives import objective_for
from circuitprobe.reference_models.trained import Plan
from circuitprobe.reference_models.training import split_rows, train_rows
from circuitprobe.reference_models.training_loop import LoopSettings
from circuitprobe.reference_models.training_rows import TrainingRows, column_at, read_training_rows
from circuitprobe.types import TableEncoding
from reference_models.mixed_table import MIXED, mixed_rows, two_factor_rows

CPU = torch.device("cpu")


def run(
    data: TrainingRows, beta: float | None = None, steps: int = 30, seed: int = 0, lr: float = 1e-3
) -> TrainedModel:
    arch = "vae" if beta is None else "beta-vae"
    plan = Plan(objective_for(arch, beta=beta), LoopSettings(steps, 64, lr, seed))
    return train_rows(data, arch, 4, (32, 32), plan, CPU)


def weights(trained: TrainedModel) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.model.state_dict().values()])


def small_frame(rows: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "height": 170 + 10 * factor,
            "weight": 70 + 8 * factor + rng.normal(size=rows),
            "color": np.where(factor > 0, "red", "blue"),
            "label": rng.integers(0, 3, rows).astype(str),
        }
    )


def encoded(trained: TrainedModel) -> TableEncoding:
    assert trained.origin.encoding is not None
    return trained.origin.encoding


class Recorder:
    """Counts what it is told; raises at a step if asked to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.total = self.done = self.closed = 0
        self.losses: list[StepLosses] = []

    def start(self, total_steps: int, done: int = 0, batch: int = 1) -> None:
        del batch
        self.total, self.done = total_steps, done

    def advance(self, steps: int, losses: StepLosses) -> None:
        self.done += steps
        self.losses.append(losses)
        if self.stop_at is not None and self.done >= self.stop_at:
            raise KeyboardInterrupt

    def close(self) -> None:
        self.closed += 1


def test_a_seed_decides_every_bit() -> None:
    data = mixed_rows()
    before = torch.random.get_rng_state()
    first, again, other = run(data), run(data), run(data, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(weights(first), weights(again))
    assert first.log == again.log
    assert not torch.equal(weights(first), weights(other))


def test_validation_rows_are_a_disjoint_tenth() -> None:
    for rows in (50, 333, 5000):
        kept, held_out = split_rows(rows, seed=3)
        assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(rows))
        assert len(held_out) == round(rows / 10)
    assert not torch.equal(held_out, split_rows(rows, seed=4)[1])


def test_validation_rows_give_no_gradient_but_are_scored() -> None:
    data = mixed_rows()
    changed = data.x.clone()
    changed[split_rows(len(data.x), 0)[1], 0] += 5.0
    first, second = run(data), run(TrainingRows(changed, data.encoding, "mixed", None, ()))
    assert torch.equal(weights(first), weights(second))
    assert second.log[-1].validation > first.log[-1].validation + 1.0


def test_a_trained_row_does_change_the_weights() -> None:
    data = mixed_rows()
    changed = data.x.clone()
    changed[split_rows(len(data.x), 0)[0][0], 0] += 5.0
    assert not torch.equal(weights(run(data)), weights(run(TrainingRows(changed, data.encoding, "mixed", None, ()))))


def test_two_factors_are_recovered() -> None:
    """Six standardised columns of two factors: two latents carry them, the noise of 0.1 is left over."""
    data = two_factor_rows()
    trained = run(data, steps=900)
    with torch.no_grad():
        reconstruction, mean, log_var = trained.model(data.x)
        kl = kl_to_prior(mean, log_var).mean(0).sort(descending=True).values
    assert float((reconstruction - data.x).square().mean()) < 0.05
    assert kl[1] > 0.5
    assert trained.log[-1].validation < trained.log[0].validation - 1.0
    found = mean.numpy()
    for column in (0, 3):
        best = max(abs(np.corrcoef(found[:, i], data.x[:, column])[0, 1]) for i in range(4))
        assert best > 0.7


def test_a_larger_beta_gives_less_kl() -> None:
    data = two_factor_rows(600)
    kl = [run(data, beta=beta, steps=300).log[-1].kl for beta in (0.5, 1.0, 6.0)]
    assert kl[0] > kl[1] + 0.2
    assert kl[1] > kl[2] + 0.5


def test_log_adds_up() -> None:
    trained = run(mixed_rows(), beta=3.0, steps=12)
    assert [entry.step for entry in trained.log] == list(range(1, 13))
    assert trained.log[-1].epoch == pytest.approx(12 / (270 // 64))
    for entry in trained.log:
        assert entry.total == pytest.approx(entry.reconstruction + 3.0 * entry.kl)
        assert entry.regulariser == 0.0
    assert trained.training_dict()["rows"] == 270
    assert trained.training_dict()["validation_rows"] == 30


def test_progress_is_told_of_every_step() -> None:
    recorder = Recorder()
    train(small_frame(), steps=25, batch=16, progress=recorder)
    assert (recorder.total, recorder.done, recorder.closed) == (25, 25, 1)
    assert all(math.isfinite(losses.total) for losses in recorder.losses)


def test_a_frame_becomes_a_checkpoint(tmp_path: Path) -> None:
    trained = train(
        small_frame(), arch="beta-vae", beta=1.5, latents=3, epochs=2, target="label", out=tmp_path / "m.pt"
    )
    assert [column.name for column in encoded(trained).columns] == ["height", "weight", "color"]
    model, encoding, rest = rebuild(torch.load(tmp_path / "m.pt", weights_only=True))
    assert torch.equal(model.decode(torch.ones(2, 3)), trained.model.decode(torch.ones(2, 3)))  # type: ignore[operator]
    assert encoding == trained.origin.encoding
    assert rest["target"] == "label"
    assert rest["training"]["beta"] == 1.5
    assert [entry["epoch"] for entry in rest["training"]["log"]] == [1.0, 2.0]


def test_default_length_has_a_floor_for_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuitprobe.reference_models.training.MIN_STEPS", 50)
    monkeypatch.setattr("circuitprobe.reference_models.training.EPOCHS", 2)
    assert train(small_frame(), batch=16).plan.loop.steps == 54
    assert train(small_frame(), batch=1, rows=60).plan.loop.steps == 108
    assert train(small_frame(), batch=16, epochs=3).plan.loop.steps == 18


def test_a_benchmark_keeps_its_outcomes_out() -> None:
    data = read_training_rows("wine_quality", rows=100)
    assert data.target == "quality"
    assert data.ignored == ("color",)
    assert len(data.encoding.columns) == 11
    other = read_training_rows("wine_quality", rows=100, target="color")
    assert (other.target, other.ignored) == ("color", ("quality",))
    assert "fnlwgt" in read_training_rows("adult", rows=100).ignored


def test_the_schema_names_the_target_and_ignores_columns() -> None:
    schema = TableSchema(target="label", columns=(ColumnSchema("weight", ignore=True),))
    data = read_training_rows(small_frame(), schema=schema)
    assert data.target == "label"
    assert data.ignored == ("weight",)
    assert [column.name for column in data.encoding.columns] == ["height", "color"]


def test_columns_to_ignore_are_kept_out() -> None:
    trained = train(small_frame(), target="label", ignore=["weight"], steps=2)
    assert [column.name for column in encoded(trained).columns] == ["height", "color"]
    assert trained.origin.ignored == ("weight",)
    with pytest.raises(DataError, match=r"'wieght' to keep out \(--ignore\)") as caught:
        train(small_frame(), ignore="wieght")
    assert "'weight'" in caught.value.fix


def test_numeric_columns_are_standardised_and_complete() -> None:
    frame = small_frame()
    frame.loc[::7, "height"] = np.nan
    x = read_training_rows(frame, target="label").x
    assert torch.isfinite(x).all()
    assert float(x[:, 1].mean()) == pytest.approx(0, abs=1e-5)
    assert float(x[:, 1].std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_column_at_finds_the_column_of_a_dimension() -> None:
    assert [column_at(MIXED, dim) for dim in range(8)] == ["a", *["color"] * 3, "flag", "b", *["size"] * 2]


def test_values_beyond_32_bits_are_refused() -> None:
    frame = small_frame()
    schema = TableSchema(columns=(ColumnSchema("weight", center=0.0, scale=1e-300),))
    with pytest.raises(DataError, match="'weight'"):
        read_training_rows(frame, schema=schema)


def test_tables_that_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="49 rows"):
        train(small_frame(49))
    with pytest.raises(DataError, match="'lable'") as caught:
        train(small_frame(), target="lable")
    assert "'label'" in caught.value.fix
    with pytest.raises(DataError, match="no column that a model"):
        train(small_frame()[["label"]], target="label")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arch": "vea"}, "unknown architecture"),
        ({"beta": 2.0}, "beta 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"steps": -1}, "steps is -1"),
        ({"latents": 0}, "latents is 0"),
        ({"hidden": (8, 0)}, r"hidden\[1\] is 0"),
        ({"hidden": ()}, "no hidden layer"),
        ({"lr": math.nan}, "lr is nan"),
        ({"epochs": 1, "steps": 1}, "both epochs"),
        ({"device": "abacus"}, "'abacus'"),
        ({"out": "no/such/folder/m.pt"}, "no folder"),
    ],
)
def test_senseless_options_are_refused_before_the_table_is_read(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        train("there-is-no-such-file.csv", **options)  # type: ignore[arg-type]


def test_errors_are_the_users_kind() -> None:
    with pytest.raises(CircuitProbeError):
        train("there-is-no-such-file.csv")
