"""pythae (Chadebec et al. 2022): each model's posterior as its own ``forward`` draws from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from circuitprobe.adapters.families.adapter import Adapter, lineage, refuse_overridden, refused
from circuitprobe.adapters.families.codebook import entries
from circuitprobe.adapters.families.pythae_folder import holds, load_folder
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.types import Posterior, Recognition

Encoder = Callable[[nn.Module, Tensor], Posterior]

_GAUSSIAN = (
    "VAE", "BetaVAE", "BetaTCVAE", "FactorVAE", "DisentangledBetaVAE", "IWAE", "MIWAE", "CIWAE", "PIWAE", "INFOVAE_MMD",
    "VAMP", "VAEGAN", "MSSSIM_VAE", "Adversarial_AE", "RHVAE", "HVAE", "VAE_LinNF", "VAE_IAF",
)  # fmt: skip
_NOT_GAUSSIAN = {
    "SVAE": "a hyperspherical VAE: its codes are von Mises-Fisher on a sphere, where no coordinate moves alone",
    "PoincareVAE": "a Poincare VAE: its codes lie in hyperbolic space and are no Gaussian with independent latents",
}
_NO_VARIANCE = {
    "AE": "an autoencoder",
    "WAE_MMD": "a Wasserstein autoencoder",
    "RAE_GP": "a regularised autoencoder",
    "RAE_L2": "a regularised autoencoder",
}


def adapt(model: Any) -> ProbedVAE:  # noqa: ANN401 - a pythae BaseAE, whose library is not imported here
    """The two halves of a pythae model.

    Raises:
        ModelError: its codes are not Gaussian, it has no variance, or this version of pythae is not known.
    """
    name = next(each.rsplit(".", 1)[1] for each in lineage(model) if each.startswith("pythae."))
    if name in _NOT_GAUSSIAN:
        raise refused(
            model,
            f"is {_NOT_GAUSSIAN[name]}",
            expected="a Gaussian posterior with independent latents",
            fix="audit a pythae VAE trained on the same rows",
        )
    if name in _NO_VARIANCE:
        raise refused(
            model,
            f"is {_NO_VARIANCE[name]}: its encoder states no variance, so it is no VAE",
            expected="a VAE",
            fix="to audit its codes as they are: cp.wrap(model, encode=lambda m, x: m.encoder(x).embedding, "
            'decode=lambda m, z: m.decoder(z).reconstruction), or a spec file with encode = "encoder", decode = "decoder", '
            'posterior = ["mean"]',
        )
    refuse_overridden(model, "pythae", ("forward", "_sample_gauss"))
    if name == "VQVAE":
        return _vqvae(model)
    if name not in _GAUSSIAN:
        raise refused(
            model,
            "is a pythae model that is not known here",
            expected=f"one of {', '.join((*_GAUSSIAN, 'VQVAE'))}",
            fix="cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=lambda m, z: m.decoder(z).reconstruction)",
        )
    return _gaussian(model, name)


def _gaussian(model: Any, name: str) -> ProbedVAE:  # noqa: ANN401
    encode, words, notes = _posterior(model, name)
    decode, decoder, more = _decoder(model, name)
    return _halves(model, encode, decode, Recognition("encoder", decoder, words, (*notes, *more)))


def _halves(model: Any, encode: Encoder, decode: Callable[[Any, Tensor], Tensor], words: Recognition) -> ProbedVAE:  # noqa: ANN401
    shape = tuple(int(side) for side in model.model_config.input_dim or ())
    return ProbedVAE(
        model=model,
        run_encoder=encode,
        run_decoder=decode,
        recognition=words,
        source=type(model).__name__,
        input_width=math.prod(shape) if shape else None,
        row_shape=shape if len(shape) > 1 else (),
    )


def _posterior(model: Any, name: str) -> tuple[Encoder, str, tuple[str, ...]]:  # noqa: ANN401
    """How q(z|x) is read, and what is said of it."""
    if name == "HVAE":
        return (
            _softplus,
            "(mean, std = softplus(log_covariance))",
            ("HVAE draws z0 with std = softplus(log_covariance)",),
        )
    if name == "Adversarial_AE" and model.deterministic_posterior:
        return _mean_only, "(mean)", ("deterministic_posterior: the encoder states no variance",)
    if name == "VAMP":
        return (
            _log_covariance,
            "(mean, log_var)",
            ("the prior is a mixture over pseudo-inputs; KL is taken to N(0, I)",),
        )
    return _log_covariance, "(mean, log_var)", ()


def _log_covariance(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
    told = owner.encoder(x)
    return Posterior(told.embedding, told.log_covariance)


def _softplus(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
    told = owner.encoder(x)
    # a softplus that underflows would have no logarithm
    std = functional.softplus(told.log_covariance).clamp_min(torch.finfo(told.log_covariance.dtype).tiny)
    return Posterior(told.embedding, 2.0 * std.log())


def _mean_only(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
    return Posterior(owner.encoder(x).embedding, None)


def _decoder(model: Any, name: str) -> tuple[Callable[[Any, Tensor], Tensor], str, tuple[str, ...]]:  # noqa: ANN401
    """How codes are decoded, and what is said of it."""
    if name == "VAE_IAF":
        return (
            _after_iaf,
            "iaf_flow.inverse -> decoder",
            ("latents are z0, which is Gaussian; the flow belongs to the decoder",),
        )
    if name == "VAE_LinNF":
        return _after_flows, "net -> decoder", ("latents are z0, which is Gaussian; the flows belong to the decoder",)
    if name in {"HVAE", "RHVAE"}:
        notes: tuple[str, ...] = (
            "latents are z0, decoded as they are; the Hamiltonian steps, which need the row, are left out",
        )
        if name == "HVAE" and model.model_config.reconstruction_loss == "bce":
            return _as_probability, "decoder -> sigmoid", (*notes, "reconstruction_loss bce: the decoder gives logits")
        return _reconstruction, "decoder", notes
    return _reconstruction, "decoder", ()


def _reconstruction(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
    rows: Tensor = owner.decoder(z)["reconstruction"]
    return rows.reshape(len(z), -1)


def _as_probability(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
    return _reconstruction(owner, z).sigmoid()


def _after_iaf(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
    return _reconstruction(owner, owner.iaf_flow.inverse(z).out)


def _after_flows(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
    for layer in owner.net:
        z = layer(z).out
    return _reconstruction(owner, z)


def _vqvae(model: Any) -> ProbedVAE:  # noqa: ANN401
    count = int(model.quantizer.num_embeddings)
    words = Recognition(
        "encoder -> quantizer", "codebook -> decoder", "(index)", (f"codes are indices into {count} embeddings",)
    )
    return replace(_halves(model, _indices, _from_indices, words), codes=count)


def _indices(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
    """Indices as numbers: (rows, height, width) of a code that is a map; (rows, latents) of a flat one, one per number of it."""
    embedded = owner.encoder(x).embedding
    places = embedded.reshape(len(x), 1, 1, -1) if embedded.ndim == 2 else embedded
    found = owner.quantizer(places.permute(0, 2, 3, 1)).quantized_indices.squeeze(1)
    return Posterior((found.flatten(1) if embedded.ndim == 2 else found).to(embedded.dtype), None)


def _from_indices(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
    book = owner.quantizer.embeddings
    # QuantizerEMA keeps it in a buffer, Quantizer in a module
    quantized = entries(book if isinstance(book, Tensor) else book.weight, z)
    # as forward hands them on: flat, or channels before positions
    return _reconstruction(owner, quantized.flatten(1) if z.ndim == 2 else quantized.movedim(-1, 1))


ADAPTER = Adapter("pythae", ("pythae.models.base.base_model.BaseAE",), adapt, holds=holds, load_folder=load_folder)
