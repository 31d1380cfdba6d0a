"""synthcity's TVAE; not part of ``make test-adapters``, as synthcity wants torch below 2.3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.errors import ModelError

tabular_vae = pytest.importorskip("synthcity.plugins.core.models.tabular_vae")

LATENTS = 4


def table(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame(
        {
            "wage": np.where(a > 0, 4000.0, 1000.0) + 150 * b + 20 * rng.normal(size=rows),
            "city": np.where(b > 0.4, "Rome", np.where(b < -0.4, "Oslo", "Bonn")).astype(object),
            "height": 170 + 9 * b + rng.normal(size=rows),
        }
    )


@pytest.fixture(scope="module")
def model() -> Any:
    made = tabular_vae.TabularVAE(
        table(),
        n_units_embedding=LATENTS,
        n_iter=60,
        batch_size=64,
        encoder_max_clusters=5,
        decoder_n_units_hidden=64,
        encoder_n_units_hidden=64,
        lr=2e-3,
        device="cpu",
    )
    return made.fit(table()).eval()


def rows(model: Any) -> np.ndarray:
    vae, frame = cp.wrap(model), table()
    assert vae.encoding is not None
    assert vae.row_condition is not None
    wage, city, height = vae.encoding.columns
    x = np.stack(
        [
            (frame["wage"] - wage.center) / wage.scale,
            *[(frame["city"] == name).astype(float) for name in city.categories],
            (frame["height"] - height.center) / height.scale,
        ],
        1,
    )
    return np.concatenate([x, vae.row_condition(x)], 1)


def test_both_halves_are_the_librarys(model: Any) -> None:
    x = rows(model)
    vae = cp.wrap(model)
    vae = vae.resolved(vae.to_input(x))
    own = torch.tensor(model.encode(table()).to_numpy(dtype=np.float32))
    given = torch.tensor(x[:, -3:], dtype=torch.float32)
    with torch.no_grad():
        mean, log_var = model.model.encoder(own, given)
        ours = vae.encode(vae.to_input(x))
        assert torch.allclose(ours.mean[:, :LATENTS], mean, atol=1e-5)
        assert ours.log_var is not None
        assert torch.allclose(ours.log_var[:, :LATENTS], log_var, atol=1e-5)
        decoded = vae.decode(ours.mean).numpy()
        torch.manual_seed(0)
        drawn = torch.stack([model.model.decoder(mean[:20], given[:20])[:, 6:9].argmax(1) for _ in range(2000)])
        alpha = model.model.decoder(mean, given)[:, :1].numpy()  # tanh draws nothing
        logits = model.model.decoder.model.model[:-1](torch.cat([mean, given], 1))
    shares = np.stack([(drawn == place).double().mean(0).numpy() for place in range(3)], 1)
    assert np.abs(shares - decoded[:20, 1:4]).max() < 6 * 0.5 / 2000**0.5
    encoder = model.encoder.layout()[0].transform
    each = [encoder._inverse_transform(np.concatenate([alpha, np.tile(one, (len(alpha), 1))], 1)) for one in np.eye(5)]
    assert cp.wrap(model).encoding is not None
    wage = vae.encoding.columns[0]  # type: ignore[union-attr]
    wanted = (logits[:, 1:6].softmax(1).numpy() * np.stack(each, 1)).sum(1)
    np.testing.assert_allclose(decoded[:, 0] * wage.scale + wage.center, wanted, rtol=1e-5, atol=1e-2)


def test_it_fulfils_what_adapters_must(model: Any) -> None:
    x = rows(model)
    own = torch.tensor(model.encode(table()).to_numpy(dtype=np.float32))

    def draw(module: Any, given: Tensor) -> Tensor:
        few = len(given)
        drawn: Tensor = module.model._reparameterize(*module.model.encoder(own[:few], given[:, -3:]))
        return drawn

    assert cp.testing.check_adapter(model, x, sample=draw).failed == ()


def test_a_table_is_audited(model: Any) -> None:
    report = cp.audit(model, table(), levels=(1, 2), resamples=20, permutations=20)
    assert report.reconstruction.reconstructs
    assert [feature.name for feature in report.data.features] == ["wage", "city", "height"]
    assert any("Gumbel" in line for line in report.model.evidence)


def test_conditions_of_ones_own_are_refused() -> None:
    frame = table(200)
    made = tabular_vae.TabularVAE(frame, n_units_embedding=2, cond=frame["city"], n_iter=1, device="cpu")
    with pytest.raises(ModelError, match="conditions of its user's own"):
        cp.wrap(made)
