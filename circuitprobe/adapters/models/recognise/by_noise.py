"""Settling a model that samples its code from a normal distribution."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from circuitprobe.adapters.models.names import Half
from circuitprobe.adapters.models.posterior import PosteriorPart
from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.code import Code, is_scaled_input
from circuitprobe.adapters.models.recognise.doubts import (
    chain_of_two,
    links_of_a_chain,
    refuse_mixed_rows,
    refuse_noise_beyond_code,
    refuse_other_noise,
    refuse_repeated_samples,
    without_noise,
)
from circuitprobe.adapters.models.recognise.explore import Exploration
from circuitprobe.adapters.models.recognise.found import Found, fewer, fixed_rows
from circuitprobe.adapters.models.recognise.named import (
    NamedDecoder,
    NamedEncoder,
    decoder_that_agrees,
    encoder_that_agrees,
    is_same,
    spread_codes,
)
from circuitprobe.adapters.models.recognise.noise import NoiseTap
from circuitprobe.adapters.models.recognise.outputs import Path, path_words, tensors_in
from circuitprobe.adapters.models.recognise.reading import (
    Place,
    RowReading,
    close,
    holds,
    looks_like_posterior,
    tried,
)
from circuitprobe.adapters.models.recognise.rows import column_means_error, columns_in_other_places, rows_error
from circuitprobe.adapters.models.recognise.tapped import TappedEncoder
from circuitprobe.adapters.models.recognise.trial import seeded
from circuitprobe.errors import ModelError
from circuitprobe.types import Latent, Recognition

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE

# of the column means' error: a reconstruction that is not clearly better says nothing
POOR = 0.9


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
    found = _one_of_a_chain(_with_reconstruction(found, decoder), encoder)
    refuse_mixed_rows(found)
    refuse_repeated_samples(found)
    _refuse_input_as_code(found, confirmed=confirmed)
    refuse_other_noise(found)
    if found.output is not None:
        refuse_noise_beyond_code(found, found.output)
    agreed = _encoder(found, encoder)
    shared = agreed is not None and agreed.by_name
    if agreed is None and encoder is not None and not confirmed and not found.way.condition:
        shared = _shares_mean(found, encoder)
    second = _decoder(found, decoder)
    if fixed_rows(found.model) and (agreed is None or second is None):
        raise _needs_any_number_of_rows(found)
    if not confirmed:
        stated = agreed is not None and agreed.by_name
        _refuse_unsupported(found, second, stated=stated, shared=shared, real=real)
    return _settled(found, agreed, second)


def _with_reconstruction(found: Found, suggested: Half | None) -> Found:
    """The codes that reach an output shaped like the rows, and where that output is."""
    base = tensors_in(found.seen.zero.output) | found.seen.zero.left  # type: ignore[union-attr]
    reached = {code: _reached_by(code, found, base) for code in found.codes}
    places = list(dict.fromkeys(path for paths in reached.values() for path in paths))
    if places:
        found = replace(found, codes=tuple(code for code in found.codes if reached[code]))
        found = replace(found, codes=without_noise(found))
        best = _best(found, base, [path for path in places if any(path in reached[code] for code in found.codes)])
        # a second sample may make an output of its own
        return replace(found, codes=tuple(code for code in found.codes if best in reached[code]), output=best)
    if suggested is not None and found.codes:
        return replace(found, codes=without_noise(found))
    raise ask(
        found.model,
        f"{found.way.words()} samples {len(found.codes)} time(s), but nothing that it returns has the shape of the rows "
        f"({found.data.shape[1]} dimensions) and depends on the sample; it returns "
        + (", ".join(f"{path_words(p)} {tuple(t.shape)}" for p, t in list(base.items())[:6]) or "no tensor"),
        expected="a reconstruction as wide as the rows",
    )


def _reached_by(code: Code, found: Found, base: dict[Path, Tensor]) -> list[Path]:
    """Outputs shaped like the rows that another code changes."""
    other = (code.mean.flip(0) + code.std).to(found.x)
    after = replace(found, codes=(code,)).replaced(other)
    moved = {p: t for p, t in after.items() if p in base and t.shape == base[p].shape and not close(t, base[p])}
    shaped = [p for p, t in moved.items() if t.numel() == found.data.numel() and t.shape[0] == len(found.x)]
    return [p for p in shaped if not _is_code(moved[p], other)]


def _one_of_a_chain(found: Found, encoder: Half | None) -> Found:
    """Where one sampled tensor is made of another, the one that the named encoder gives mean and spread of."""
    if found.output is None:
        return found
    links = links_of_a_chain(found, found.output)
    if len(links) == 1:
        return found
    for link in links:
        one = replace(found, codes=link)
        if encoder is not None and not found.way.condition and _encoder(one, encoder) is not None:
            return one
    raise ask(
        found.model,
        chain_of_two(found, links),
        expected="one code, or groups of codes that all reach the reconstruction",
        encode=encoder.name if encoder else "",
    )


def _encoder(found: Found, suggested: Half | None) -> NamedEncoder | None:
    """The part that gives the posterior that forward samples from."""
    if found.way.condition:
        return None
    zero = found.seen.zero
    return encoder_that_agrees(found.model, found.shaped, found.mean, found.std, suggested, zero)  # type: ignore[arg-type]


def _is_code(tensor: Tensor, code: Tensor) -> bool:
    """Whether an output is the replaced code itself: noise on the output, or the code handed out."""
    return tensor.numel() == code.numel() and close(tensor.double().reshape(code.shape), code.double())


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


def _needs_any_number_of_rows(found: Found) -> ModelError:
    return ModelError(
        f"{found.vae.source} was exported for {fixed_rows(found.model)} rows at a time, and no parts of it encode and decode: "
        "its code can be replaced only where a run takes all rows",
        expected="a program for any number of rows, or one with parts that encode and decode",
        fix='torch.export.export(model, (x,), dynamic_shapes={"x": {0: torch.export.Dim.DYNAMIC}}), saved again',
    )


def _shares_mean(found: Found, encoder: Half) -> bool:
    """Whether the named encoder gives the mean, on the rows or on what forward makes of them.

    Names and noise must agree: a posterior that forward does not sample from is asked about.
    """
    with seeded(1, found.x.device), NoiseTap(1.0):
        output = tried(encoder.run, found.model, found.shaped)
    inside = [call for call in found.seen.zero.calls if call.path == encoder.name]  # type: ignore[union-attr]
    if any(holds(call.output, found.mean) for call in inside) or (output is not None and holds(output, found.mean)):
        return True
    if output is None or not looks_like_posterior(output, len(found.x)):
        return False
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
    _refuse_random_decoder(found, torch.cat([codes[0].flatten(1), given], 1))
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


def _refuse_random_decoder(found: Found, codes: Tensor) -> None:
    """The same code must give the same rows, whatever else is drawn and whichever codes come with it."""
    made = found.decoder(found.model, codes)
    again = replace(found.decoder, seed=1)(found.model, codes)
    turned = found.decoder(found.model, codes.flip(0)).flip(0)
    few = fewer(found.model, len(codes))
    alone = found.decoder(found.model, codes[:few])
    if not close(again, made) or not close(turned, made) or not close(alone, made[:few]):
        raise ask(
            found.model,
            "its reconstruction of a code changes from run to run or with the codes beside it: dropout that is always on, or "
            "other draws that are not normal",
            expected="a decoder that gives the same rows for the same code",
        )


def _untold_decoder(found: Found, codes: list[Tensor], suggested: Half | None) -> NamedDecoder:
    """The named decoder of a model whose forward returns no reconstruction: it must make rows of the code."""
    calls = [call for call in found.seen.zero.calls if suggested is not None and call.path == suggested.name]  # type: ignore[union-attr]
    if calls and not any(call.first is not None and is_same(call.first, found.mean) for call in calls):
        raise ask(
            found.model,
            f"{found.way.words()} returns no reconstruction, and what it calls {calls[0].path} with is not the code that it "
            "samples (scaled, clamped or joined to something else in between)",
        )
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


def _refuse_unsupported(found: Found, decoder: NamedDecoder | None, *, stated: bool, shared: bool, real: bool) -> None:
    """What only noise has shown must do what a VAE does; where names agree, a poor model is a poor VAE.

    Args:
        found: what noise has shown.
        decoder: the part that decodes.
        stated: a named encoder gives mean and spread.
        shared: a named encoder gives the mean.
        real: whether the rows must come back.
    """
    if not stated and any(code.constant for code in found.codes):
        raise ask(
            found.model,
            f"the spread of what {found.way.words()} samples is the same for every row: a noisy autoencoder as likely as a VAE",
            confirm=True,
        )
    if found.output is None or not real:
        return
    rows = found.data
    made = found.decoder(found.model, torch.cat([found.mean.to(found.x), found.x[:, rows.shape[1] :]], 1))
    moved = columns_in_other_places(made, rows)
    if moved:
        raise ask(
            found.model,
            f"its reconstruction has the columns in another order: column {moved[0][0] + 1} comes back as column "
            f"{moved[0][1] + 1}" + (f", and {len(moved) - 1} more" if len(moved) > 1 else ""),
            expected="columns of the reconstruction in the order of the rows",
            confirm=True,
        )
    error, means = rows_error(made, rows), column_means_error(rows)
    if error >= POOR * means and not (shared and decoder is not None and decoder.by_name):
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
