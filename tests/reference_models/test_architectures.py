"""Widths, heads and config of the network."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from circuitprobe.errors import ModelError
from circuitprobe.reference_models.architectures import (
    LOG_VAR_RANGE,
    ImageVAE,
    TableVAE,
    build,
    transposed_by_columns,
)
from circuitprobe.reference_models.config import Config, ImageConfig, TableConfig, blocks_of, config_from_dict
from reference_models.mixed_table import MIXED, mixed_rows

CONFIG = TableConfig("vae", 3, (16, 12), blocks_of(MIXED))
IMAGES = ImageConfig("vae", 10, (1, 64, 64))


def build_table(config: TableConfig = CONFIG, seed: int = 0) -> TableVAE:
    model = build(config, seed)
    assert isinstance(model, TableVAE)
    return model


def build_images(config: ImageConfig = IMAGES) -> ImageVAE:
    model = build(config)
    assert isinstance(model, ImageVAE)
    return model


def test_layer_widths_follow_the_config() -> None:
    model = build_table()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "encoder.0.weight": (16, 8),
        "encoder.2.weight": (12, 16),
        "mean.weight": (3, 12),
        "log_var.weight": (3, 12),
        "decoder.0.weight": (12, 3),
        "decoder.2.weight": (16, 12),
        "output.weight": (8, 16),
    }
    assert isinstance(model.decoder[1], nn.ReLU)
    assert isinstance(model.encoder[3], nn.ReLU)
    assert model.numeric_log_var.shape == (2,)


def test_heads_by_hand() -> None:
    """Dimensions: numeric 0 and 5, softmax over 1-3 and 6-7, sigmoid 4."""
    logits = torch.tensor([[-2.5, 0.0, math.log(2), math.log(5), math.log(3), 7.0, math.log(4), 0.0]])
    expected = torch.tensor([[-2.5, 1 / 8, 2 / 8, 5 / 8, 3 / 4, 7.0, 4 / 5, 1 / 5]])
    assert torch.allclose(build_table().heads(logits), expected, atol=1e-6)


@settings(max_examples=60)
@given(
    blocks=st.lists(
        st.one_of(
            st.just(("numeric", 1)), st.just(("binary", 1)), st.tuples(st.just("categorical"), st.integers(1, 9))
        ),
        min_size=1,
        max_size=15,
    ),
    seed=st.integers(0, 99),
    spread=st.sampled_from([1.0, 300.0]),
)
def test_heads_equal_one_block_at_a_time(blocks: list[tuple[str, int]], seed: int, spread: float) -> None:
    config = TableConfig("vae", 2, (4,), tuple(blocks))
    logits = spread * torch.randn(5, config.width, generator=torch.Generator().manual_seed(seed))
    decoded = build_table(config).heads(logits)
    start = 0
    for kind, width in blocks:
        part = logits[:, start : start + width]
        by_kind = {"numeric": part, "binary": part.sigmoid(), "categorical": part.softmax(1)}[kind]
        assert torch.allclose(decoded[:, start : start + width], by_kind, atol=2e-5)
        if kind == "categorical":
            assert torch.allclose(decoded[:, start : start + width].sum(1), torch.ones(5), atol=1e-4)
        start += width


def test_eval_forward_decodes_the_mean() -> None:
    model = build_table().eval()
    x = mixed_rows(40).x
    reconstruction, mean, log_var = model(x)
    assert torch.equal(mean, model.encode(x)[0])
    assert torch.equal(log_var, model.encode(x)[1])
    assert torch.equal(reconstruction, model.decode(mean))
    assert reconstruction.shape == x.shape


def test_training_forward_draws_from_the_posterior() -> None:
    model = build_table().train()
    x = mixed_rows(40).x
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        reconstruction, mean, log_var = model(x)
        torch.manual_seed(5)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp()
    assert torch.equal(reconstruction, model.decode(z))


@pytest.mark.parametrize(("raw", "end"), [(-1e4, 0), (1e4, 1)])
def test_learned_variance_stays_in_its_range(raw: float, end: int) -> None:
    model = build_table()
    nn.init.constant_(model.raw_log_var, raw)
    assert model.numeric_log_var.tolist() == pytest.approx([LOG_VAR_RANGE[end]] * 2)


def test_reset_parameters_brings_back_the_first_variance() -> None:
    model = build_table()
    first = model.numeric_log_var.detach().clone()
    nn.init.constant_(model.raw_log_var, 3.0)
    model.reset_parameters()
    assert torch.equal(model.numeric_log_var, first)
    assert first.tolist() == pytest.approx([-1.0, -1.0])


def test_build_depends_on_its_seed_and_leaves_the_global_one() -> None:
    before = torch.random.get_rng_state()
    first, again, other = build_table(seed=1), build_table(seed=1), build_table(seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.encoder[0].weight, other.encoder[0].weight)


@pytest.mark.parametrize("config", [CONFIG, IMAGES, ImageConfig("beta-vae", 3, (3, 32, 48))])
def test_config_survives_its_dictionary(config: Config) -> None:
    assert config_from_dict(config.to_dict()) == config


def test_image_layers_are_those_of_the_literature() -> None:
    """4 x 4 with stride 2 to 32, 32, 64, 64 channels, 256 fully connected, 10 latents, mirrored."""
    model = build_images()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "encoder.0.weight": (32, 1, 4, 4),
        "encoder.2.weight": (32, 32, 4, 4),
        "encoder.4.weight": (64, 32, 4, 4),
        "encoder.6.weight": (64, 64, 4, 4),
        "encoder.9.weight": (256, 1024),
        "mean.weight": (10, 256),
        "log_var.weight": (10, 256),
        "decoder.0.weight": (256, 10),
        "decoder.2.weight": (1024, 256),
        "decoder.5.weight": (64, 64, 4, 4),
        "decoder.7.weight": (64, 32, 4, 4),
        "decoder.9.weight": (32, 32, 4, 4),
        "output.weight": (32, 1, 4, 4),
    }
    convolutions = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    assert all(layer.stride == (2, 2) for layer in convolutions)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 32, 48), (1, 16, 16)])
def test_images_go_in_and_come_out_in_one_shape(shape: tuple[int, int, int]) -> None:
    model = build_images(ImageConfig("vae", 4, shape)).eval()
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    reconstruction, mean, log_var = model(x)
    assert reconstruction.shape == x.shape
    assert mean.shape == log_var.shape == (3, 4)
    assert 0.0 < float(reconstruction.detach().min()) < float(reconstruction.detach().max()) < 1.0


def test_pixels_are_bernoulli_and_summed() -> None:
    model = build_images().eval()
    x = (torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(0)) > 0.8).float()
    logits = model.decode_logits(torch.zeros(5, 10)).detach()
    expected = -torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(model.reconstruction_nll(x, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride", "padding"), [(5, 1, 4, 2, 1), (3, 2, 3, 1, 0)])
def test_products_by_columns_are_the_transposed_convolution(
    inputs: int, outputs: int, kernel: int, stride: int, padding: int
) -> None:
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding).double()
    x = torch.randn(2, inputs, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(transposed_by_columns(layer, x), layer(x), atol=1e-12)


def test_training_decodes_what_an_audit_decodes() -> None:
    model, z = build_images(), torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model.train().decode(z), model.eval().decode(z), atol=1e-6)


@pytest.mark.parametrize("shape", [None, [1, 64], [1, 60, 64], [0, 64, 64], "1x64x64", [1, 64.0, 64]])
def test_config_names_a_shape_that_is_wrong(shape: object) -> None:
    with pytest.raises(ModelError, match=r"architecture\.shape"):
        config_from_dict({**IMAGES.to_dict(), "shape": shape})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("name", 3),
        ("latents", 0),
        ("latents", True),
        ("latents", "10"),
        ("hidden", []),
        ("hidden", [128, -1]),
        ("hidden", 128),
        ("blocks", []),
        ("blocks", [["numeric", 2]]),
        ("blocks", [["pixel", 1]]),
        ("blocks", [["categorical"]]),
        ("blocks", [[["categorical"], 3]]),
    ],
)
def test_config_names_the_entry_that_is_wrong(entry: str, value: object) -> None:
    with pytest.raises(ModelError, match=rf"architecture\.{entry}"):
        config_from_dict({**CONFIG.to_dict(), entry: value})
    with pytest.raises(ModelError, match=rf"architecture\.{entry} is nothing"):
        config_from_dict({key: kept for key, kept in CONFIG.to_dict().items() if key != entry})
