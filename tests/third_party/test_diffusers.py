"""diffusers' autoencoders: codes that are maps, folders of ``save_pretrained``, images in [-1, 1] inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers_models
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor

import circuitprobe as cp
from circuitprobe.errors import ModelError

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def kl() -> Any:
    return diffusers_models.train(diffusers_models.make_kl(), diffusers_models.images())


@pytest.fixture(scope="module")
def vq() -> Any:
    return diffusers_models.train(diffusers_models.make_vq(), diffusers_models.images())


def test_posterior_and_images_are_the_models_own(kl: Any) -> None:
    x = diffusers_models.images(7)
    vae = cp.wrap(kl).resolved(x.flatten(1))
    with torch.no_grad():
        own = kl.encode(2 * x - 1).latent_dist
        ours = vae.encode(x.flatten(1))
        assert torch.equal(ours.mean, own.mean.flatten(1))
        assert ours.log_var is not None
        assert torch.equal(ours.log_var, own.logvar.flatten(1))
        assert torch.allclose(vae.decode(ours.mean).reshape(x.shape), (kl.decode(own.mean).sample + 1) / 2)
    assert vae.row_shape == (1, 16, 16)
    assert (vae.code_shape, [len(latent.dims) for latent in vae.latents]) == ((2, 8, 8), [64, 64])


def test_codes_of_a_vqmodel_are_its_indices(vq: Any) -> None:
    x = diffusers_models.images(7)
    vae = cp.wrap(vq).resolved(x.flatten(1))
    with torch.no_grad():
        latents = vq.encode(2 * x - 1).latents
        indices = vq.quantize(latents)[2][2].reshape(7, 64)
        ours = vae.encode(x.flatten(1))
        assert (vae.codes, vae.code_shape, len(vae.latents)) == (16, (8, 8), 64)
        assert torch.equal(ours.mean.long(), indices)
        assert ours.log_var is None
        assert torch.allclose(vae.decode(ours.mean).reshape(x.shape), (vq.decode(latents).sample + 1) / 2, atol=1e-6)
    assert len(indices.unique()) > 1


@pytest.mark.parametrize("way", ["pretrained", "pretrained pickle", "pipeline", "pickle", "safetensors", "state_dict"])
def test_every_way_of_saving_gives_the_same_model(
    way: str, kl: Any, tmp_path: Path, audited: Callable[..., Any]
) -> None:
    saved, options = save(kl, way, tmp_path)
    given: dict[str, Any] = {"factory": options[1]} if "--factory" in options else {}
    loaded = cp.load(saved, trust="--trust" in options, **given)
    x = diffusers_models.images(5).flatten(1)
    with torch.no_grad():
        assert torch.equal(loaded.encode(x).mean, cp.wrap(kl).encode(x).mean)
    assert any("diffusers 0." in line for line in loaded.recognition.evidence)
    # a table whose columns are the pixels in order
    pd.DataFrame(diffusers_models.images(16).flatten(1).numpy()).add_prefix("p").to_csv(
        tmp_path / "pixels.csv", index=False
    )
    report = audited(saved, tmp_path / "pixels.csv", *options, "--levels", "2", "--rows", "16")
    assert report["reconstruction"]["reconstructs"] is True
    assert report["model"]["class_name"] == "AutoencoderKL"


def save(model: Any, way: str, folder: Path) -> tuple[Path, tuple[str, ...]]:
    if way.startswith("pretrained"):
        model.save_pretrained(folder / "vae", safe_serialization=way == "pretrained")
        return folder / "vae", ()
    if way == "pipeline":
        model.save_pretrained(folder / "pipeline" / "vae")
        return folder / "pipeline", ()
    if way == "pickle":
        torch.save(model, folder / "model.pt")
        return folder / "model.pt", ("--trust",)
    if way == "safetensors":
        model.save_pretrained(folder / "vae")
        return folder / "vae" / "diffusion_pytorch_model.safetensors", ("--factory", "diffusers_models:make_kl")
    torch.save(model.state_dict(), folder / "weights.pt")
    return folder / "weights.pt", ("--factory", "diffusers_models:make_kl")


def test_effects_of_channels_against_a_plain_loop(kl: Any) -> None:
    x = diffusers_models.images(60)
    report = cp.audit(kl, x.numpy(), levels=(2,), twin=False, resamples=20).model_dump(mode="json")
    dims = [feature["dims"] for feature in report["data"]["features"]]
    with torch.no_grad():
        own = kl.encode(2 * x - 1).latent_dist
        mean = own.mean
        before = read(kl, mean)
        for channel, latent in enumerate(report["latents"]):
            moved = []
            for codes in intervened(mean, own.logvar, channel, latent):
                change = np.abs(read(kl, codes) - before)
                moved.append(np.stack([change[:, each].mean(1) for each in dims], 1))
            wanted = np.mean(moved, axis=(0, 1))
            told = [latent["effects"][feature["name"]]["value"] for feature in report["data"]["features"]]
            np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-6 * wanted.max())
            strength = np.sqrt(np.mean(np.square(moved), axis=2)).mean()
            assert latent["ces"]["value"] == pytest.approx(strength, rel=1e-5)


def intervened(mean: Tensor, log_var: Tensor, channel: int, latent: dict[str, Any]) -> list[Tensor]:
    """The codes with every position of a channel at its own posterior-calibrated values, found here by bisection."""
    m, sigma = (part[:, channel].flatten(1).double().numpy() for part in (mean, (0.5 * log_var).exp()))
    runs = []
    for k in range(8):
        low, high = (m - 9 * sigma).min(0), (m + 9 * sigma).max(0)
        for _ in range(80):
            middle = (low + high) / 2
            below = ndtr((middle - m) / sigma).mean(0) < (k + 0.5) / 8
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        assert latent["posterior_values"][k] == pytest.approx(middle.mean(), rel=1e-6, abs=1e-7)
        codes = mean.clone()
        codes[:, channel] = torch.tensor(middle.reshape(8, 8), dtype=torch.float32)
        runs.append(codes)
    return runs


def read(model: Any, codes: Tensor) -> np.ndarray:
    rows: np.ndarray = ((model.decode(codes).sample + 1) / 2).flatten(1).double().numpy()
    return rows


def test_nothing_asks_the_network(kl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    kl.save_pretrained(tmp_path / "vae")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert cp.load(tmp_path / "vae").source == "vae"
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match="without its weights"):
        cp.load(tmp_path / "vae")


def test_a_distilled_autoencoder_is_refused() -> None:
    model = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    with pytest.raises(ModelError, match="no variance"):
        cp.wrap(model)
