"""Level 2, latent perturbation: do(z_i := v_ik) (METHOD.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.data import array_data
from circuitprobe.adapters.models import ProbedVAE, check_finite, require_width, wrap
from circuitprobe.errors import UsageError
from circuitprobe.interventions.baseline import Baseline, run_baseline, to_numpy, unit_activations
from circuitprobe.interventions.values import posterior_values, prior_values
from circuitprobe.probe import Readout, capture, threads_for, untouched
from circuitprobe.probe.readout import effect, feature_std
from circuitprobe.types import Feature

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import nn

    from circuitprobe.types import FloatArray


@dataclass(frozen=True)
class LatentRun:
    """Per-row effects of one latent, means over its K values.

    Attributes:
        latent: i, counted from 0.
        change: mean_k delta_f, shape (rows, features).
        strength: mean_k E, shape (rows,).
        profile: mean_k |a_u(do) - a_u(mu)| / s_u per hidden layer, shape (rows, units); dead units are nan.
    """

    latent: int
    change: FloatArray
    strength: FloatArray
    profile: tuple[FloatArray, ...]


@dataclass(frozen=True)
class LatentEffects:
    """Result of level 2 on its own.

    Attributes:
        latents: names z0, z1, ...
        features: names of the features.
        values: v_ik, shape (latents, K).
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


def perturb(
    vae: ProbedVAE, base: Baseline, readout: Readout, latent: int, values: npt.ArrayLike, *, profiles: bool = True
) -> LatentRun:
    """Set one latent to each of its values, the others at mu(x), and measure what changes.

    Args:
        vae: the model, inside ``untouched``.
        base: its baseline run.
        readout: how the output reads.
        latent: i.
        values: v_i, shape (K,).
        profiles: whether hidden units are measured too.

    Raises:
        ModelError: the decoder gives nan or infinity at an intervened code.
    """
    points = np.asarray(values, dtype=np.float64)
    sites = base.sites if profiles else ()
    count = len(base.z)
    change = base.z.new_zeros(count, len(readout.features), dtype=torch.float64)
    strength = base.z.new_zeros(count, dtype=torch.float64)
    moved = [torch.zeros_like(layer) for layer in base.hidden[: len(sites)]]
    with capture(vae.model, sites) as recording:
        for rows in base.chunks():
            code = base.z[rows].clone()
            for value in points:
                code[:, latent] = float(value)
                recording.clear()
                output = vae.decode(code)
                check_finite(output, f"{vae.recognition.decode} at z{latent} = {value:.4g}")
                delta = readout.change(readout.read(output), base.reading[rows])
                change[rows] += delta
                strength[rows] += effect(delta)
                for number, activation in enumerate(unit_activations(recording, sites)):
                    moved[number][rows] += (activation - base.hidden[number][rows]).abs()
    profile = tuple(
        to_numpy(part.to(torch.float64) / len(points) / _alive(std))
        for part, std in zip(moved, base.unit_std, strict=False)
    )
    return LatentRun(latent, to_numpy(change / len(points)), to_numpy(strength / len(points)), profile)


def _alive(unit_std: Tensor) -> Tensor:
    """s_u, nan for dead units."""
    return torch.where(unit_std > 0, unit_std, torch.nan)


def latents(
    vae: ProbedVAE | nn.Module,
    x: FloatArray | Tensor,
    values: Literal["posterior", "prior"] | npt.ArrayLike = "posterior",
    *,
    features: Sequence[Feature] | None = None,
    n_values: int = 8,
    chunk: int | None = None,
) -> LatentEffects:
    """Level 2 on its own: effect matrix and causal effect strength of every latent.

    Args:
        vae: a wrapped model, or a module whose halves are known by name. It is left as it was.
        x: rows in the model's space, shape (rows, dims).
        values: ``"posterior"``: the (k - 1/2)/K quantiles of the aggregate posterior; ``"prior"``: evenly spaced on
            [-3, 3]; or the values themselves, shape (latents, K).
        features: how the dimensions read; default one per dimension that is not constant, binary where it holds only 0
            and 1, numeric otherwise. Output is taken as it is: say ``Link.SIGMOID`` or ``Link.SOFTMAX`` for logits.
        n_values: K.
        chunk: rows per run of the decoder; it changes no figure.

    Returns:
        Effects in standard deviations (numeric) or probability (categorical), all >= 0.

    Raises:
        ModelError: the model does not behave like a VAE on these rows.
        UsageError: ``values`` does not have the shape (latents, K).
    """
    vae = vae if isinstance(vae, ProbedVAE) else wrap(vae)
    rows = to_numpy(torch.as_tensor(x))
    chosen = tuple(features) if features is not None else default_features(rows)
    with untouched(vae.model), threads_for(vae.model):
        require_width(vae, rows.shape[1])
        settled = vae.resolved(vae.to_input(rows[:2048]))
        readout = Readout.build(chosen, feature_std(rows, chosen), settled.device, settled.dtype)
        base = run_baseline(settled, rows, readout, chunk)
        points = latent_values(values, base, n_values)
        runs = [perturb(settled, base, readout, i, points[i], profiles=False) for i in range(len(points))]
    return LatentEffects(
        latents=tuple(f"z{i}" for i in range(len(points))),
        features=tuple(feature.name for feature in chosen),
        values=points,
        effects=np.stack([run.change.mean(axis=0) for run in runs]),
        strength=np.stack([run.strength for run in runs], axis=1),
    )


def latent_values(values: str | npt.ArrayLike, base: Baseline, n_values: int) -> FloatArray:
    """The values of ``latents`` as an array, shape (latents, K).

    Raises:
        UsageError: an array of another shape, with nan, or an unknown word.
    """
    count = base.mean.shape[1]
    if isinstance(values, str):
        if values not in {"posterior", "prior"}:
            raise UsageError(
                f"values={values!r}", expected="posterior, prior, or an array (latents, K)", fix='values="posterior"'
            )
        return (
            posterior_values(base.mean, base.log_var, n_values)
            if values == "posterior"
            else prior_values(count, n_values)
        )
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[0] != count or points.shape[1] < 1 or not np.isfinite(points).all():
        raise UsageError(
            f"values of shape {points.shape}",
            expected=f"finite numbers of shape ({count}, K)",
            fix="one row of values per latent",
        )
    return points


def default_features(x: FloatArray) -> tuple[Feature, ...]:
    """What ``cp.audit`` takes an array's columns for: x0, x1, ..., binary where only 0 and 1 occur, constants left out."""
    return tuple(f for f in array_data(x, rows=None)[1] if np.ptp(x[:, f.dims[0]]) > 0)
