"""Settling a model that samples its code from a normal distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.names import Half
from circuitprobe.adapters.models.posterior import PosteriorPart
from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.code import Code, is_scaled_input
from circuitprobe.adapters.models.recognise.explore import Exploration
from circuitprobe.adapters.models.recognise.named import (
    NamedDecoder,
    NamedEncoder,
    decoder_that_agrees,
    encoder_that_agrees,
    spread_codes,
)
from circuitprobe.adapters.models.recognise.noise import NoiseTap
from circuitprobe.adapters.models.recognise.outputs import Path, left_on, path_words, tensors_in
from circuitprobe.adapters.models.recognise.reading import (
    Place,
    RowReading,
    close,
    holds,
    looks_like_posterior,
    tried,
)
from circuitprobe.adapters.models.recognise.rows import column_means_error, rows_error
from circuitprobe.adapters.models.recognise.tapped import TappedDecoder, TappedEncoder
from circuitprobe.adapters.models.recognise.trial import seeded, tapped
from circuitprobe.adapters.models.recognise.ways import Way
from circuitprobe.types import Latent, Recognition

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE


@dataclass(frozen=True)
class Found:
    """What noise has shown of a model, on a few rows.

    Attributes:
        vae: the model.
        x: the rows, shape (rows, dims).
        seen: the runs.
        way: how forward is called.
        codes: those on which the reconstruction depends.
        output: where the reconstruction lies; None where forward returns none.
    """

    vae: ProbedVAE
    x: Tensor
    seen: Exploration
    way: Way
    codes: tuple[Code, ...]
    output: Path | None

    @property
    def model(self) -> nn.Module:
        """The user's module."""
        return self.vae.model

    @property
    def data(self) -> Tensor:
        """The rows without the condition."""
        return self.x[:, : self.x.shape[1] - self.way.condition_width]

    @property
    def shaped(self) -> Tensor:
        """The rows as forward takes them."""
        return self.data.reshape(len(self.x), *self.way.row_shape) if self.way.row_shape else self.data

    @property
    def mean(self) -> Tensor:
        """All codes side by side, shape (rows, entries), float64."""
        return torch.cat([code.mean for code in self.codes], 1)

    @property
    def std(self) -> Tensor:
        """Likewise."""
        return torch.cat([code.std for code in self.codes], 1)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Of one code as the decoder takes it."""
        return self.codes[0].shape if len(self.codes) == 1 else (self.mean.shape[1],)

    @property
    def decoder(self) -> TappedDecoder:
        """Forward with the codes replaced, on the first row."""
        return TappedDecoder(self.way, self.codes, self.output or (), self.x[:1])

    def replaced(self, codes: Tensor) -> dict[Path, Tensor]:
        """Every tensor that forward gives for other codes, (rows, entries), on the rows themselves."""
        steps = {}
        for code, part in zip(self.codes, torch.split(codes, [c.mean.shape[1] for c in self.codes], 1), strict=True):
            steps[code.step] = part
        with seeded(0, self.x.device), NoiseTap(steps=steps):
            output = self.way.call(self.model, self.x.clone())
        return tensors_in(output) | left_on(self.model)


def by_noise(
    vae: ProbedVAE,
    rows: Tensor,
    seen: Exploration,
    encoder: Half | None,
    decoder: Half | None,
    *,
    confirmed: bool,
    real: bool,
) -> ProbedVAE:
    """Settle a model whose forward samples.

    Args:
        vae: the model, its halves not settled.
        rows: those that claims are tried on, shape (rows, dims).
        seen: the runs that showed codes.
        encoder: what is called an encoder.
        decoder: what is called a decoder.
        confirmed: the user has said that what forward samples is the code.
        real: whether the rows must come back.

    Raises:
        ModelError: it is no VAE, or it cannot be told.
    """
    assert seen.way is not None  # noqa: S101 - codes come from a way
    found = Found(vae, rows, seen, seen.way, seen.codes, None)
    _refuse_mixed_rows(found)
    found = _with_reconstruction(found, decoder)
    _refuse_input_as_code(found, confirmed=confirmed)
    agreed = (
        None
        if found.way.condition
        else encoder_that_agrees(
            found.model,
            found.shaped,
            found.mean,
            found.std,
            encoder,
            seen.zero,  # type: ignore[arg-type]
        )
    )
    if agreed is None and encoder is not None and not confirmed and not found.way.condition:
        _refuse_other_posterior(found, encoder)
    second = _decoder(found, decoder)
    _refuse_unsupported(found, agreed, second, confirmed=confirmed, real=real)
    return _settled(found, agreed, second)


def _refuse_mixed_rows(found: Found) -> None:
    """A row's code must not depend on which rows come with it, nor on other draws."""
    few = max(1, len(found.x) // 3)
    for x, seed, order in (
        (found.x[:few], 0, slice(0, few)),
        (found.x.flip(0), 0, torch.arange(len(found.x) - 1, -1, -1)),
        (found.x, 1, slice(None)),
    ):
        steps = tapped(found.model, found.way, x, 0.0, seed=seed).trace.steps
        for code in found.codes:
            same = code.step < len(steps) and steps[code.step].value.numel() == len(x) * code.mean.shape[1]
            if not same or not close(steps[code.step].value.double().reshape(len(x), -1), code.mean[order]):
                raise ask(
                    found.model,
                    f"the code of a row in {found.way.words()} changes with the rows beside it or from run to run: "
                    "forward mixes or shuffles the rows of a batch, or draws from more than normal noise",
                    expected="a code for each row that is its own",
                )


def _with_reconstruction(found: Found, suggested: Half | None) -> Found:
    """The codes that reach an output shaped like the rows, and where that output is."""
    base = tensors_in(found.seen.zero.output) | found.seen.zero.left  # type: ignore[union-attr]
    kept: list[Code] = []
    places: dict[Path, None] = {}
    for code in found.codes:
        one = replace(found, codes=(code,))
        other = (code.mean.flip(0) + code.std).to(found.x)
        after = one.replaced(other)
        moved = {p: t for p, t in after.items() if p in base and t.shape == base[p].shape and not close(t, base[p])}
        shaped = [p for p, t in moved.items() if t.numel() == found.data.numel() and t.shape[0] == len(found.x)]
        shaped = [p for p in shaped if not _is_code(moved[p], other)]
        if shaped:
            kept.append(code)
            places |= dict.fromkeys(shaped)
    if kept:
        found = replace(found, codes=_without_noise(tuple(kept)))
        return replace(found, output=_best(found, base, list(places)))
    if suggested is not None and found.codes:
        return found
    raise ask(
        found.model,
        f"{found.way.words()} samples {len(found.codes)} time(s), but nothing that it returns has the shape of the rows "
        f"({found.data.shape[1]} dimensions) and depends on the sample; it returns "
        + (", ".join(f"{path_words(p)} {tuple(t.shape)}" for p, t in list(base.items())[:6]) or "no tensor"),
        expected="a reconstruction as wide as the rows",
    )


def _is_code(tensor: Tensor, code: Tensor) -> bool:
    """Whether an output is the replaced code itself: noise on the output, or the code handed out."""
    return tensor.numel() == code.numel() and close(tensor.double().reshape(code.shape), code.double())


def _without_noise(codes: tuple[Code, ...]) -> tuple[Code, ...]:
    """Where some codes have a spread that depends on the row, those whose spread does not are noise put in on the way."""
    varying = tuple(code for code in codes if not code.constant)
    return varying or codes


def _best(found: Found, base: dict[Path, Tensor], places: list[Path]) -> Path:
    """The output that gives the rows back; outputs that are the same tensor count once."""
    errors = sorted((rows_error(base[p].reshape(found.data.shape), found.data), n) for n, p in enumerate(places))
    best = places[errors[0][1]]
    rivals = [places[n] for error, n in errors[1:] if not close(base[places[n]].flatten(1), base[best].flatten(1))]
    if rivals and errors[0][0] > 0.5 * min(e for e, n in errors if places[n] in rivals):
        raise ask(
            found.model,
            f"several outputs have the shape of the rows and depend on the code: {', '.join(map(path_words, places))}; "
            "none gives the rows back clearly better than the others",
            expected="one reconstruction",
        )
    return best


def _refuse_input_as_code(found: Found, *, confirmed: bool) -> None:
    for code in found.codes:
        if is_scaled_input(code, found.data) and not confirmed:
            raise ask(
                found.model,
                "the only thing it samples is its input with noise added, column by column: a denoising autoencoder or a "
                "diffusion model, whose code has no posterior",
                confirm=True,
            )


def _refuse_other_posterior(found: Found, encoder: Half) -> None:
    """Names and noise must agree: a posterior from the named encoder that forward does not sample from is asked about."""
    with seeded(1, found.x.device), NoiseTap(1.0):
        output = tried(encoder.run, found.model, found.shaped)
    if output is None or not looks_like_posterior(output, len(found.x)) or holds(output, found.mean):
        return
    inside = [call for call in found.seen.zero.calls if call.path == encoder.name]  # type: ignore[union-attr]
    if any(holds(call.output, found.mean) for call in inside):
        return
    raise ask(
        found.model,
        f"{encoder.name} returns what looks like mean and spread, but {found.way.words()} samples around another mean "
        "(normalisation inside forward, or another code)",
        expected="an encoder whose mean is the one that forward samples around",
        confirm=True,
    )


def _decoder(found: Found, suggested: Half | None) -> NamedDecoder | None:
    """The part that decodes as forward does; forward itself must not look at the rows besides the code."""
    codes = spread_codes(found.mean, found.std, found.code_shape, found.x.dtype)
    if found.output is None:
        return _untold_decoder(found, codes, suggested)
    width = found.data.shape[1]
    given = found.x[:, width:]
    flat = [torch.cat([z.flatten(1), given], 1) for z in codes]
    wanted = [found.decoder(found.model, z) for z in flat]
    other = replace(found.decoder, row=found.x[-1:])
    own = found.replaced(codes[0].flatten(1))[found.output].reshape(len(found.x), -1)
    if not close(own, wanted[0]) or not close(other(found.model, flat[0]), wanted[0]):
        raise ask(
            found.model,
            "its reconstruction depends on the row itself beside the code (a skip connection, or a condition)",
            expected="a decoder of the code alone; columns that condition it are named by --condition COLUMN",
        )
    if given.shape[1] or len(found.codes) > 1:
        return None
    return decoder_that_agrees(found.model, codes, wanted, found.codes[0], suggested, found.seen.zero)  # type: ignore[arg-type]


def _untold_decoder(found: Found, codes: list[Tensor], suggested: Half | None) -> NamedDecoder:
    """The named decoder of a model whose forward returns no reconstruction: it must make rows of the code."""
    outputs = [tried(suggested.run, found.model, z) for z in codes[:2]] if suggested else [None, None]
    first, second = (tensors_in(output) for output in outputs)
    fitting = [
        path
        for path, tensor in first.items()
        if tensor.numel() == found.data.numel() and tensor.shape[0] == len(found.x) and not close(second[path], tensor)
    ]
    if suggested is None or len(fitting) != 1:
        raise ask(
            found.model,
            f"{found.way.words()} returns no reconstruction, and {suggested.name if suggested else 'no part known by name'} "
            "makes none of the code",
        )
    return NamedDecoder(RowReading(suggested.run, Place(fitting[0]), ""), suggested.name, float("nan"), by_name=True)


def _refuse_unsupported(
    found: Found, encoder: NamedEncoder | None, decoder: NamedDecoder | None, *, confirmed: bool, real: bool
) -> None:
    """What only noise has shown must do what a VAE does; where names agree, a poor model is a poor VAE."""
    if confirmed:
        return
    named = encoder is not None and encoder.by_name
    if not named and any(code.constant for code in found.codes):
        raise ask(
            found.model,
            f"the spread of what {found.way.words()} samples is the same for every row: a noisy autoencoder as likely as a VAE",
            confirm=True,
        )
    if not (named and decoder is not None and decoder.by_name) and found.output is not None and real:
        rows = found.data
        error = rows_error(
            found.decoder(found.model, torch.cat([found.mean.to(found.x), found.x[:, rows.shape[1] :]], 1)), rows
        )
        means = column_means_error(rows)
        if error >= 0.9 * means:
            raise ask(
                found.model,
                f"what {found.way.words()} makes of its code does not give the rows back: squared error {error:.3g} against "
                f"{means:.3g} for the column means (rows that are not as in training, or no VAE)",
                expected="a reconstruction better than the column means, where no part is known by name",
                confirm=True,
            )


def _settled(found: Found, encoder: NamedEncoder | None, decoder: NamedDecoder | None) -> ProbedVAE:
    run_encoder = encoder.reading if encoder else TappedEncoder(found.way, found.codes)
    order: tuple[PosteriorPart, ...] = ("mean", encoder.reading.kind) if encoder else ("mean", "std")
    run_decoder = decoder.reading if decoder else found.decoder
    names = (encoder.name if encoder else "forward", decoder.name if decoder else "forward")
    recognition = Recognition(*names, "", _evidence(found, encoder, decoder))
    return replace(
        found.vae,
        run_encoder=run_encoder,
        run_decoder=run_decoder,
        order=order,
        recognition=recognition,
        row_shape=() if found.way.condition else found.way.row_shape,
        blocks=_blocks(found.codes) if len(found.codes) > 1 else found.vae.blocks,
        found_by_noise=True,
        outside_decoder=() if decoder else _before_code(found),
    )


def _before_code(found: Found) -> tuple[str, ...]:
    """Modules that forward is done with before the code is there, so that no code reaches them."""
    last = max(code.step for code in found.codes)
    calls = found.seen.zero.calls  # type: ignore[union-attr]
    after = {call.path for call in calls if call.steps > last}
    return tuple(dict.fromkeys(call.path for call in calls if call.path not in after))


def _blocks(codes: tuple[Code, ...]) -> tuple[Latent, ...]:
    """Latents of several codes one after the other: entries, or channels of maps."""
    blocks: list[Latent] = []
    start = 0
    for code in codes:
        width = code.mean.shape[1]
        each = width // code.shape[0] if len(code.shape) > 1 else 1
        blocks += [
            Latent(f"z{len(blocks) + n}", tuple(range(start + n * each, start + (n + 1) * each)))
            for n in range(width // each)
        ]
        start += width
    return tuple(blocks)


def _evidence(found: Found, encoder: NamedEncoder | None, decoder: NamedDecoder | None) -> tuple[str, ...]:
    codes = ", ".join(
        f"{code.mean.shape[1]} entries" + (f" {code.shape}" if len(code.shape) > 1 else "") for code in found.codes
    )
    largest = max(code.deviation for code in found.codes)
    said = [
        f"{found.way.words()} samples a code of {codes}: mean + std * noise, affine in the noise to {largest:.1g} (noise 0, 1, 2)"
    ]
    if encoder is not None:
        reading = encoder.reading
        said.append(
            f"{encoder.name}{reading.mean.words} is that mean and {encoder.name}{reading.spread.words} its spread as {reading.kind}"
        )
    else:
        said.append("the encoder is forward up to the code; no part of another name gives both mean and spread")
    if decoder is not None and math.isnan(decoder.largest):
        said.append(f"{decoder.name} makes rows of the code; forward returns none to compare them with")
    elif decoder is not None:
        said.append(
            f"{decoder.name} gives what forward gives for three batches of other codes, to {decoder.largest:.1g}"
        )
    elif found.output is not None:
        said.append(f"the decoder is forward from the code on: {path_words(found.output)}, whatever the row")
    return tuple(said)
