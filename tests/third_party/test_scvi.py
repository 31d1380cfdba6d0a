"""scvi-tools' SCVI on counts with two batches; not part of ``make test-adapters``, as scvi-tools wants pandas below 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.errors import DataError, ModelError

scvi = pytest.importorskip("scvi")
anndata = pytest.importorskip("anndata")

CELLS, GENES, LATENTS = 300, 20, 4


@pytest.fixture(scope="module")
def counts() -> Any:
    rng = np.random.default_rng(0)
    causes, donor = rng.normal(size=(CELLS, 3)), rng.integers(0, 2, CELLS)
    rate = np.exp(0.7 * causes @ rng.normal(size=(3, GENES)) + 1 + 0.5 * donor[:, None] * rng.normal(size=GENES))
    x = rng.poisson(rate).astype(np.float32)
    x[:, 0] += 1
    obs = pd.DataFrame({"donor": np.where(donor, "north", "south")}, index=[f"c{i}" for i in range(CELLS)])
    return anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(GENES)]))


def fitted(counts: Any, **settings: Any) -> Any:
    torch.manual_seed(0)
    scvi.model.SCVI.setup_anndata(counts, batch_key="donor")
    model = scvi.model.SCVI(counts, n_latent=LATENTS, n_hidden=32, **settings)
    model.train(max_epochs=120, accelerator="cpu", enable_progress_bar=False, logger=False)
    return model


@pytest.fixture(scope="module")
def model(counts: Any) -> Any:
    return fitted(counts)


def rows(model: Any, counts: Any) -> np.ndarray:
    """Counts, donor, logarithm of the library size."""
    vae = cp.wrap(model)
    assert vae.encoding is not None
    donors = vae.encoding.columns[-1].categories
    x = np.concatenate([counts.X, np.stack([counts.obs["donor"] == name for name in donors], 1)], 1).astype(float)
    return np.concatenate([x, np.log(counts.X.sum(1, keepdims=True))], 1)


def test_both_halves_are_the_librarys(model: Any, counts: Any) -> None:
    x = rows(model, counts)
    vae = cp.wrap(model)
    vae = vae.resolved(vae.to_input(x))
    model.module.eval()
    mean, variance = model.get_latent_representation(return_dist=True)
    with torch.no_grad():
        ours = vae.encode(vae.to_input(x))
        np.testing.assert_allclose(ours.mean[:, :LATENTS], mean, atol=1e-5)
        assert ours.log_var is not None
        np.testing.assert_allclose(ours.log_var[:, :LATENTS].exp(), variance, rtol=1e-4)
        donor = torch.tensor(x[:, GENES : GENES + 2].argmax(1))[:, None]
        wanted = model.module.generative(torch.tensor(mean), torch.tensor(x[:, -1:]).float(), donor)["px"].mean
        assert torch.allclose(vae.decode(ours.mean), wanted, rtol=1e-4)
    assert (vae.condition_width, [latent.name for latent in vae.latents]) == (3, ["z0", "z1", "z2", "z3"])


def test_it_fulfils_what_adapters_must(model: Any, counts: Any) -> None:
    def draw(module: Any, x: Tensor) -> Tensor:
        drawn: Tensor = module.inference(x[:, :GENES], x[:, GENES : GENES + 2].argmax(1, keepdim=True))["z"]
        return drawn

    result = cp.testing.check_adapter(model, rows(model, counts), sample=draw)
    assert all(check.passed for check in result.checks if check.name != "adapting changes nothing")


def test_a_saved_folder_is_audited(
    model: Any, counts: Any, tmp_path: Path, audited: Callable[..., dict[str, Any]]
) -> None:
    model.save(str(tmp_path / "saved"), save_anndata=True)
    table = pd.DataFrame(counts.X, columns=list(counts.var_names))
    table["donor"] = counts.obs["donor"].to_numpy()
    table.to_csv(tmp_path / "cells.csv", index=False)
    with pytest.raises(ModelError, match="pickle"):
        cp.load(tmp_path / "saved")
    report = audited(tmp_path / "saved", tmp_path / "cells.csv", "--trust", "--levels", "1,2")
    assert report["reconstruction"]["reconstructs"] is True
    assert [feature["name"] for feature in report["data"]["features"]] == list(counts.var_names)
    x = rows(model, counts)
    donor, library = torch.tensor(x[:, GENES : GENES + 2].argmax(1))[:, None], torch.tensor(x[:, -1:]).float()
    mean = torch.tensor(model.get_latent_representation())

    def read(codes: Tensor) -> np.ndarray:
        told: np.ndarray = model.module.generative(codes, library, donor)["px"].mean.double().numpy()
        return told

    import plain_loop

    model.module.eval()
    plain_loop.check(report, mean, read)


def test_rows_without_counts_are_refused(model: Any, counts: Any) -> None:
    vae = cp.wrap(model)
    assert vae.row_condition is not None
    with pytest.raises(DataError, match="without any count"):
        vae.row_condition(np.zeros((2, GENES + 2)))


def test_a_latent_library_size_is_refused(counts: Any) -> None:
    scvi.model.SCVI.setup_anndata(counts, batch_key="donor")
    with pytest.raises(ModelError, match="library size that is a latent"):
        cp.wrap(scvi.model.SCVI(counts, use_observed_lib_size=False))
