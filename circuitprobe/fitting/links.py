"""Whether a decoder's categorical output still needs its activation, decided on real rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.levels.reconstruction import squared_errors
from circuitprobe.probe import Readout
from circuitprobe.probe.readout import feature_std
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Feature, FeatureKind, Link

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.types import FloatArray

_TOLERANCE = 1e-3
_ROWS = 2048
_ACTIVATION = {FeatureKind.CATEGORICAL: Link.SOFTMAX, FeatureKind.BINARY: Link.SIGMOID}


def choose_links(vae: ProbedVAE, x: FloatArray, features: Sequence[Feature]) -> tuple[Feature, ...]:
    """How the decoder's categorical and binary output reads: as it is, or through softmax and sigmoid.

    Output that is a probability on every row is taken as it is. Where some is not (negative, above 1, blocks that do not
    sum to 1) it is either logits or a linear output trained on 0 and 1: whichever reading reconstructs the rows better is
    taken, for all such features together. Without an encoder the output is that of codes drawn from N(0, I), there are no
    rows to reconstruct, and what is no probability is taken for logits. What the spec file or a checkpoint says wins.

    Args:
        vae: the model, settled, inside ``untouched``.
        x: rows in the model's space, shape (rows, dims).
        features: their features.

    Returns:
        The features with their links.
    """
    discrete = [feature for feature in features if _may_be_activated(feature)]
    if not discrete or vae.output == "probabilities":
        return tuple(features)
    if vae.output == "logits":
        return _linked(features, {feature.name for feature in discrete})
    inputs = vae.to_input(some_rows(x))
    output = decoded_rows(vae, inputs)
    raw = {feature.name for feature in discrete if not _is_probability(output, feature)}
    if not raw:
        return tuple(features)
    if vae.prior_only:
        return _linked(features, raw)
    options = [tuple(features), _linked(features, raw)]
    errors = [_error(option, output, torch.as_tensor(some_rows(x), device=inputs.device)) for option in options]
    return options[1] if errors[1] < errors[0] else options[0]


def decoded_rows(vae: ProbedVAE, inputs: Tensor, seed: int = 0) -> Tensor:
    """What the decoder makes of the rows' codes, or, where there is no encoder, of codes drawn from N(0, I).

    Raises:
        ModelError: the model fails, or gives nan or infinity.
    """
    codes = vae.prior_codes(inputs, generator(seed, Stream.PRIOR)) if vae.prior_only else vae.encode(inputs).mean
    output = vae.decode(codes)
    check_finite(output, vae.recognition.decode)
    return output


def some_rows(x: FloatArray) -> FloatArray:
    """At most 2,048 rows, evenly spaced: enough to tell readings apart, bounded whatever the audit's size."""
    return x[:: -(-len(x) // _ROWS)]


def _may_be_activated(feature: Feature) -> bool:
    """A binary column that was standardised before training has no logit: its decoder is linear."""
    return feature.kind in _ACTIVATION and feature.decode.scale == 1.0 and feature.decode.center == 0.0


def _linked(features: Sequence[Feature], names: set[str]) -> tuple[Feature, ...]:
    return tuple(
        replace(f, decode=replace(f.decode, link=_ACTIVATION[f.kind])) if f.name in names else f for f in features
    )


def _is_probability(output: Tensor, feature: Feature) -> bool:
    block = output[:, list(feature.decode.dims)].to(torch.float64)
    inside = bool(((block >= -_TOLERANCE) & (block <= 1 + _TOLERANCE)).all())
    if feature.kind is FeatureKind.BINARY:
        return inside
    return inside and bool((block.sum(dim=1) - 1).abs().max() <= _TOLERANCE)


def _error(features: Sequence[Feature], output: Tensor, x: Tensor) -> float:
    discrete = [feature for feature in features if feature.kind in _ACTIVATION]
    readout = Readout.build(discrete, feature_std(x.cpu().numpy(), discrete), output.device)
    return float(squared_errors(readout, readout.read(output), readout.rows(x))[0].mean())
