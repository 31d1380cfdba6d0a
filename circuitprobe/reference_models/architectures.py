"""Networks of the reference models: an MLP pair for tables of mixed column types, a convolutional pair for images."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from circuitprobe.reference_models.config import SIDE_STEP, Config, ImageConfig, TableConfig
from circuitprobe.reference_models.heads import MixedHeads
from circuitprobe.reference_models.likelihoods import bernoulli_nll, categorical_nll, gaussian_nll

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_VAR_RANGE = (-5.0, 1.0)
"""Range of the learned log-variance of a numeric column, in squared standard deviations of that column.

The lower end keeps a column that follows exactly from another one (Adult's education_num) from an unbounded
likelihood that would claim the latents for itself.
"""

INITIAL_LOG_VAR = -1.0
"""Log-variance at the start. At 0 and above a weakly correlated table drops below the collapse threshold: latents turn
off while the decoder variance exceeds the largest eigenvalue of the data covariance (arXiv 2510.01621)."""

CHANNELS = (32, 32, 64, 64)
"""Of the four convolutions, 4 x 4 with stride 2 (Burgess et al. 2018, arXiv 1804.03599; Locatello et al. 2019, table 1)."""

KERNEL, STRIDE, PADDING = 4, 2, 1
FULLY_CONNECTED = 256


class ReferenceVAE(nn.Module):
    """What both pairs share: a Gaussian posterior, and an output whose likelihood is known.

    Attributes:
        config: widths of all layers.
    """

    config: Config

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (rows, latents), for rows in the model's space."""
        raise NotImplementedError

    def decode_logits(self, z: Tensor) -> Tensor:
        """The output layer's values, shape of a row, before sigmoid and softmax, for codes (rows, latents)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Values and probabilities, shape of a row, for codes (rows, latents)."""
        raise NotImplementedError

    def reconstruction_nll(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x|z) summed over features, shape (rows,), nats; ``logits`` are what ``decode_logits`` gave."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance of q(z|x); z is drawn in training mode, else the mean."""
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return self.decode(z), mean, log_var


class TableVAE(ReferenceVAE):
    """Variational autoencoder with MLP encoder and decoder and one head per column kind (Kingma and Welling 2014).

    Numeric columns are Gaussian with one learned variance per column, the same for all rows (sigma-VAE, Rybkin et al.
    2021; the TVAE of Xu et al. 2019); binary columns Bernoulli; categorical columns a softmax per block. Rows are
    (rows, dims).

    Args:
        config: widths of all layers and the table's blocks.
    """

    def __init__(self, config: TableConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _hidden_layers((config.width, *config.hidden))
        self.mean = nn.Linear(config.hidden[-1], config.latents)
        self.log_var = nn.Linear(config.hidden[-1], config.latents)
        self.decoder = _hidden_layers((config.latents, *reversed(config.hidden)))
        self.output = nn.Linear(config.hidden[0], config.width)
        self.heads = MixedHeads(config.blocks)
        self.raw_log_var = nn.Parameter(torch.empty(len(self.heads.numeric)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the variances of the numeric columns to their start; the layers reset their own weights."""
        low, high = LOG_VAR_RANGE
        share = (INITIAL_LOG_VAR - low) / (high - low)
        nn.init.constant_(self.raw_log_var, math.log(share / (1 - share)))

    @property
    def numeric_log_var(self) -> Tensor:
        """Learned log-variance of each numeric column in the model's space, within ``LOG_VAR_RANGE``.

        A sigmoid rather than a hard clamp, which would leave a value beyond the range without a gradient for good.
        """
        low, high = LOG_VAR_RANGE
        return low + (high - low) * self.raw_log_var.sigmoid()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (rows, latents), for rows in the model's space (rows, dims)."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode_logits(self, z: Tensor) -> Tensor:
        """The output layer's columns (rows, dims) before sigmoid and softmax, for codes (rows, latents)."""
        return cast("Tensor", self.output(self.decoder(z)))

    def decode(self, z: Tensor) -> Tensor:
        """Numeric means and probabilities (rows, dims) for codes (rows, latents); each block sums to 1."""
        return cast("Tensor", self.heads(self.decode_logits(z)))

    def reconstruction_nll(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x|z) over all columns, shape (rows,), nats."""
        heads = self.heads
        numeric, binary, categorical = heads.numeric, heads.binary, heads.categorical
        return (
            gaussian_nll(x.index_select(1, numeric), logits.index_select(1, numeric), self.numeric_log_var)
            + bernoulli_nll(x.index_select(1, binary), logits.index_select(1, binary))
            + categorical_nll(x.index_select(1, categorical), logits.index_select(1, categorical), heads)
        )


class ImageVAE(ReferenceVAE):
    """Variational autoencoder with the convolutional pair of the disentanglement literature.

    Encoder: four convolutions 4 x 4 with stride 2 to 32, 32, 64, 64 channels, a fully connected layer of 256, ReLU after
    each; the decoder mirrors it with transposed convolutions. Pixels are Bernoulli; rows are (rows, channels, height, width)
    with intensities in [0, 1].

    Args:
        config: the shape of an image and the number of latents.

    Source:
        Burgess et al. 2018 (arXiv 1804.03599); Locatello et al. 2019 (arXiv 1811.12359), table 1.
    """

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.shape
        small = (CHANNELS[-1], height // SIDE_STEP, width // SIDE_STEP)
        flat = math.prod(small)
        self.encoder = nn.Sequential(
            *_convolutions((channels, *CHANNELS)), nn.Flatten(), nn.Linear(flat, FULLY_CONNECTED), nn.ReLU()
        )
        self.mean = nn.Linear(FULLY_CONNECTED, config.latents)
        self.log_var = nn.Linear(FULLY_CONNECTED, config.latents)
        self.decoder = nn.Sequential(
            nn.Linear(config.latents, FULLY_CONNECTED), nn.ReLU(), nn.Linear(FULLY_CONNECTED, flat), nn.ReLU(),
            nn.Unflatten(1, small), *_up_convolutions(CHANNELS[::-1]),
        )  # fmt: skip
        self.output = nn.ConvTranspose2d(CHANNELS[0], channels, KERNEL, STRIDE, PADDING)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (rows, latents), for images (rows, channels, height, width)."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_var(hidden)

    def decode_logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels (rows, channels, height, width) for codes (rows, latents)."""
        hidden = self.decoder(z)
        # On a CPU a transposed convolution to few channels costs several times what the same product costs by columns.
        by_columns = self.training and hidden.device.type == "cpu"
        return transposed_by_columns(self.output, hidden) if by_columns else cast("Tensor", self.output(hidden))

    def decode(self, z: Tensor) -> Tensor:
        """Intensities in [0, 1] (rows, channels, height, width) for codes (rows, latents)."""
        return self.decode_logits(z).sigmoid()

    def reconstruction_nll(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x|z) over all pixels, shape (rows,), nats; intensities between 0 and 1 count as probabilities."""
        return bernoulli_nll(x.flatten(1), logits.flatten(1))


def transposed_by_columns(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """What a transposed convolution without groups or dilation gives, as one matrix product and a fold.

    Args:
        layer: kernel (in, out, k, k).
        x: shape (rows, in, height, width).

    Returns:
        The layer's output, up to rounding.
    """
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], cast("int", layer.padding[0])
    sides = tuple((side - 1) * stride - 2 * padding + kernel for side in x.shape[2:])
    columns = torch.matmul(layer.weight.flatten(1).t(), x.flatten(2))
    folded = nn.functional.fold(columns, sides, kernel, padding=padding, stride=stride)
    return folded if layer.bias is None else folded + layer.bias.view(1, -1, 1, 1)


def _hidden_layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def _convolutions(channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, KERNEL, STRIDE, PADDING), nn.ReLU()]
    return layers


def _up_convolutions(channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.ConvTranspose2d(inputs, outputs, KERNEL, STRIDE, PADDING), nn.ReLU()]
    return layers


def build(config: Config, seed: int = 0) -> ReferenceVAE:
    """A freshly initialised network on the CPU; the global random state stays as it is.

    Args:
        config: what to build.
        seed: of the initial weights; the same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        # The CPU generator alone: torch.manual_seed would reseed every accelerator too.
        torch.default_generator.manual_seed(seed)
        return ImageVAE(config) if isinstance(config, ImageConfig) else TableVAE(config)
