"""Networks of the reference models: an MLP variational autoencoder for tables of mixed column types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor, nn

from circuitprobe.errors import ModelError
from circuitprobe.types import FeatureKind, TableEncoding

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = (FeatureKind.NUMERIC.value, FeatureKind.BINARY.value, FeatureKind.CATEGORICAL.value)

LOG_VAR_RANGE = (-5.0, 1.0)
"""Range of the learned log-variance of a numeric column, in squared standard deviations of that column.

The lower end keeps a column that follows exactly from another one (Adult's education_num) from an unbounded
likelihood that would claim the latents for itself.
"""

INITIAL_LOG_VAR = -1.0
"""Log-variance at the start. At 0 and above a weakly correlated table drops below the collapse threshold: latents turn
off while the decoder variance exceeds the largest eigenvalue of the data covariance (arXiv 2510.01621)."""


@dataclass(frozen=True)
class ArchitectureConfig:
    """What is needed to build the network again.

    Attributes:
        name: spelling of the architecture, such as ``vae`` or ``beta-vae``; both share one network.
        latents: d, number of latents.
        hidden: units of each hidden layer of the encoder; the decoder mirrors them.
        blocks: (kind, width) of each column in the order of the model's dimensions; numeric and binary have width 1.
    """

    name: str
    latents: int
    hidden: tuple[int, ...]
    blocks: tuple[tuple[str, int], ...]

    @property
    def width(self) -> int:
        """Number of model dimensions."""
        return sum(width for _, width in self.blocks)

    def to_dict(self) -> dict[str, object]:
        """The configuration as str, int and list only, for a checkpoint."""
        return {
            "name": self.name,
            "latents": self.latents,
            "hidden": list(self.hidden),
            "blocks": [[kind, width] for kind, width in self.blocks],
        }

    @classmethod
    def from_dict(cls, entries: object) -> ArchitectureConfig:
        """The inverse of ``to_dict``.

        Raises:
            ModelError: an entry is missing or has a wrong type or value; the message names it.
        """
        if not isinstance(entries, dict):
            raise _bad_entry("architecture", entries, "a dictionary")
        name = entries.get("name")
        if not isinstance(name, str):
            raise _bad_entry("architecture.name", name, "a string")
        latents = entries.get("latents")
        if not _positive(latents):
            raise _bad_entry("architecture.latents", latents, "a positive integer")
        hidden = entries.get("hidden")
        if not isinstance(hidden, list) or not hidden or not all(_positive(units) for units in hidden):
            raise _bad_entry("architecture.hidden", hidden, "a list of positive integers")
        blocks = entries.get("blocks")
        if not isinstance(blocks, list) or not blocks or not all(_block(block) for block in blocks):
            raise _bad_entry("architecture.blocks", blocks, f"a list of [kind, width], kind one of {', '.join(KINDS)}")
        return cls(name, latents, tuple(hidden), tuple((kind, width) for kind, width in blocks))


def _positive(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _block(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2 or value[0] not in KINDS or not _positive(value[1]):
        return False
    return value[0] == FeatureKind.CATEGORICAL.value or bool(value[1] == 1)


def _bad_entry(name: str, seen: object, expected: str) -> ModelError:
    shown = "nothing" if seen is None else f"{type(seen).__name__} {str(seen)[:80]!r}"
    return ModelError(
        f"the checkpoint's entry {name} is {shown}",
        expected=expected,
        fix="train the model again with `circuitprobe train`, or use an undamaged copy of the file",
    )


def blocks_of(encoding: TableEncoding) -> tuple[tuple[str, int], ...]:
    """(kind, width) of each encoded column, the form in which an architecture knows its table."""
    return tuple((column.kind.value, column.width) for column in encoding.columns)


class MixedHeads(nn.Module):
    """Reads the decoder's output columns by kind: identity, sigmoid, or softmax within each block.

    Holds indices only, no weights. All blocks of a kind are handled at once.

    Args:
        blocks: (kind, width) in the order of the model's dimensions.
    """

    numeric: Tensor
    binary: Tensor
    categorical: Tensor
    block_of: Tensor
    membership: Tensor
    order: Tensor

    def __init__(self, blocks: Iterable[tuple[str, int]]) -> None:
        super().__init__()
        dims: dict[str, list[int]] = {kind: [] for kind in KINDS}
        self.widths: list[int] = []
        start = 0
        for kind, width in blocks:
            dims[kind].extend(range(start, start + width))
            if kind == FeatureKind.CATEGORICAL:
                self.widths.append(width)
            start += width
        indices = {kind: torch.tensor(dims[kind], dtype=torch.long) for kind in KINDS}
        block_of = torch.repeat_interleave(torch.arange(len(self.widths)), torch.tensor(self.widths, dtype=torch.long))
        for kind, index in indices.items():
            self.register_buffer(kind, index, persistent=False)
        self.register_buffer("block_of", block_of, persistent=False)
        membership = nn.functional.one_hot(block_of, max(len(self.widths), 1)).to(torch.get_default_dtype())
        self.register_buffer("membership", membership, persistent=False)
        # Where each dimension lies once the kinds are put side by side.
        self.register_buffer("order", torch.cat([indices[kind] for kind in KINDS]).argsort(), persistent=False)

    def log_normalisers(self, logits: Tensor) -> Tensor:
        """Log-sum-exp of each categorical block.

        Args:
            logits: of the categorical dimensions only, shape (rows, categorical dims).

        Returns:
            shape (rows, blocks).
        """
        if not self.widths:
            return logits.new_zeros(logits.shape[0], 1)
        # The maximum is a constant shift: it cancels in value and gradient, so it needs none.
        peaks = torch.stack([block.amax(1) for block in logits.detach().split_with_sizes(self.widths, 1)], 1)
        # A product with the membership matrix, as index_add is not deterministic on CUDA.
        sums = (logits - peaks.index_select(1, self.block_of)).exp() @ self.membership
        return sums.log() + peaks

    def forward(self, logits: Tensor) -> Tensor:
        """Values and probabilities, shape (rows, dims), from the output layer's columns of the same shape."""
        block_logits = logits.index_select(1, self.categorical)
        log_normalisers = self.log_normalisers(block_logits).index_select(1, self.block_of)
        parts = [
            logits.index_select(1, self.numeric),
            logits.index_select(1, self.binary).sigmoid(),
            (block_logits - log_normalisers).exp(),
        ]
        return torch.cat(parts, 1).index_select(1, self.order)


class TableVAE(nn.Module):
    """Variational autoencoder with MLP encoder and decoder and one head per column kind (Kingma and Welling 2014).

    Numeric columns are Gaussian with one learned variance per column, the same for all rows (sigma-VAE, Rybkin et al.
    2021; the TVAE of Xu et al. 2019); binary columns Bernoulli; categorical columns a softmax per block.

    Args:
        config: widths of all layers and the table's blocks.
    """

    def __init__(self, config: ArchitectureConfig) -> None:
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
        logits: Tensor = self.output(self.decoder(z))
        return logits

    def decode(self, z: Tensor) -> Tensor:
        """Numeric means and probabilities (rows, dims) for codes (rows, latents); each block sums to 1."""
        values: Tensor = self.heads(self.decode_logits(z))
        return values

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (rows, dims), mean and log-variance of q(z|x); z is drawn in training mode, else the mean."""
        mean, log_var = self.encode(x)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp() if self.training else mean
        return self.decode(z), mean, log_var


def _hidden_layers(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def build(config: ArchitectureConfig, seed: int = 0) -> TableVAE:
    """A freshly initialised network on the CPU; the global random state stays as it is.

    Args:
        config: what to build.
        seed: of the initial weights; the same seed gives the same weights.
    """
    with torch.random.fork_rng(devices=[]):
        # The CPU generator alone: torch.manual_seed would reseed every accelerator too.
        torch.default_generator.manual_seed(seed)
        return TableVAE(config)
