"""Images and models brought together: the form in which the model reconstructs is found, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import circuitprobe as cp
from circuitprobe.errors import DataError, UsageError
from circuitprobe.fitting import DataOptions, Fitted, fit
from circuitprobe.probe import Readout
from circuitprobe.types import Link, PixelRange

from .image_nets import SIDE, Conv, Exact

ROWS = 60


def quarters(channels: int = 1, seed: int = 0) -> np.ndarray[Any, Any]:
    """Images of four even quarters, intensities in [0, 1], shape (rows, channels, 8, 8)."""
    values = np.random.default_rng(seed).integers(0, 256, (ROWS, channels, 2, 2)) / 255
    return values.repeat(SIDE // 2, axis=2).repeat(SIDE // 2, axis=3)


def fitted(model: torch.nn.Module, images: np.ndarray[Any, Any], **options: Any) -> Fitted:
    return fit(cp.wrap(model), images, DataOptions(**options))


def reconstruction(found: Fitted) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What the model gives back and what it should, both as intensities in the order of the patches."""
    readout = Readout.build(found.data.features, np.ones(len(found.data.features)))
    x = found.vae.to_input(found.data.x)
    output = found.vae.decode(found.vae.encode(x).mean)
    return readout.read(output).detach().numpy(), readout.rows(torch.as_tensor(found.data.x)).numpy()


def in_patches(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Intensities in the order of 8 x 8 patches of one place each, all channels of a place together."""
    return np.moveaxis(images, 1, 3).reshape(len(images), -1)


STORED = {
    "0 to 1": lambda u: u,
    "0 to 255": lambda u: (u * 255).round().astype(np.uint8),
    "-1 to 1": lambda u: 2 * u - 1,
    "0 to 255 in float": lambda u: (u * 255).round().astype(np.float32),
    "16 bits": lambda u: (u * 65535).round().astype(np.uint16),
}
MODELS = {
    "unit": (Exact(), PixelRange.UNIT),
    "signed": (Exact((-1, 2), (2, -1)), PixelRange.SIGNED),
    "signed in, unit out": (Exact((-1, 2), (1, 0)), PixelRange.SIGNED),
    "bytes": (Exact((0, 255), (255, 0)), PixelRange.BYTES),
    "bytes in, unit out": (Exact((0, 255), (1, 0)), PixelRange.BYTES),
    "unit in, signed out": (Exact((0, 1), (2, -1)), PixelRange.UNIT),
    "logits": (Exact(logits=True), PixelRange.UNIT),
    "signed in, logits out": (Exact((-1, 2), logits=True), PixelRange.SIGNED),
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("model", MODELS)
def test_every_range_is_found_and_read_back_as_intensities(stored: str, model: str) -> None:
    images = quarters()
    net, expected = MODELS[model]
    found = fitted(net, STORED[stored](images))
    assert found.data.image is not None
    assert found.data.image.scaling is expected
    given, target = reconstruction(found)
    np.testing.assert_allclose(target, in_patches(images), atol=1e-6)
    np.testing.assert_allclose(given, in_patches(images), atol=2e-3)
    assert {f.decode.link for f in found.data.features} == {Link.SIGMOID if "logits" in model else Link.IDENTITY}
    assert sum(entry.chosen for entry in found.tried) == 1


def test_half_the_range_changes_a_patch_by_a_half_whatever_the_models_range() -> None:
    """Known answer: a change of intensity by 1/2 is 1 in [-1, 1] and 127.5 in bytes."""
    for takes, gives, step in (((0, 1), (1, 0), 0.5), ((-1, 2), (2, -1), 1.0), ((0, 255), (255, 0), 127.5)):
        found = fitted(Exact(takes, gives), quarters())
        readout = Readout.build(found.data.features, np.ones(SIDE * SIDE))
        output = torch.zeros(2, SIDE * SIDE, dtype=torch.float64)
        output[1] = step
        change = readout.change(readout.read(output[1:]), readout.read(output[:1]))
        np.testing.assert_allclose(change.numpy(), 0.5, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, SIDE, SIDE), (SIDE, SIDE), (SIDE * SIDE,)])
def test_shapes_of_a_row(shape: tuple[int, ...]) -> None:
    images = quarters()
    for given in (images, images[:, 0], images[:, 0][..., None]):
        found = fitted(Exact(shape=shape), given)
        assert found.vae.row_shape == (shape if len(shape) > 1 else ())
        np.testing.assert_allclose(*reconstruction(found), atol=2e-3)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    ("shape", "channels_last"),
    [((3, SIDE, SIDE), False), ((SIDE, SIDE, 3), True), ((3 * SIDE**2,), False), ((3 * SIDE**2,), True)],
)
def test_places_of_the_channels(shape: tuple[int, ...], behind: bool, channels_last: bool) -> None:
    images = quarters(3)
    given = np.moveaxis(images, 1, 3) if behind else images
    found = fitted(Exact(shape=shape, channels_last=channels_last), given)
    assert found.data.image is not None
    assert found.data.image.channels_last is channels_last
    rows, target = reconstruction(found)
    np.testing.assert_allclose(rows, in_patches(images), atol=2e-3)
    np.testing.assert_allclose(target, in_patches(images), atol=1e-9)
    # a patch is all channels of one place
    assert [len(feature.dims) for feature in found.data.features] == [3] * SIDE**2


def test_colour_for_a_grey_model_and_grey_for_a_coloured_one() -> None:
    found = fitted(Conv(1), np.random.default_rng(0).random((20, 16, 16, 3)))
    assert found.data.image is not None
    assert "turned into grey" in found.data.image.layout
    found = fitted(Conv(3), np.random.default_rng(0).random((20, 16, 16)))
    assert found.data.image is not None
    assert "grey repeated" in found.data.image.layout
    assert found.data.image.shape == (3, 16, 16)


def test_other_sizes_are_refused_with_what_the_model_takes_and_the_advice_works() -> None:
    images = torch.rand(20, 1, 28, 28)
    with pytest.raises(DataError) as caught:
        fitted(Conv(1, side=16), images)
    assert "28 x 28" in caught.value.seen
    assert "first layer encoder.0: a convolution of 1 channel" in caught.value.seen
    assert "takes 16 x 16 with 1 channel (tried)" in caught.value.seen
    advice = [line.strip() for line in caught.value.fix.splitlines()[1:]]
    assert advice[1] == "cp.audit(vae, small)"
    scope: dict[str, Any] = {"torch": torch, "images": images}
    exec(advice[0], scope)  # noqa: S102 - the advice is what is tested
    assert fitted(Conv(1, side=16), scope["small"]).data.x.shape == (20, 256)


def test_a_model_of_flat_rows_says_how_many_values_it_takes() -> None:
    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.log_var = torch.nn.Linear(100, 2), torch.nn.Linear(100, 2)
            self.out = torch.nn.Linear(2, 100)

        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.mean(x), self.log_var(x)

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return self.out(z)

    with pytest.raises(DataError, match="first layer mean: 100 values in a row"):
        fitted(Flat(), quarters())


@pytest.mark.parametrize(
    "values", [np.linspace(-2.1, 2.6, 2000), np.linspace(0, 1.4, 2000), np.linspace(-300, 300, 2000)]
)
def test_ranges_that_mean_nothing_are_refused(values: np.ndarray[Any, Any]) -> None:
    with pytest.raises(DataError, match="The pixels of array reach from") as caught:
        fitted(Exact(), values.reshape(20, 10, 10))
    assert "cp.wrap" in caught.value.fix


def test_what_else_is_refused() -> None:
    images = quarters()
    images[7, 0, 3, 3] = np.nan
    with pytest.raises(DataError, match=r"Image 7 of array .* nan"):
        fitted(Exact(), images)
    with pytest.raises(DataError, match="are equal"):
        fitted(Exact(), np.ones((20, 8, 8)))
    for options in ({"condition": ("a",)}, {"ignore": ("a",)}):
        with pytest.raises(UsageError, match=r"with (images|an array)"):
            fitted(Exact(), quarters(), **options)
    with pytest.raises(UsageError, match="--pixels nonsense"):
        fitted(Exact(), quarters(), pixels="nonsense")
    with pytest.raises(UsageError, match="--grid 9"):
        fitted(Exact(), quarters(), grid=9)


def test_grid_and_range_by_hand() -> None:
    found = fitted(Exact(), quarters(), grid=4, pixels="signed")
    assert len(found.data.features) == 16
    assert found.data.image is not None
    assert found.data.image.scaling is PixelRange.SIGNED
    assert [feature.name for feature in found.data.features][-1] == "patch 3,3"


def test_images_smaller_than_the_grid_are_measured_by_pixels() -> None:
    features = cp.audit(Conv(1, side=4), np.random.default_rng(0).random((30, 4, 4)), twin=False, levels=(2,)).data
    assert features.image is not None
    assert features.image.grid == (4, 4)
    assert len(features.features) == 16


def test_a_model_that_reconstructs_nothing_gets_the_plainest_range() -> None:
    class Constant(Exact):
        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return torch.full((len(z), *self.shape), 0.5) + 1e-4 * z[:, :1, None, None]

    found = fitted(Constant(), quarters())
    assert found.data.image is not None
    assert found.data.image.scaling is PixelRange.UNIT


def test_file_and_array_give_the_same_figures(tmp_path: Path) -> None:
    images = (quarters(3) * 255).round().astype(np.uint8)
    np.savez_compressed(tmp_path / "images.npz", images=images)
    options: dict[str, Any] = {"rows": 40, "levels": (1, 2), "twin": False, "resamples": 50}
    model = Exact(shape=(3, SIDE, SIDE))
    by_file = cp.audit(model, tmp_path / "images.npz", **options)
    by_array = cp.audit(model, torch.as_tensor(images), **options)
    assert by_file.latents == by_array.latents
    assert by_file.data.rows_sha256 == by_array.data.rows_sha256
    assert by_file.data.source == "images.npz"


def test_flat_rows_in_a_file_are_in_the_models_space(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(80, 6))
    np.save(tmp_path / "rows.npy", x)

    class Linear(torch.nn.Module):
        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = x[:, :3], torch.full_like(x[:, :3], -4.0)
            return mean, log_var

        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return torch.cat([z, z], dim=1)

    options = DataOptions(rows=30)
    by_file = fit(cp.wrap(Linear()), tmp_path / "rows.npy", options).data
    by_array = fit(cp.wrap(Linear()), x, options).data
    np.testing.assert_array_equal(by_file.x, by_array.x)
    assert by_file.features == by_array.features
    assert (by_file.source, by_file.total) == ("rows.npy", 80)
