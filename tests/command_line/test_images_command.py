"""Images on the command line: audited from files and folders, or refused with one message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

SIDE = 8


class Small(nn.Module):
    """An untrained VAE on 8 x 8 images."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(channels, 4, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))
        with torch.no_grad():
            # latents that follow the image, as those of a trained model do
            self.encoder[3].weight.mul_(5)  # type: ignore[operator, union-attr]
        self.decoder = nn.Sequential(
            nn.Linear(2, 64),
            nn.ReLU(),
            nn.Unflatten(1, (4, 4, 4)),
            nn.ConvTranspose2d(4, channels, 4, 2, 1),
            nn.Sigmoid(),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        image: Tensor = self.decoder(z)
        return image


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.save(Small(), tmp_path / "m.pt")
    return tmp_path / "m.pt"


def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (50, SIDE, SIDE), dtype=np.uint8)


FAST = ("--trust", "--levels", "2", "--rows", "40")


def test_audit_of_an_archive_with_labels(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=images(), y=np.arange(50) % 2)
    done = command("audit", model, tmp_path / "a.npz", *FAST, "--target", "y", "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    assert "What each latent changes in the image" in done.out
    assert "(40 of 50 rows, 64 features" in " ".join(done.out.split())
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["data"]["image"]["shape"] == [1, SIDE, SIDE]
    assert report["data"]["target"] == "y"
    assert report["downstream"]["classes"] == ["0", "1"]
    assert report["data"]["image"]["stored"].startswith("uint8, 0 to 255")


def test_audit_with_a_grid_and_a_range(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    torch.save(torch.as_tensor(images()), tmp_path / "x.pt")
    done = command(
        "audit", model, tmp_path / "x.pt", *FAST, "--grid", 2, "--pixels", "signed", "--json", tmp_path / "a.json"
    )
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "a.json").read_text())
    assert [feature["name"] for feature in report["data"]["features"]] == [
        "patch 0,0",
        "patch 0,1",
        "patch 1,0",
        "patch 1,1",
    ]
    assert report["data"]["image"]["range"] == "intensities from -1 to 1"


def test_inspect_says_how_images_are_given(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images())
    done = command("inspect", model, tmp_path / "x.npy", "--trust")
    assert done.code == 0, done.err
    assert "uint8, 0 to 255" in done.out
    assert "given as 1 x 8 x 8" in " ".join(done.out.split())


def test_a_folder_of_pictures_with_classes(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    for number, picture in enumerate(images()):
        folder = tmp_path / "set" / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image_module.fromarray(picture).save(folder / f"{number:02}.png")
    done = command("audit", model, tmp_path / "set", *FAST, "--target", "folder", "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["downstream"]["classes"] == ["even", "odd"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--condition", "y"), ("--condition", "with images")),
        (("--ignore", "y"), ("--ignore", "with images")),
        (("--grid", "9"), ("--grid 9", "from 1 to 8")),
        (("--pixels", "x"), ("--pixels x", "unit")),
        (("--array", "z"), ("no array 'z'", "'x'")),
        (("--target", "z"), ("no labels 'z'",)),
    ],
)
def test_options_that_make_no_sense(
    command: Callable[..., Any], model: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "a.npz", x=images(), y=np.arange(50) % 2)
    done = command("audit", model, tmp_path / "a.npz", *FAST, *arguments, "--json", tmp_path / "a.json")
    assert done.code == 2
    assert done.out == ""
    for word in ("expected:", "try:", *words):
        assert word in done.err
    assert not (tmp_path / "a.json").exists()


def test_image_options_with_a_table(command: Callable[..., Any], model: Path, csv: Path) -> None:
    for option in (("--grid", 4), ("--array", "x"), ("--pixels", "unit")):
        done = command("audit", model, csv, *FAST, *option)
        assert done.code == 2
        assert f"{option[0]} with a table" in done.err


def test_a_model_of_tables_and_images(command: Callable[..., Any], checkpoint: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=images())
    done = command("audit", checkpoint, tmp_path / "a.npz")
    assert done.code == 2
    assert "takes the columns of a table" in done.err


def test_images_of_another_size(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).random((30, 12, 12, 3)))
    done = command("audit", model, tmp_path / "a.npz", *FAST)
    assert done.code == 2
    assert "12 x 12 with 3 channels" in done.err
    assert "takes 8 x 8 with 1 channel (tried)" in done.err


def test_dci_is_computed_where_it_is_asked_for(command: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    classes = np.zeros((80, 6), dtype=np.int64)
    classes[:, 1:3] = np.stack([np.arange(80) % 2, np.arange(80) % 3], axis=1)
    np.savez(
        tmp_path / "d.npz",
        imgs=np.concatenate([images(), images()[:30]]),
        latents_classes=classes,
        latents_values=classes,
    )
    done = command("audit", model, tmp_path / "d.npz", *FAST, "--dci", "--json", tmp_path / "a.json")
    assert done.code == 0, done.err
    assert "DCI disentanglement" in done.out
    truth = json.loads((tmp_path / "a.json").read_text())["ground_truth"]
    assert truth["names"] == ["shape", "scale"]
    assert [entry["name"] for entry in truth["left_out"]] == ["color", "orientation", "posX", "posY"]
    importance = truth["factors"]["scale"]["importance"]
    assert sum(importance.values()) == pytest.approx(1.0, abs=1e-6)
