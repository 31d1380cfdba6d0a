"""CTGAN's TVAE: what ``save`` writes has no encoder; its numeric columns are a scalar and a mode each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plain_loop
import pytest
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.errors import ModelError

tvae_module = pytest.importorskip("ctgan.synthesizers.tvae")

LATENTS = 4


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Two causes; a number with two modes, a plain one, a column of words and one of numbers that are categories."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    return pd.DataFrame(
        {
            "wage": np.where(a > 0, 4000.0, 1000.0) + 150 * b + 20 * rng.normal(size=rows),
            "city": np.where(b > 0.4, "Rome", np.where(b < -0.4, "Oslo", "Bonn")),
            "height": 170 + 9 * b + rng.normal(size=rows),
            "grade": np.where(a > 0.5, 3, np.where(a < -0.5, 1, 2)),
        }
    )


@pytest.fixture(scope="module")
def synthesizer() -> Any:
    """A TVAE trained for seconds, with the encoder that ``fit`` throws away kept beside it."""
    kept: list[torch.nn.Module] = []

    def keeping(self: torch.nn.Module, *where: Any) -> torch.nn.Module:
        kept.append(self)
        return torch.nn.Module.to(self, *where)

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - ctgan draws from the global generator
    model = tvae_module.TVAE(
        embedding_dim=LATENTS, compress_dims=(32,), decompress_dims=(32,), batch_size=50, epochs=40
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tvae_module.Encoder, "to", keeping)
        model.fit(table(), ["city", "grade"])
    model.kept = kept[0].eval()
    return model


@pytest.fixture
def whole(synthesizer: Any) -> Any:
    """The same with its encoder where an audit finds it."""
    synthesizer.encoder = synthesizer.kept
    yield synthesizer
    del synthesizer.encoder


def library_rows(model: Any, codes: Tensor) -> np.ndarray:
    """Readings by the library's own means: its decoder, its activations, its inverse transform, mode by mode."""
    output = model.decoder(codes)[0].detach().to(torch.float64)
    parts, start = [], 0
    for info in model.transformer._column_transform_info_list:
        block = output[:, start : start + info.output_dimensions]
        start += info.output_dimensions
        if info.column_type == "discrete":
            parts.append(block.softmax(1).numpy())
            continue
        scalar, modes = block[:, 0].tanh().numpy(), block[:, 1:].softmax(1).numpy()
        values = []
        for mode in range(modes.shape[1]):
            given = pd.DataFrame(
                {f"{info.column_name}.normalized": scalar, f"{info.column_name}.component": float(mode)}
            )
            values.append(info.transform.reverse_transform(given)[info.column_name].to_numpy())
        parts.append((modes * np.stack(values, 1)).sum(1, keepdims=True))
    return np.concatenate(parts, 1)


def raw_units(vae: cp.ProbedVAE) -> tuple[np.ndarray, np.ndarray]:
    """Center and scale of every dimension of the audited rows."""
    assert vae.encoding is not None
    center = np.concatenate([np.full(column.width, column.center) for column in vae.encoding.columns])
    return center, np.concatenate([np.full(column.width, column.scale) for column in vae.encoding.columns])


def test_columns_are_the_tables_own(synthesizer: Any) -> None:
    vae = cp.wrap(synthesizer)
    assert vae.encoding is not None
    assert [column.name for column in vae.encoding.columns] == ["wage", "city", "height", "grade"]
    assert vae.encoding.columns[1].categories == tuple(
        synthesizer.transformer._column_transform_info_list[1].transform.dummies
    )
    assert sorted(vae.encoding.columns[3].categories) == ["1", "2", "3"]
    assert len(synthesizer.transformer.output_info_list[0]) == 2  # the library has a scalar and modes for it


def test_decoded_rows_are_the_librarys(synthesizer: Any) -> None:
    vae = cp.wrap(synthesizer)
    codes = torch.randn(200, LATENTS, generator=torch.Generator().manual_seed(1))
    center, scale = raw_units(vae)
    with torch.no_grad():
        ours = vae.decode(codes).numpy() * scale + center
    wanted = library_rows(synthesizer, codes)
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-4)
    assert np.ptp(wanted[:, 0]) > 1000  # both modes of the wage are decoded


def test_without_an_encoder_the_reason_is_said(synthesizer: Any) -> None:
    vae = cp.wrap(synthesizer)
    assert "keeps the decoder alone" in vae.prior_only
    assert (vae.code_width, vae.recognition.encode) == (LATENTS, "none")
    with pytest.raises(ModelError, match="no encoder"):
        vae.encode(torch.zeros(2, 8))


def test_rows_are_encoded_as_the_transformer_does_at_its_most_probable_mode(whole: Any) -> None:
    frame = table(300, seed=5)
    vae = cp.wrap(whole)
    assert vae.prior_only == ""
    center, scale = raw_units(vae)
    transformer = whole.transformer
    np.random.seed(0)  # noqa: NPY002
    own = transformer.transform(frame)
    raw, start, agree = [], 0, np.ones(len(frame), dtype=bool)
    for info in transformer._column_transform_info_list:
        block = own[:, start : start + info.output_dimensions]
        start += info.output_dimensions
        if info.column_type == "discrete":
            raw.append(block)
            continue
        raw.append(frame[[info.column_name]].to_numpy())
        mixture, valid = info.transform._bgm_transformer, info.transform.valid_component_indicator
        likeliest = mixture.predict_proba(raw[-1])[:, valid].argmax(1)
        agree &= block[:, 1:].argmax(1) == likeliest
    assert agree.mean() > 0.3  # modes overlap, and the library draws one of them
    x = (np.concatenate(raw, 1) - center) / scale
    with torch.no_grad():
        ours = vae.encode(vae.to_input(x))
        mean, _, log_var = whole.encoder(torch.tensor(own, dtype=torch.float32))
    assert torch.allclose(ours.mean[agree], mean[agree], atol=1e-4)
    assert ours.log_var is not None
    assert torch.allclose(ours.log_var[agree], log_var[agree], atol=1e-4)


def test_saved_with_its_encoder_it_is_audited_in_full(
    whole: Any, tmp_path: Path, audited: Callable[..., dict[str, Any]]
) -> None:
    frame = table(300, seed=5)
    frame.to_csv(tmp_path / "people.csv", index=False)
    whole.save(tmp_path / "tvae.pkl")
    report = audited(tmp_path / "tvae.pkl", tmp_path / "people.csv", "--trust")
    assert [feature["name"] for feature in report["data"]["features"]] == ["wage", "city", "height", "grade"]
    assert report["reconstruction"]["reconstructs"] is True
    assert report["data"]["features"][0]["kind"] == "numeric"
    assert any("ctgan 0." in line for line in report["model"]["evidence"])
    vae = cp.wrap(whole)
    center, scale = raw_units(vae)
    wage = report["data"]["features"][0]
    assert wage["std"] * wage["scale"] == pytest.approx(frame["wage"].std(ddof=0), rel=1e-6)
    plain_loop.check(report, codes_of(vae, frame), lambda codes: (library_rows(whole, codes) - center) / scale)


def codes_of(vae: cp.ProbedVAE, frame: pd.DataFrame) -> Tensor:
    """mu(x) of raw rows, each turned into a row of the audit by hand."""
    assert vae.encoding is not None
    parts = []
    for column in vae.encoding.columns:
        cells = frame[column.name]
        if column.categories:
            parts.append(np.stack([cells.astype(str) == each for each in column.categories], 1).astype(float))
        else:
            parts.append((cells.to_numpy()[:, None] - column.center) / column.scale)
    with torch.no_grad():
        return vae.encode(vae.to_input(np.concatenate(parts, 1))).mean


def test_as_fit_leaves_it_the_decoder_alone_is_audited(
    synthesizer: Any, tmp_path: Path, audited: Callable[..., dict[str, Any]]
) -> None:
    """Level 2 around codes drawn from N(0, I): the draws are those of docs/conventions.md, stream 8."""
    frame = table(300, seed=5)
    frame.to_csv(tmp_path / "people.csv", index=False)
    synthesizer.save(tmp_path / "tvae.pkl")
    report = audited(tmp_path / "tvae.pkl", tmp_path / "people.csv", "--trust")
    assert "keeps the decoder alone" in report["model"]["prior_only"]
    run = {level["level"]: level["run"] for level in report["levels"]}
    assert run[2] is True
    assert run[1] is False
    center, scale = raw_units(cp.wrap(synthesizer))
    codes = torch.tensor(np.random.default_rng([0, 8]).standard_normal((300, LATENTS)), dtype=torch.float32)
    plain_loop.check(report, codes, lambda codes: (library_rows(synthesizer, codes) - center) / scale)


def test_missing_values_become_what_the_library_makes_of_them() -> None:
    frame = table(200)
    frame.loc[::7, "height"] = np.nan
    frame["city"] = frame["city"].astype(object)
    frame.loc[::5, "city"] = np.nan
    model = tvae_module.TVAE(embedding_dim=2, compress_dims=(8,), decompress_dims=(8,), batch_size=50, epochs=1)
    model.fit(frame, ["city", "grade"])
    encoding = cp.wrap(model).encoding
    assert encoding is not None
    assert encoding.columns[1].categories[-1] == "(missing)"
    assert encoding.columns[2].fill == pytest.approx(frame["height"].mean())


def test_unfitted_is_refused() -> None:
    with pytest.raises(ModelError, match="has not been fitted"):
        cp.wrap(tvae_module.TVAE())


def test_with_its_encoder_it_fulfils_what_adapters_must(whole: Any) -> None:
    vae = cp.wrap(whole)
    center, scale = raw_units(vae)
    assert vae.encoding is not None
    frame = table(100, seed=5)
    blocks = [
        np.stack([frame[column.name].astype(str) == each for each in column.categories], 1).astype(float)
        if column.categories
        else frame[[column.name]].to_numpy()
        for column in vae.encoding.columns
    ]

    def draw(model: Any, x: Tensor) -> Tensor:
        posterior = vae.encode(x)  # its mean and log-variance are compared with the library's own above
        assert posterior.log_var is not None
        return posterior.mean + (0.5 * posterior.log_var).exp() * torch.randn_like(posterior.mean)

    cp.testing.check_adapter(vae, (np.concatenate(blocks, 1) - center) / scale, sample=draw)
