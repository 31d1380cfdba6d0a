"""A user's model with its encoder and decoder named: what every level works on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.posterior import (
    PosteriorPart,
    choose_order,
    named_tensors,
    pick_mean_width,
    read_posterior,
)
from circuitprobe.errors import CircuitProbeError, ModelError
from circuitprobe.types import Latent, Posterior, Recognition, TableEncoding

if TYPE_CHECKING:
    import numpy.typing as npt

OutputKind = Literal["auto", "probabilities", "logits"]


@dataclass(frozen=True)
class ProbedVAE:
    """A model and how to run its two halves. The model itself is the user's object, never a copy.

    Attributes:
        model: the user's module.
        run_encoder: (model, x) -> whatever the encoder returns.
        run_decoder: (model, z) -> whatever the decoder returns.
        recognition: what was taken for what, in words.
        source: short name for reports.
        order: what the encoder's tensors are; None until real rows have been seen.
        encoding: the model's own data schema, where its file has one.
        target: the target column that the model's file names.
        ignored: columns that the model's file names as no features.
        input_width: number of model dimensions, where known without running.
        code_width: dimensions of the flat code, known once real rows have been seen; with ``condition_width``.
        code_shape: shape in which the halves exchange one code, () for flat codes; codes are flat everywhere else.
        blocks: the latents, each with its columns of the flat code; () where every column is one.
        codes: size of the codebook, for a model whose code is indices into one; encoder and decoder then exchange indices as
            numbers, the encoder states no variance. None for a continuous code.
        prior_only: why there is no encoder; "" where there is one. The code is then drawn from N(0, I).
        condition_width: the last dimensions of a row that condition both halves. The code carries them behind the latents, and
            no intervention touches them.
        row_shape: shape in which the encoder takes one row, () for flat rows; rows are flat everywhere else.
        outside_decoder: modules that run with the decoder without seeing the code.
        found_by_noise: whether the halves were found by what the model's own forward does.
        settle: (model, rows, whether they are real) -> the model with its halves; None where they are settled.
        output: whether the decoder's categorical blocks are probabilities or logits; "auto" decides on real rows.
        row_condition: conditions that are computed from a row: (rows, dims) -> (rows, more), appended to the rows of a table. They
            are the last of the ``condition_width``.
    """

    model: nn.Module
    run_encoder: Callable[[nn.Module, Tensor], Any]
    run_decoder: Callable[[nn.Module, Tensor], Any]
    recognition: Recognition
    source: str
    order: tuple[PosteriorPart, ...] | None = None
    encoding: TableEncoding | None = None
    target: str | None = None
    ignored: tuple[str, ...] = ()
    input_width: int | None = None
    code_width: int | None = None
    code_shape: tuple[int, ...] = ()
    blocks: tuple[Latent, ...] = ()
    codes: int | None = None
    prior_only: str = ""
    condition_width: int = 0
    row_shape: tuple[int, ...] = ()
    output: OutputKind = "auto"
    outside_decoder: tuple[str, ...] = ()
    found_by_noise: bool = False
    settle: Callable[[ProbedVAE, Tensor, bool], ProbedVAE] | None = None
    row_condition: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's first floating tensor, float32 for a model without any."""
        return next((t.dtype for t in _tensors(self.model) if t.is_floating_point()), torch.float32)

    @property
    def device(self) -> torch.device:
        """The device of the model's first tensor."""
        return next((t.device for t in _tensors(self.model)), torch.device("cpu"))

    @property
    def nnsight(self) -> Any:  # noqa: ANN401 - nnsight.NNsight, which has no types
        """The model wrapped by nnsight, to go on in a trace of one's own; see ``tracing.nnsight_model`` for what that changes."""
        from circuitprobe.adapters.models.tracing import nnsight_model

        return nnsight_model(self.model)

    def to_input(self, x: npt.NDArray[np.floating] | Tensor) -> Tensor:
        """Rows as the model takes them: its dtype, its device."""
        return torch.as_tensor(x).to(dtype=self.dtype, device=self.device)

    @property
    def latents(self) -> tuple[Latent, ...]:
        """What interventions move, in order; known once real rows have been seen."""
        if self.blocks or self.code_width is None:
            return self.blocks
        return tuple(Latent(f"z{i}", (i,)) for i in range(self.code_columns))

    @property
    def code_columns(self) -> int:
        """Columns of the flat code without the condition behind them; known once real rows have been seen."""
        return (self.code_width or 0) - self.condition_width

    def prior_codes(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        """Codes drawn from N(0, I) for rows of shape (rows, dims), the rows' conditions behind them: (rows, code width)."""
        drawn = torch.as_tensor(rng.standard_normal((len(x), self.code_columns)))
        codes = drawn.to(dtype=self.dtype, device=self.device)
        return torch.cat([codes, x[:, -self.condition_width :]], 1) if self.condition_width else codes

    def _shaped(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.row_shape) if self.row_shape and not self.condition_width else x

    def raw_encoding(self, x: Tensor) -> Any:  # noqa: ANN401 - whatever the encoder returns
        """What the encoder returns for rows of shape (rows, dims), unread.

        Raises:
            ModelError: the encoder failed.
        """
        return _call("encoder", self.recognition.encode, self.run_encoder, self.model, self._shaped(x))

    def flat(self, posterior: Posterior, x: Tensor) -> Posterior:
        """The posterior over flat codes, with the condition behind the latents, each (rows, code width)."""
        mean, log_var = posterior.mean.flatten(1), posterior.log_var
        if self.codes is not None:
            # no index is rounded on its way from one half to the other
            mean = mean.to(torch.float64 if self.dtype == torch.float64 else torch.float32)
        log_var = None if log_var is None else log_var.flatten(1)
        if not self.condition_width:
            return Posterior(mean, log_var)
        given = x[:, -self.condition_width :]
        behind = None if log_var is None else torch.cat([log_var, torch.zeros_like(given)], 1)
        return Posterior(torch.cat([mean, given], 1), behind)

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) for rows of shape (rows, dims): mean and log_var of shape (rows, latents).

        Raises:
            ModelError: the encoder failed or returned something that cannot be read as a posterior, or there is none.
        """
        if self.prior_only:
            raise ModelError(
                f"{self.source} has no encoder: {self.prior_only}",
                expected="a model with both halves, or figures that need the decoder alone",
                fix="cp.interventions.latents(vae, x), or levels 2 and 3 of an audit",
            )
        output = self.raw_encoding(x)
        order = self.order or choose_order(output, self.recognition.encode)
        return self.flat(read_posterior(output, order, rows=x.shape[0], encode=self.recognition.encode), x)

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's output as the model gives it, shape (rows, dims), for codes of shape (rows, latents).

        Raises:
            ModelError: the decoder failed or returned nothing of that shape.
        """
        # with a condition behind it a code has no shape: the decoder gets it flat
        shaped = z.reshape(len(z), *self.code_shape) if self.code_shape and not self.condition_width else z
        output = _call("decoder", self.recognition.decode, self.run_decoder, self.model, shaped)
        width = None if self.input_width is None else self.input_width - self.condition_width
        return pick_mean_width(output, rows=z.shape[0], width=width, decode=self.recognition.decode)

    def resolved(self, x: Tensor, *, real: bool = True) -> ProbedVAE:
        """The same model with everything settled that real rows can settle, and checked on them.

        Args:
            x: a few rows, shape (rows, dims).
            real: whether they are rows that the model was made for; made-up ones need not come back.

        Raises:
            ModelError: encoder or decoder do not behave like those of a VAE on these rows.
        """
        if self.settle is not None:
            return self.settle(replace(self, settle=None), x, real).resolved(x, real=real)
        settled = replace(self, input_width=self.input_width or x.shape[1])
        if self.prior_only:
            return settled.decoder_resolved(x)
        output = self.raw_encoding(x)
        again = self.raw_encoding(x)
        order = self.order or choose_order(output, self.recognition.encode, again)
        posterior = read_posterior(output, order, rows=x.shape[0], encode=self.recognition.encode)
        if posterior.mean.ndim > 2 and not settled.blocks:
            shape = tuple(posterior.mean.shape[1:])
            # indices have no channels: every position is a latent
            blocks = channels(shape) if settled.codes is None else ()
            settled = replace(settled, code_shape=shape, blocks=blocks)
        posterior = settled.flat(posterior, x)
        settled = replace(settled, order=order, code_width=posterior.mean.shape[1])
        check_finite(posterior.mean, self.recognition.encode)
        if posterior.log_var is not None:
            check_finite(posterior.log_var, self.recognition.encode)
        settled.check_code(posterior)
        decoded = settled.decode(posterior.mean)
        check_finite(decoded, self.recognition.decode)
        by_position = not isinstance(output, Posterior) and not named_tensors(output)[0]
        if self.order is None and by_position and len(named_tensors(output)[1]) > 1:
            settled.check_order(x, posterior, decoded)
        words = "(" + ", ".join(order) + ")"
        seen = (
            f"{self.recognition.encode}: {tuple(x.shape)} -> {words}, each {tuple(posterior.mean.shape)}",
            f"{self.recognition.decode}: {tuple(posterior.mean.shape)} -> {tuple(decoded.shape)}",
        )
        evidence = tuple(dict.fromkeys((*self.recognition.evidence, *seen)))
        return replace(settled, recognition=replace(self.recognition, posterior=words, evidence=evidence))

    def decoder_resolved(self, x: Tensor) -> ProbedVAE:
        """``resolved`` for a model without an encoder: tried on codes drawn from N(0, I).

        Raises:
            ModelError: the decoder fails, or the width of its codes is not known.
        """
        width = self.code_width
        if width is None and self.code_shape:
            width = math.prod(self.code_shape) + self.condition_width
        if width is None or self.codes is not None:
            raise ModelError(
                f"{self.source} has no encoder ({self.prior_only})"
                + (", and its code is indices, which have no normal prior" if self.codes is not None else ""),
                expected="a decoder of continuous codes whose width is known",
                fix="a model file with both halves, or dataclasses.replace(vae, code_width=...) in Python",
            )
        blocks = self.blocks or (channels(self.code_shape) if self.code_shape else ())
        settled = replace(self, code_width=width, blocks=blocks)
        codes = settled.prior_codes(x, np.random.default_rng(0))
        settled.check_code(Posterior(codes, None))
        decoded = settled.decode(codes)
        check_finite(decoded, self.recognition.decode)
        seen = f"{self.recognition.decode}: {tuple(codes.shape)} -> {tuple(decoded.shape)}"
        evidence = tuple(dict.fromkeys((*self.recognition.evidence, seen)))
        words = f"none: {self.prior_only}; codes are drawn from N(0, I)"
        return replace(settled, recognition=replace(self.recognition, posterior=words, evidence=evidence))

    def check_code(self, posterior: Posterior) -> None:
        """Refuse latents that the code has no columns for, and indices that are none, in a posterior over flat codes.

        Raises:
            ModelError: naming the latent, also one of two of a name, or the first value that is no index.
        """
        taken: set[int] = set()
        for latent in self.blocks:
            mine = set(latent.dims)
            if not mine or not mine <= set(range(self.code_columns)) or mine & taken or len(mine) < len(latent.dims):
                raise ModelError(
                    f"latent {latent.name!r} has columns {latent.dims[:8]} of a code of {self.code_columns}",
                    expected="each latent with columns of its own, none of them a condition",
                    fix="blocks=(Latent(name, dims), ...) with other dims",
                )
            taken |= mine
        names = [latent.name for latent in self.blocks]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelError(
                f"two latents are called {twice!r}",
                expected="a name of its own for each latent",
                fix="blocks=(Latent(name, dims), ...) with other names",
            )
        if self.codes is None:
            return
        indices = posterior.mean[:, : self.code_columns]
        wrong = (indices != indices.round()) | (indices < 0) | (indices >= self.codes)
        if posterior.log_var is not None or bool(wrong.any()):
            seen = "a variance" if posterior.log_var is not None else f"{float(indices[wrong][0]):.6g}"
            raise ModelError(
                f"{self.recognition.encode} gives {seen} where indices into a codebook are expected",
                expected=f"whole numbers from 0 to {self.codes - 1}, without a variance",
                fix="an encoder that ends in the indices, or another size of the codebook (codes=)",
            )

    def check_order(self, x: Tensor, posterior: Posterior, decoded: Tensor) -> None:
        """Refuse a posterior whose second tensor is plainly the code: the rows come back from it, not from the first.

        Raises:
            ModelError: decoding what was read as log-variance gives the rows back better than column means would, and
                with less than half the squared error of decoding the mean.
        """
        if posterior.log_var is None or decoded.shape != x.shape:
            return
        spread = x.var(dim=0, correction=0).clamp_min(torch.finfo(x.dtype).eps)
        swapped = self.decode(posterior.log_var)
        errors = [float(((rows.detach() - x) ** 2 / spread).mean()) for rows in (decoded, swapped)]
        if errors[1] < min(1.0, 0.5 * errors[0]):
            raise ModelError(
                f"{self.recognition.encode}: the rows come back better from what was read as log-variance "
                f"(squared error {errors[1]:.3g}) than from the mean ({errors[0]:.3g})",
                expected="mean first, log-variance second",
                fix='posterior = ["log_var", "mean"] in a spec file (--spec vae.toml) if the order is the other way round',
            )


def channels(shape: Sequence[int]) -> tuple[Latent, ...]:
    """The channels of a code of shape (channels, ...), each a latent over all its positions."""
    each = math.prod(shape[1:])
    return tuple(Latent(f"z{i}", tuple(range(i * each, (i + 1) * each))) for i in range(shape[0]))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


def check_finite(tensor: Tensor, what: str) -> None:
    """Refuse nan and infinity.

    Raises:
        ModelError: naming what gave them and in how many rows.
    """
    # one pass decides the usual case: a sum is finite only where every term is
    if bool(torch.isfinite(tensor.detach().sum())):
        return
    bad = ~torch.isfinite(tensor.detach()).flatten(1).all(dim=1)
    if bool(bad.any()):
        raise ModelError(
            f"{what} gives nan or infinity in {int(bad.sum())} of {len(bad)} rows, first in row {int(bad.nonzero()[0, 0])}",
            expected="finite numbers for every row",
            fix="check that the rows are scaled as in training (--schema), and that training did not diverge",
        )


def check_weights(model: nn.Module) -> None:
    """Refuse weights that are nan or infinite.

    Raises:
        ModelError: naming the first such tensor.
    """
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor) and tensor.is_meta:
            raise ModelError(
                f"weights of {name!r} are on the meta device: a shape without numbers",
                expected="weights with values",
                fix="load the weights into the model, then audit it",
            )
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"weights of {name!r} are nan or infinite in {bad} of {tensor.numel()} places",
                expected="finite weights",
                fix="take a checkpoint from before training diverged",
            )


def _call(
    part: str, name: str, function: Callable[[nn.Module, Tensor], Any], model: nn.Module, argument: Tensor
) -> Any:  # noqa: ANN401
    try:
        # a copy: what a module does to its input in place must reach neither the caller's rows nor the next run
        return function(model, argument.clone())
    except (MemoryError, torch.OutOfMemoryError, CircuitProbeError):
        raise
    except (Exception, SystemExit) as error:
        told = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {told[-1]}" if told else type(error).__name__
        raise ModelError(
            f"the {part} {name} failed on input of shape {tuple(argument.shape)}: {reason}",
            expected=f"a {part} that takes a tensor (rows, {'dims' if part == 'encoder' else 'latents'})",
            fix="name the right parts: --spec vae.toml on the command line, cp.wrap(model, encode=..., decode=...) in Python",
        ) from error
