"""Settling a model whose code is indices into a codebook (VQ-VAE)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.explore import Exploration
from circuitprobe.adapters.models.recognise.noise import NoiseTap, halting
from circuitprobe.adapters.models.recognise.outputs import Path, left_on, path_words, taken, tensors_in
from circuitprobe.adapters.models.recognise.reading import close
from circuitprobe.adapters.models.recognise.rows import column_means_error, rows_error
from circuitprobe.adapters.models.recognise.trial import seeded
from circuitprobe.adapters.models.recognise.ways import Way
from circuitprobe.types import Posterior, Recognition

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE


@dataclass(frozen=True)
class IndexEncoder:
    """Runs forward up to the choice of codebook entries.

    Attributes:
        way: how forward is called.
        pick: which choice.
    """

    way: Way
    pick: int

    def __call__(self, model: nn.Module, x: Tensor) -> Posterior:
        """Indices as numbers, shape (rows, positions)."""
        tap = NoiseTap(halt_after=self.pick, halt_at_pick=True)
        with seeded(0, x.device), halting(tap):
            self.way.call(model, x.flatten(1))
        return Posterior(tap.picked[self.pick].reshape(len(x), -1).to(x.dtype), None)


@dataclass(frozen=True)
class IndexDecoder:
    """Runs forward with the indices replaced.

    Attributes:
        way: how forward is called.
        pick: which choice is replaced.
        output: where the reconstruction lies.
        row: stands in for the input, shape (1, dims).
    """

    way: Way
    pick: int
    output: Path
    row: Tensor

    def __call__(self, model: nn.Module, z: Tensor) -> Tensor:
        """The reconstruction for indices (rows, positions), shape (rows, dims)."""
        return taken(model, run_with_indices(self, model, z), self.output).reshape(len(z), -1)


def run_with_indices(decoder: IndexDecoder, model: nn.Module, z: Tensor) -> object:
    """What forward returns for other indices, shape (rows, positions)."""
    with seeded(0, z.device), NoiseTap(picks={decoder.pick: z.round().to(torch.int64)}):
        return decoder.way.call(model, decoder.row.to(z.device).expand(len(z), -1).clone())


def by_index(vae: ProbedVAE, rows: Tensor, seen: Exploration, *, real: bool) -> ProbedVAE | None:
    """Settle a model that chooses entries of a codebook; None where no choice reaches an output shaped like the rows.

    Args:
        vae: the model, its halves not settled.
        rows: those that claims are tried on.
        seen: the run that showed choices.
        real: whether the rows must come back.

    Raises:
        ModelError: there are several codebooks, or the rows do not come back.
    """
    assert seen.way is not None  # noqa: S101 - a run that showed choices has a way
    assert seen.zero is not None  # noqa: S101
    base = tensors_in(seen.zero.output) | seen.zero.left
    found: list[tuple[int, Path]] = []
    for number, pick in enumerate(seen.zero.trace.picks):
        if pick.value.numel() % len(rows) or pick.choices < 2:
            continue
        indices = pick.value.reshape(len(rows), -1)
        decoder = IndexDecoder(seen.way, number, (), rows[:1])
        moved = tensors_in(run_with_indices(decoder, vae.model, (indices + 1) % pick.choices)) | left_on(vae.model)
        places = [
            path
            for path, tensor in moved.items()
            if path in base and tensor.shape == base[path].shape and tensor.numel() == rows.numel()
            and not close(tensor, base[path])
        ]  # fmt: skip
        same = tensors_in(run_with_indices(decoder, vae.model, indices)) | left_on(vae.model)
        found += [(number, path) for path in places if close(same[path], base[path])][:1]
    if not found or vae.condition_width:
        return None
    if len(found) > 1:
        raise ask(
            vae.model,
            f"it chooses from {len(found)} codebooks one after the other (residual quantisation)",
            expected="one codebook",
        )
    number = found[0][0]
    settled = _settled(vae, rows, seen.way, found[0], seen.zero.trace.picks[number].choices, real=real)
    after = {call.path for call in seen.zero.calls if call.picks > number}
    return replace(settled, outside_decoder=tuple({c.path: None for c in seen.zero.calls if c.path not in after}))


def _settled(vae: ProbedVAE, rows: Tensor, way: Way, place: tuple[int, Path], choices: int, *, real: bool) -> ProbedVAE:
    number, output = place
    encoder, decoder = IndexEncoder(way, number), IndexDecoder(way, number, output, rows[:1])
    indices = encoder(vae.model, rows).mean
    few = max(1, len(rows) // 3)
    if not torch.equal(encoder(vae.model, rows[:few]).mean, indices[:few]):
        raise ask(
            vae.model,
            "the indices of a row change with the rows beside it",
            expected="a code for each row that is its own",
        )
    error, means = rows_error(decoder(vae.model, indices), rows), column_means_error(rows)
    if real and error >= 0.9 * means:
        raise ask(
            vae.model,
            f"it chooses one of {choices} at {indices.shape[1]} places, but what it makes of them does not give the rows back: "
            f"squared error {error:.3g} against {means:.3g} for the column means",
            expected="a reconstruction better than the column means",
        )
    evidence = (
        f"{way.words()} chooses one of {choices} codebook entries at {indices.shape[1]} places, and draws no normal noise",
        f"with the same indices on another row {path_words(output)} is the same; with other indices it is not",
    )
    return replace(
        vae,
        run_encoder=encoder,
        run_decoder=decoder,
        order=("mean",),
        codes=choices,
        found_by_noise=True,
        recognition=Recognition("forward", "forward", "", evidence),
        row_shape=way.row_shape,
    )
