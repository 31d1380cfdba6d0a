"""Every pythae class against its own forward, in which a constant takes the place of the noise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.errors import ModelError

models = pytest.importorskip("pythae.models")

WIDTH, LATENTS = 6, 3
GAUSSIAN = (
    "VAE", "BetaVAE", "BetaTCVAE", "FactorVAE", "DisentangledBetaVAE", "IWAE", "MIWAE", "CIWAE", "PIWAE", "INFOVAE_MMD",
    "VAMP", "VAEGAN", "Adversarial_AE", "RHVAE", "HVAE", "VAE_LinNF", "VAE_IAF",
)  # fmt: skip


def build(name: str, **settings: Any) -> nn.Module:
    """A model with weights large enough that a wrong variance shows."""
    torch.manual_seed(0)
    config_name = name + ("_Config" if hasattr(models, f"{name}_Config") else "Config")
    config = getattr(models, config_name)(input_dim=(WIDTH,), latent_dim=LATENTS, **settings)
    model: nn.Module = getattr(models, name)(config).eval()
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.decoder.parameters()):
            parameter.mul_(3.0)
    return model


def rows(count: int = 8) -> Tensor:
    return torch.rand(count, WIDTH, generator=torch.Generator().manual_seed(1))


@contextmanager
def noise(monkeypatch: pytest.MonkeyPatch, value: float) -> Iterator[None]:
    """Every draw gives the same number, and rows stay in order."""
    with monkeypatch.context() as patched:
        patched.setattr(torch, "randn_like", lambda x, **_: torch.full_like(x, value).requires_grad_())
        patched.setattr(torch, "randperm", lambda count, **_: torch.arange(count))
        yield


class Seen:
    """What went into a decoder first: the code that forward has drawn."""

    def __init__(self, decoder: nn.Module) -> None:
        self.codes: list[Tensor] = []
        self.output: list[Tensor] = []
        self.handle = decoder.register_forward_hook(self.note)

    def note(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        self.codes.append(inputs[0].detach())
        self.output.append(output["reconstruction"].detach())


def drawn(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch, value: float) -> tuple[Tensor, Tensor]:
    """The code that forward gives its decoder first when every draw is ``value``, and what that decodes to."""
    from pythae.data.datasets import DatasetOutput

    seen = Seen(model.decoder)
    try:
        with noise(monkeypatch, value):
            model(DatasetOutput(data=x))
    finally:
        seen.handle.remove()
    return seen.codes[0], seen.output[0]


def by_row(codes: Tensor, count: int) -> Tensor:
    """Importance-weighted models draw several codes per row, here all the same: one per row."""
    return codes.reshape(count, -1, codes.shape[-1])[:, 0]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_mean_and_spread_are_those_that_forward_draws_with(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"flows": ["Planar", "Radial", "Planar"]} if name == "VAE_LinNF" else {}
    model, x = build(name, **settings), rows()
    vae = cp.wrap(model)
    posterior = vae.encode(x)
    flow = (
        "Flow" in vae.recognition.decode or "flow" in vae.recognition.decode or vae.recognition.decode.startswith("net")
    )
    # FactorVAE decodes the second half of its batch
    part = slice(4, 8) if name == "FactorVAE" else slice(0, 8)
    for value in (0.0, 1.0, -2.0):
        code, decoded = drawn(model, x, monkeypatch, value)
        expected = posterior.mean + value * (0.5 * posterior.log_var).exp()
        if not flow:
            assert torch.allclose(by_row(code, len(x[part])), expected[part], rtol=1e-5, atol=1e-6)
        ours = vae.decode(expected[part])
        assert torch.allclose(by_row(decoded, len(ours)), ours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["VAE_LinNF", "VAE_IAF"])
def test_a_flow_belongs_to_the_decoder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = build(name, **({"flows": ["Planar", "Radial"]} if name == "VAE_LinNF" else {})), rows()
    vae = cp.wrap(model)
    code, _ = drawn(model, x, monkeypatch, 0.0)
    assert not torch.allclose(code, vae.encode(x).mean, atol=1e-3)
    assert not torch.allclose(
        model.decoder(vae.encode(x).mean)["reconstruction"], vae.decode(vae.encode(x).mean), atol=1e-4
    )


def test_hvae_spread_is_a_softplus_and_no_exponential() -> None:
    model, x = build("HVAE"), rows()
    told = model.encoder(x).log_covariance
    spread = (0.5 * cp.wrap(model).encode(x).log_var).exp()
    assert torch.allclose(spread, nn.functional.softplus(told), rtol=1e-5)
    assert not torch.allclose(spread, (0.5 * told).exp(), rtol=0.05)


def test_hvae_with_bce_gives_probabilities() -> None:
    vae = cp.wrap(build("HVAE", reconstruction_loss="bce"))
    z = torch.randn(5, LATENTS)
    assert torch.allclose(vae.decode(z), vae.model.decoder(z)["reconstruction"].sigmoid())


def test_a_deterministic_adversarial_posterior_states_no_variance() -> None:
    model, x = build("Adversarial_AE", deterministic_posterior=True), rows()
    posterior = cp.wrap(model).encode(x)
    assert posterior.log_var is None
    assert torch.equal(posterior.mean, model.encoder(x).embedding)


@pytest.mark.parametrize("use_ema", [False, True])
def test_vqvae_codes_are_the_indices_and_decode_to_its_own_reconstruction(use_ema: bool) -> None:
    from pythae.data.datasets import DatasetOutput

    model, x = build("VQVAE", num_embeddings=16, use_ema=use_ema), rows(20)
    with torch.no_grad():  # a codebook where the codes lie, so that several indices are used
        book = model.quantizer.embeddings if use_ema else model.quantizer.embeddings.weight
        book.copy_(torch.linspace(-3, 3, 16)[:, None])
    vae = cp.wrap(model).resolved(x)
    own = model(DatasetOutput(data=x))
    assert vae.codes == 16
    assert [latent.dims for latent in vae.latents] == [(0,), (1,), (2,)]
    codes = vae.encode(x)
    assert codes.log_var is None
    assert torch.equal(codes.mean.long(), own.quantized_indices.reshape(20, LATENTS))
    assert len(codes.mean.unique()) > 3
    assert torch.allclose(vae.decode(codes.mean), own.recon_x, atol=1e-6)
    with pytest.raises(ModelError, match="codebook of 16"):
        vae.decode(torch.full((1, LATENTS), 16.0))


def test_vqvae_on_images_has_a_latent_per_position() -> None:
    from pythae.data.datasets import DatasetOutput
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encode(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(1, 5, 4, 4)

        def forward(self, x: Tensor) -> Any:
            return ModelOutput(embedding=self.net(x))

    class Decode(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.ConvTranspose2d(5, 1, 4, 4), nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    torch.manual_seed(0)
    config = models.VQVAEConfig(input_dim=(1, 8, 12), latent_dim=5, num_embeddings=7)
    model = models.VQVAE(config, encoder=Encode(), decoder=Decode()).eval()
    with torch.no_grad():
        model.quantizer.embeddings.weight.normal_()
    x = torch.rand(9, 1, 8, 12)
    vae = cp.wrap(model).resolved(x.flatten(1))
    own = model(DatasetOutput(data=x))
    assert (vae.code_shape, len(vae.latents), vae.code_width) == ((2, 3), 6, 6)
    codes = vae.encode(x.flatten(1)).mean
    assert torch.equal(codes.long(), own.quantized_indices.flatten(1))
    assert torch.allclose(vae.decode(codes), own.recon_x.flatten(1), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AE", "autoencoder"),
        ("WAE_MMD", "Wasserstein"),
        ("RAE_L2", "regularised"),
        ("RAE_GP", "regularised"),
        ("SVAE", "von Mises-Fisher"),
        ("PoincareVAE", "hyperbolic"),
    ],
)
def test_what_is_no_gaussian_vae_is_refused_with_what_it_is(name: str, said: str) -> None:
    model = build(name)
    with pytest.raises(ModelError, match=said):
        cp.wrap(model)


def test_what_a_refusal_says_to_type_works() -> None:
    model, x = build("RAE_L2"), rows()
    vae = cp.wrap(model, encode=lambda m, x: m.encoder(x).embedding, decode=lambda m, z: m.decoder(z).reconstruction)
    assert vae.resolved(x).encode(x).log_var is None


def test_a_subclass_that_draws_otherwise_is_refused() -> None:
    class Mine(models.VAE):
        def forward(self, inputs: Any, **more: Any) -> Any:
            return super().forward(inputs, **more)

    torch.manual_seed(0)
    model = Mine(models.VAEConfig(input_dim=(WIDTH,), latent_dim=LATENTS))
    with pytest.raises(ModelError, match="replaces forward"):
        cp.wrap(model)

    class Named(models.VAE):
        """No method of its own."""

    assert cp.wrap(Named(models.VAEConfig(input_dim=(WIDTH,), latent_dim=LATENTS))).input_width == WIDTH
