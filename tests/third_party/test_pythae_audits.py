"""pythae models saved in every way their users save them, audited by the bare command line, recomputed by plain loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plain_loop
import pytest
import pythae_models
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.errors import ModelError

models = pytest.importorskip("pythae.models")

Audit = Callable[..., dict[str, Any]]
WAYS = ("pickle", "state_dict", "folder")


def save(model: nn.Module, way: str, folder: Path) -> tuple[object, ...]:
    """Save a model as its users do, and give what the command line needs for it."""
    if way == "pickle":
        torch.save(model, folder / "model.pt")
        return folder / "model.pt", "--trust"
    if way == "state_dict":
        torch.save(model.state_dict(), folder / "weights.pt")
        return folder / "weights.pt", "--factory", f"pythae_models:make_{type(model).__name__.lower()}"
    model.save(str(folder / "saved"))
    return (folder / "saved",)


def rows_of(report: dict[str, Any]) -> Tensor:
    """The audited rows, from the table and the report's encoding."""
    features = report["data"]["features"]
    frame = pythae_models.table()[[feature["name"] for feature in features]]
    center = np.array([feature["center"] for feature in features])
    scale = np.array([feature["scale"] for feature in features])
    return torch.tensor((frame.to_numpy() - center) / scale, dtype=torch.float32)


def codes_of(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        if type(model).__name__ == "VQVAE":
            embedded = model.encoder(x).embedding.reshape(len(x), 1, 1, -1).permute(0, 2, 3, 1)
            return model.quantizer(embedded).quantized_indices.reshape(len(x), -1).float()
        return model.encoder(x).embedding


def reconstruction(model: Any, codes: Tensor) -> np.ndarray:
    if type(model).__name__ == "VQVAE":
        codes = model.quantizer.embeddings.weight[codes.long()][..., 0]
    return model.decoder(codes).reconstruction.double().numpy()


@pytest.mark.parametrize("name", list(pythae_models.SETTINGS))
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_saving_gives_the_loops_figures(name: str, way: str, tmp_path: Path, audited: Audit) -> None:
    model = pythae_models.trained(name)
    pythae_models.table().to_csv(tmp_path / "people.csv", index=False)
    saved, *options = save(model, way, tmp_path)
    # all four levels once per model, and in every way for one: seconds each
    whole = way == "folder" or name == "VAE"
    report = audited(saved, tmp_path / "people.csv", *options, *(() if whole else ("--levels", "2")))
    assert report["reconstruction"]["reconstructs"] is True
    assert any("adapter pythae" in line and "pythae 0." in line for line in report["model"]["evidence"])
    assert [level["run"] for level in report["levels"]] == [whole, True, whole, whole]
    x = rows_of(report)
    plain_loop.check(report, codes_of(model, x), lambda codes: reconstruction(model, codes))
    if name == "HVAE":
        spread = nn.functional.softplus(model.encoder(x).log_covariance.detach()).double().numpy()
        mean = codes_of(model, x).double().numpy()
        kl = (0.5 * (mean**2 + spread**2 - 1) - np.log(spread)).mean(0)
        np.testing.assert_allclose([entry["kl"]["value"] for entry in report["latents"]], kl, rtol=1e-4)


def test_a_trainings_folder_gives_its_final_model(tmp_path: Path, audited: Audit) -> None:
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    x = pythae_models.table().to_numpy(dtype=np.float32)
    config = BaseTrainerConfig(output_dir=str(tmp_path / "runs"), num_epochs=12, steps_saving=1, no_cuda=True)
    TrainingPipeline(model=pythae_models.make_betavae(), training_config=config)(train_data=x)
    training = next((tmp_path / "runs").iterdir())
    final, tenth = cp.load(training), cp.load(training / "checkpoint_epoch_10")
    assert torch.equal(final.model.state_dict()["encoder.embedding.weight"], weights(training / "final_model"))
    assert torch.equal(tenth.model.state_dict()["encoder.embedding.weight"], weights(training / "checkpoint_epoch_10"))
    assert not torch.equal(weights(training / "final_model"), weights(training / "checkpoint_epoch_2"))
    # a training that was cut off has no final model: the last epoch counts, and 10 comes after 9
    (training / "final_model").rename(training / "elsewhere")
    assert torch.equal(
        cp.load(training).model.state_dict()["encoder.embedding.weight"], weights(training / "checkpoint_epoch_12")
    )
    pythae_models.table().to_csv(tmp_path / "people.csv", index=False)
    assert audited(training, tmp_path / "people.csv", "--levels", "2")["model"]["class_name"] == "BetaVAE"


def weights(folder: Path) -> Tensor:
    state: dict[str, Tensor] = torch.load(folder / "model.pt", weights_only=True)["model_state_dict"]
    return state["encoder.embedding.weight"]


def test_parts_of_ones_own_are_pickles_and_need_trust(tmp_path: Path) -> None:
    import own_parts

    model = own_parts.make_images()
    model.save(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "encoder.pkl").exists()
    with pytest.raises(ModelError, match=r"whose pickles would import cloudpickle") as caught:
        cp.load(tmp_path / "saved")
    assert "--trust" in caught.value.fix
    loaded = cp.load(tmp_path / "saved", trust=True)
    assert loaded.row_shape == (1, 16, 16)
    x = torch.rand(3, 256)
    assert torch.equal(loaded.encode(x).mean, cp.wrap(model).encode(x).mean)


def test_images_against_the_loop() -> None:
    import own_parts

    model, x = own_parts.trained_images()
    report = cp.audit(model, x.numpy(), levels=(1, 2), twin=False).model_dump(mode="json")
    assert report["reconstruction"]["reconstructs"] is True
    assert len(report["data"]["features"]) == 64
    dims = [dim for feature in report["data"]["features"] for dim in feature["dims"]]

    def read(codes: Tensor) -> np.ndarray:
        return model.decoder(codes).reconstruction.flatten(1).double().numpy()[:, dims]

    plain_loop.check(report, model.encoder(x).embedding.detach(), read)


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    pythae_models.make_vae().save(str(tmp_path / "saved"))
    (tmp_path / "saved" / "model.pt").unlink()
    with pytest.raises(ModelError, match=r"no model\.pt"):
        cp.load(tmp_path / "saved")


def test_a_damaged_folder_ends_in_a_message(tmp_path: Path) -> None:
    pythae_models.make_vae().save(str(tmp_path / "saved"))
    (tmp_path / "saved" / "model.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ModelError, match=r"damaged or cut off|cannot load"):
        cp.load(tmp_path / "saved")
