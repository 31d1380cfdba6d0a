"""Level 2, latent perturbation: do(z_i := v_ik) (METHOD.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.interventions.baseline import to_numpy, unit_activations
from circuitprobe.interventions.subject import Asked, BackendName, Run, Subject, opened
from circuitprobe.interventions.values import latent_values
from circuitprobe.probe.engine import MEMORY
from circuitprobe.probe.readout import effect
from circuitprobe.types import Feature

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray

LEAST_TRIMMED = 4


@dataclass(frozen=True)
class LatentRun:
    """Per-row effects of one latent, means over its K values.

    Attributes:
        latent: i, counted from 0.
        change: mean_k delta_f, shape (rows, features).
        strength: mean_k E, shape (rows,).
        profile: mean_k |a_u(do) - a_u(mu)| / s_u per hidden layer, shape (rows, units); dead units are nan.
        response: mean_k w_k D(do), w_k the inner values standardised over k: how each column of the output answers, with its sign,
            shape (rows, ``Readout.directed``'s columns); no columns where it was not asked for.
    """

    latent: int
    change: FloatArray
    strength: FloatArray
    profile: tuple[FloatArray, ...]
    response: FloatArray


@dataclass(frozen=True)
class LatentEffects:
    """Result of level 2 on its own.

    Attributes:
        latents: names, d.
        features: names of the features.
        values: v_ik, shape (latents, K); one row per code column where latents are made of several.
        effects: e_{i,f}, shape (latents, features).
        strength: mean over k of E per row, shape (rows, latents).
    """

    latents: tuple[str, ...]
    features: tuple[str, ...]
    values: FloatArray
    effects: FloatArray
    strength: FloatArray

    @property
    def ces(self) -> FloatArray:
        """CES_i = mean over rows and k of E, shape (latents,)."""
        return np.asarray(self.strength.mean(axis=0))

    def to_frame(self) -> pd.DataFrame:
        """The effect matrix as latents x features, with the column ``ces`` first."""
        import pandas as pd

        frame = pd.DataFrame(self.effects, index=pd.Index(self.latents, name="latent"), columns=list(self.features))
        frame.insert(0, "ces", self.ces.tolist(), allow_duplicates=True)
        return frame


def perturb(subject: Subject, latent: int, values: npt.ArrayLike, *, profiles: bool = True) -> LatentRun:
    """Set one latent to each of its values, the others at mu(x), and measure what changes.

    Args:
        subject: the model on its rows.
        latent: i.
        values: v_i, shape (K,), for all columns that the latent is made of, or (its columns, K).
        profiles: whether hidden units, and the response, are measured too.

    Raises:
        ModelError: the decoder gives nan or infinity at an intervened code.
    """
    dims = list(subject.blocks.latents[latent].dims)
    points = _per_column(values, len(dims))
    base, readout, decoder = subject.base, subject.readout, subject.halves.decoder
    sites = base.sites if profiles else ()
    count = len(base.z)
    change = base.z.new_zeros(count, len(readout.features), dtype=torch.float64)
    strength = base.z.new_zeros(count, dtype=torch.float64)
    weights = _standardised(points)
    response = base.z.new_zeros(count, readout.width if profiles else 0, dtype=torch.float64)
    moved = [torch.zeros_like(layer) for layer in base.hidden[: len(sites)]]
    wanted = points.shape[1]
    at_once = _values_at_once(subject, wanted)
    for rows in base.chunks():
        before, hidden = _stacked(subject, rows, at_once)
        # over the few values in the model's own precision, over rows in double precision
        changes = strengths = responses = before.new_zeros(())
        for start in range(0, wanted, at_once):
            code = base.z[rows].repeat(at_once, 1)
            now = torch.as_tensor(points[:, start : start + at_once].T.copy()).to(code)
            code[:, dims] = now.repeat_interleave(len(base.z[rows]), 0)
            output, captured = decoder.once(code, sites)
            moves = readout.read(output) - before
            if profiles:
                weight = (
                    torch.as_tensor(weights[start : start + at_once]).to(moves).repeat_interleave(len(moves) // at_once)
                )
                responses = responses + _summed(readout.directed(moves) * weight[:, None], at_once)
            delta = readout.weighed(moves.abs_())
            changes = changes + _summed(delta, at_once)
            strengths = strengths + _summed(effect(delta), at_once)
            for number, activation in enumerate(unit_activations(captured, sites)):
                moved[number][rows] += _summed((activation - hidden[number]).abs_(), at_once)
        change[rows], strength[rows] = changes, strengths
        if profiles:
            response[rows] = responses.to(response)
    if not bool(torch.isfinite(change.sum())):
        _find_failure(subject, latent, points)
    profile = tuple(
        # in the model's dtype: a copy in double precision of a wide layer's changes would be the largest thing in memory
        np.asarray(_readable(part / wanted / _alive(std).to(part)).cpu().numpy())
        for part, std in zip(moved, base.unit_std, strict=False)
    )
    return LatentRun(
        latent, to_numpy(change / wanted), to_numpy(strength / wanted), profile, to_numpy(response / wanted)
    )


def _standardised(points: FloatArray) -> FloatArray:
    """w_k of values (columns, K): (v_k - mean) / standard deviation, over all k but the first and the last; the mean over columns.

    Which extreme values occur depends on a few rows: a response that leant on them would be another for every sample. They count
    with weight 0, the others K / (K - 2) times, so that the mean over k is that over the inner ones. Of fewer than four values all
    count. Where the values are the same w is 0.
    """
    count = points.shape[1]
    inner = slice(1, -1) if count >= LEAST_TRIMMED else slice(None)
    kept = points[:, inner]
    spread = kept.std(axis=1, keepdims=True)
    centred = kept - kept.mean(axis=1, keepdims=True)
    weights = np.zeros(count)
    weights[inner] = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0).mean(axis=0)
    return np.asarray(weights * (count / kept.shape[1]))


def _per_column(values: npt.ArrayLike, members: int) -> FloatArray:
    """Values as (members, K)."""
    points = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(points, (members, points.shape[-1]))


def _readable(tensor: Tensor) -> Tensor:
    """In single precision where numpy has no such dtype."""
    return tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor


def _values_at_once(subject: Subject, count: int) -> int:
    """How many values of a latent one forward run takes: more than one where there are few rows, all runs alike."""
    decoder = subject.halves.decoder
    if subject.run.chunk is not None or not decoder.independent:
        return 1
    most = decoder.piece(decoder.widest) // max(rows.stop - rows.start for rows in subject.base.slices)
    return max(divisor for divisor in range(1, count + 1) if count % divisor == 0 and divisor <= max(1, most))


def _stacked(subject: Subject, rows: slice, copies: int) -> tuple[Tensor, list[Tensor]]:
    """Reading and hidden units of the run without an intervention, as many copies in one run as interventions will be.

    A row's output may depend, in the last bit, on the size of its batch and its place in it; with both alike, a latent that
    nothing reads has effects of exactly 0.
    """
    base = subject.base
    if copies == 1:
        return base.reading[rows], [layer[rows] for layer in base.hidden]
    key = (rows.start, copies)
    if key not in subject.stacked:
        output, captured = subject.halves.decoder.once(base.z[rows].repeat(copies, 1), base.sites)
        subject.stacked[key] = (subject.readout.read(output), unit_activations(captured, base.sites))
    return subject.stacked[key]


def _summed(values: Tensor, copies: int) -> Tensor:
    """Sums over the values that were run at once, shape (rows, ...)."""
    return values if copies == 1 else values.view(copies, -1, *values.shape[1:]).sum(0)


def _find_failure(subject: Subject, latent: int, points: FloatArray) -> None:
    """Say at which value the decoder gives nan or infinity."""
    block = subject.blocks.latents[latent]
    for values in points.T:
        code = subject.base.z.clone()
        code[:, list(block.dims)] = torch.as_tensor(values.copy()).to(code)
        what = f"{subject.vae.recognition.decode} at {block.name} = {values.mean():.4g}"
        check_finite(subject.halves.decoder.forward(code), what)


def _alive(unit_std: Tensor) -> Tensor:
    """s_u, nan for dead units."""
    return torch.where(unit_std > 0, unit_std, torch.nan)


def latents(
    vae: ProbedVAE | nn.Module | Subject,
    x: FloatArray | Tensor | None = None,
    values: Literal["posterior", "prior"] | npt.ArrayLike = "posterior",
    *,
    features: Sequence[Feature] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    n_values: int = 8,
    seed: int = 0,
    chunk: int | None = None,
    memory: int = MEMORY,
    backend: BackendName = "hooks",
) -> LatentEffects:
    """Level 2 on its own: effect matrix and causal effect strength of every latent.

    Args:
        vae: a wrapped model, or a module whose halves are known by name; it is left as it was. Or what ``prepared`` gives, which
            has the rows and every option below already.
        x: rows in the model's space, shape (rows, dims); images (rows, channels, height, width).
        values: ``"posterior"``: the (k - 1/2)/K quantiles of the aggregate posterior; ``"prior"``: evenly spaced on
            [-3, 3], or over the codebook; or the values themselves, shape (latents, K), or (code columns, K) where latents are
            made of several.
        features: how the dimensions read; default one per dimension that is not constant, binary where it holds only 0
            and 1, numeric otherwise; patches of an 8 x 8 grid for images. Output is taken as it is: say ``Link.SIGMOID`` or
            ``Link.SOFTMAX`` for logits.
        groups: not used by this level; every level takes the same arguments.
        n_values: K.
        seed: draws the codes of a model without an encoder; of no effect on others.
        chunk: rows per run of the decoder; it changes no figure.
        memory: bytes that activations and results may take.
        backend: ``hooks`` or ``nnsight``.

    Returns:
        Effects in standard deviations (numeric) or probability (categorical), all >= 0.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: ``values`` has another shape.
    """
    # no level-2 figure depends on source rows
    asked = Asked(features, groups, 1, seed, Run(chunk, memory, backend))
    with opened(vae, x, asked) as subject:
        points = latent_values(values, subject, n_values)
        dims = [list(latent.dims) for latent in subject.blocks.latents]
        runs = [perturb(subject, i, points[dims[i]], profiles=False) for i in range(len(dims))]
        return LatentEffects(
            latents=subject.latents,
            features=tuple(feature.name for feature in subject.features),
            values=points,
            effects=np.stack([run.change.mean(axis=0) for run in runs]),
            strength=np.stack([run.strength for run in runs], axis=1),
        )
