"""Training on images: rendered, from files, what does not fit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

import circuitprobe as cp
from circuitprobe.adapters.benchmarks import dsprites
from circuitprobe.errors import DataError, UsageError
from circuitprobe.reference_models import ImageConfig, TrainedModel, TrainingInterrupted, train
from circuitprobe.reference_models.training import split_rows
from circuitprobe.reference_models.training_images import RenderedImages, TrainingImages, read_training_images
from reference_models.test_keeping import Stopper, weights

FEW = {"rows": 120, "steps": 6, "batch": 16, "latents": 3}


def run(**options: object) -> TrainedModel:
    return train("dsprites", **{**FEW, **options})  # type: ignore[arg-type]


def save(path: Path, shape: tuple[int, ...], dtype: type = np.uint8) -> Path:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, shape).astype(dtype) if dtype is np.uint8 else rng.random(shape).astype(dtype)
    np.savez(path, images=values)
    return path


def test_rendered_batches_are_the_benchmarks_images() -> None:
    data = read_training_images("dsprites", rows=100, seed=3)
    assert isinstance(data, RenderedImages)
    kept, held_out = split_rows(len(data), 3, "image")
    part = data.part(kept, torch.device("cpu"))
    batch = part.take(torch.tensor([5, 0, 5]))
    expected = dsprites.images(data.index[kept.numpy()[[5, 0, 5]]])
    assert batch.dtype == torch.float32
    assert np.array_equal(batch[:, 0].numpy(), expected)
    assert set(data.index[kept.numpy()]).isdisjoint(data.index[held_out.numpy()])


def test_at_most_1024_images_are_held_out() -> None:
    kept, held_out = split_rows(dsprites.IMAGES, 0, "image")
    assert (len(kept), len(held_out)) == (737_280 - 1024, 1024)
    assert len(split_rows(1000, 0, "image")[1]) == 100


@pytest.mark.parametrize("arch", ["vae", "factor-vae", "beta-tcvae"])
def test_a_seed_decides_every_bit_also_after_a_pause(arch: str, tmp_path: Path) -> None:
    first = run(arch=arch)
    path = tmp_path / "m.pt"
    with pytest.raises(TrainingInterrupted):
        run(arch=arch, out=path, progress=Stopper(4))
    again = run(arch=arch, out=path, resume=True)
    assert torch.equal(weights(first), weights(again))
    assert first.log == again.log
    assert not torch.equal(weights(first), weights(run(arch=arch, seed=1)))


def test_training_reconstructs_better_than_the_mean_image(tmp_path: Path) -> None:
    """A bright square in one of four corners: one of four images explains every pixel."""
    corner = np.arange(240) % 4
    images = np.zeros((240, 16, 16), dtype=np.uint8)
    for row, place in enumerate(corner):
        images[row, 8 * (place // 2) :, 8 * (place % 2) :][:8, :8] = 255
    np.savez(tmp_path / "i.npz", images=images)
    trained = train(tmp_path / "i.npz", steps=400, batch=32, lr=1e-3, latents=3)
    x = torch.from_numpy(images[:, None]).float() / 255
    with torch.no_grad():
        reconstruction = trained.model(x)[0]
    assert float((reconstruction - x).square().mean()) < 0.2 * float((x - x.mean(0)).square().mean())
    assert trained.log[-1].validation < 0.5 * trained.log[0].validation


def test_a_checkpoint_of_images_is_audited_as_it_was_trained(tmp_path: Path) -> None:
    run(out=tmp_path / "m.pt")
    vae = cp.load(tmp_path / "m.pt")
    assert vae.row_shape == (1, 64, 64)
    report = cp.audit(vae, "dsprites", rows=40, levels=(2,), resamples=10, permutations=10, truth_rows=0)
    assert report.model.class_name == "ImageVAE"
    assert report.data.image is not None
    assert report.data.image.shape == (1, 64, 64)
    assert report.data.image.range == "intensities from 0 to 1"
    assert len(report.latents) == 3


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((60, 16, 16), np.uint8, (1, 16, 16)),
        ((60, 32, 16, 3), np.uint8, (3, 32, 16)),
        ((60, 3, 16, 32), np.float32, (3, 16, 32)),
    ],
)
def test_files_of_images(shape: tuple[int, ...], dtype: type, expected: tuple[int, int, int], tmp_path: Path) -> None:
    path = save(tmp_path / "i.npz", shape, dtype)
    data = read_training_images(path)
    assert isinstance(data, TrainingImages)
    assert tuple(data.x.shape) == (60, *expected)
    assert 0.0 <= float(data.x.min()) < float(data.x.max()) <= 1.0
    trained = train(path, steps=2, latents=2, batch=8)
    assert trained.model.config == ImageConfig("vae", 2, expected)


def test_no_more_images_are_held_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuitprobe.reference_models.training_images.HELD", 70 * 16 * 16 * 4)
    path = save(tmp_path / "i.npz", (90, 16, 16))
    assert len(read_training_images(path)) == 70
    assert len(read_training_images(path, rows=80)) == 80


def test_digest_tells_images_apart(tmp_path: Path) -> None:
    data = read_training_images("dsprites", rows=100)
    assert data.digest() == read_training_images("dsprites", rows=100).digest()
    assert data.digest() != read_training_images("dsprites", rows=100, seed=1).digest()
    held = read_training_images(save(tmp_path / "i.npz", (60, 16, 16)))
    assert isinstance(held, TrainingImages)
    assert held.digest() == hashlib.sha256(held.x.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("shape", "said", "fix"),
    [
        ((60, 28, 28), "28 x 28", "resize them to 32 x 32"),
        ((60, 17, 64), "17 x 64", "resize them to 16 x 64"),
        ((20, 16, 16), "20 images", "more images"),
        ((60, 16), "rows of 16 numbers", "CSV"),
    ],
)
def test_images_that_do_not_fit(shape: tuple[int, ...], said: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        train(save(tmp_path / "i.npz", shape), steps=1)
    assert said in caught.value.seen
    assert fix in caught.value.fix


def test_too_few_rendered_images_are_refused() -> None:
    with pytest.raises(DataError, match="dsprites has 1 images") as caught:
        run(rows=1)
    assert "--rows 50" in caught.value.fix


def test_a_file_named_as_the_benchmark_is_not_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "i.npz", (60, 16, 16)).rename(tmp_path / "dsprites")
    assert isinstance(read_training_images("dsprites"), TrainingImages)
    assert train("dsprites", steps=1, latents=2).origin.rows == 54


@pytest.mark.parametrize("option", [{"target": "shape"}, {"hidden": (8,)}, {"schema": "s.toml"}])
def test_options_of_tables_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(option))} with the images"):
        run(**option)
