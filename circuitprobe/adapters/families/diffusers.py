"""diffusers' image autoencoders: a Gaussian code or indices into a codebook, both maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from circuitprobe.adapters.families.adapter import Adapter, lineage, refuse_overridden, refused
from circuitprobe.adapters.families.codebook import entries
from circuitprobe.adapters.models.folders import DIFFUSERS, folder_numbers, settings
from circuitprobe.adapters.models.probed import ProbedVAE
from circuitprobe.errors import ModelError
from circuitprobe.types import Posterior, Recognition

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions

_KL = "diffusers.models.autoencoders.autoencoder_kl.AutoencoderKL"
_VQ = "diffusers.models.autoencoders.vq_model.VQModel"
_TINY = "diffusers.models.autoencoders.autoencoder_tiny.AutoencoderTiny"
_LOADED = ("AutoencoderKL", "VQModel", "AutoencoderTiny")
_CONFIG = "config.json"
# beyond any autoencoder's settings: blocks, layers of a block, and any other number
_MOST_BLOCKS, _MOST_LAYERS, _LARGEST = 32, 16, 2**20
SCALE = "images in [0, 1] go in as 2 x - 1 and come out as (y + 1) / 2"


def adapt(model: Any) -> ProbedVAE:  # noqa: ANN401 - a diffusers ModelMixin, which is not imported here
    """The two halves of an ``AutoencoderKL`` or ``VQModel``, for images in [0, 1].

    Raises:
        ModelError: an ``AutoencoderTiny``, or a subclass that computes otherwise.
    """
    if _TINY in lineage(model):
        raise refused(
            model,
            "is a distilled autoencoder: its encoder states no variance, so it is no VAE",
            expected="the AutoencoderKL that it was distilled from",
            fix="to audit its codes as they are: cp.wrap(model, encode=lambda m, x: m.encode(2 * x - 1).latents, "
            "decode=lambda m, z: (m.decode(z).sample + 1) / 2)",
        )
    refuse_overridden(model, "diffusers", ("encode", "_encode", "decode", "_decode", "forward"))
    return _vq(model) if _VQ in lineage(model) else _kl(model)


def _halves(
    model: Any,  # noqa: ANN401
    encode: Callable[[Any, Tensor], Posterior],
    decode: Callable[[Any, Tensor], Tensor],
    words: Recognition,
) -> ProbedVAE:
    side = model.config.sample_size
    sides = (side, side) if isinstance(side, int) else tuple(side)
    return ProbedVAE(
        model=model,
        run_encoder=encode,
        run_decoder=decode,
        recognition=words,
        source=type(model).__name__,
        # a convolutional model takes other sizes too: rows that are images say their own
        row_shape=(int(model.config.in_channels), *(int(each) for each in sides)),
    )


def _kl(model: Any) -> ProbedVAE:  # noqa: ANN401
    def encode(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
        told = owner.encode(2.0 * x - 1.0).latent_dist
        return Posterior(told.mean, told.logvar)

    def decode(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
        rows: Tensor = (owner.decode(z).sample + 1.0) / 2.0
        return rows

    return _halves(model, encode, decode, Recognition("encode", "decode", "(mean, log_var)", (SCALE,)))


def _vq(model: Any) -> ProbedVAE:  # noqa: ANN401
    count = int(model.config.num_vq_embeddings)

    def encode(owner: Any, x: Tensor) -> Posterior:  # noqa: ANN401
        latents = owner.encode(2.0 * x - 1.0).latents
        indices = owner.quantize(latents)[2][2]
        return Posterior(indices.reshape(len(x), *latents.shape[2:]).to(latents.dtype), None)

    def decode(owner: Any, z: Tensor) -> Tensor:  # noqa: ANN401
        quantized = entries(owner.quantize.embedding.weight, z).movedim(-1, 1)
        inner = owner.post_quant_conv(quantized)
        rows: Tensor = owner.decoder(inner, quantized if owner.config.norm_type == "spatial" else None)
        return (rows + 1.0) / 2.0

    words = Recognition(
        "encode -> quantize", "codebook -> decode", "(index)", (f"codes are indices into {count} embeddings", SCALE)
    )
    return replace(_halves(model, encode, decode, words), codes=count)


def holds(path: Path) -> bool:
    """Whether a folder is one that ``save_pretrained`` wrote for an autoencoder, or a pipeline with one in ``vae``."""
    return _class_of(path) in _LOADED or _class_of(path / "vae") in _LOADED


def load_folder(path: Path, options: LoadOptions) -> nn.Module:
    """The autoencoder of a folder, from the disk alone.

    Args:
        path: a folder for which ``holds`` is true.
        options: whether the folder is trusted; of one that is not the settings have to fit its weights.

    Raises:
        ModelError: the settings describe a larger network than the weights fill.
    """
    import diffusers

    inside = path if _class_of(path) in _LOADED else path / "vae"
    if not options.trust:
        _check_sizes(inside)
    model: nn.Module = getattr(diffusers, str(_class_of(inside))).from_pretrained(str(inside), local_files_only=True)
    return model


def _check_sizes(inside: Path) -> None:
    """Make sure that the network which the settings describe is no larger than the weights: diffusers builds it before.

    Raises:
        ModelError: it is, or a setting is beyond any autoencoder's.
    """
    import diffusers

    told = settings(inside / _CONFIG)
    for key, value in told.items():
        several = value if isinstance(value, list) else [value]
        largest = max((abs(each) for each in several if isinstance(each, int | float)), default=0)
        repeats = "layers" in key or (key.startswith("num_") and key.endswith("_blocks"))
        if len(several) > _MOST_BLOCKS or largest > (_MOST_LAYERS if repeats else _LARGEST):
            raise _too_large(inside, f"{key} = {str(value)[:80]}")
    there = folder_numbers(inside, DIFFUSERS)
    # described on no device: nothing is made
    with torch.device("meta"):
        described = getattr(diffusers, str(_class_of(inside))).from_config(told)
    wanted = sum(tensor.numel() for tensor in described.state_dict().values())
    if wanted > there:
        raise _too_large(inside, f"a network of {wanted:,} numbers, and its weights are {there:,}")


def _too_large(inside: Path, seen: str) -> ModelError:
    return ModelError(
        f"{inside / _CONFIG} describes {seen}",
        expected="the settings that the weights were saved with",
        fix="copy the whole folder, or save the model again: model.save_pretrained(folder)",
    )


def _class_of(path: Path) -> str | None:
    named = settings(path / _CONFIG).get("_class_name")
    return named if isinstance(named, str) else None


ADAPTER = Adapter("diffusers", (_KL, _VQ, _TINY), adapt, holds=holds, load_folder=load_folder)
