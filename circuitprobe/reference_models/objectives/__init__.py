"""What the reference models minimise, one file per objective.

Convention: sums over features and latents, means over the rows of a batch, nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal

from circuitprobe.errors import UsageError
from circuitprobe.reference_models.objectives import beta_tcvae as tc
from circuitprobe.reference_models.objectives import beta_vae as beta_
from circuitprobe.reference_models.objectives import dip_vae as dip
from circuitprobe.reference_models.objectives import factor_vae as factor
from circuitprobe.reference_models.objectives.objective import Objective, Strength
from circuitprobe.reference_models.objectives.terms import Codes, Context, Terms, draw_codes, elbo_terms
from circuitprobe.reference_models.objectives.vae import vae

__all__ = [
    "ARCHITECTURES",
    "Codes",
    "Context",
    "Modality",
    "Objective",
    "Terms",
    "draw_codes",
    "elbo_terms",
    "objective_for",
]

Modality = Literal["table", "image"]

_WITH_STRENGTH: dict[str, tuple[str, Strength, Callable[[float], Objective]]] = {
    "beta-vae": ("beta", beta_.BETA, beta_.beta_vae),
    "factor-vae": ("gamma", factor.GAMMA, factor.factor_vae),
    "beta-tcvae": ("beta", tc.BETA, tc.beta_tcvae),
    "dip-vae-ii": ("lambda", dip.LAMBDA, dip.dip_vae_ii),
}

ARCHITECTURES: tuple[str, ...] = ("vae", *_WITH_STRENGTH)


def objective_for(
    arch: str,
    modality: Modality = "table",
    *,
    beta: float | None = None,
    gamma: float | None = None,
    lambda_od: float | None = None,
) -> Objective:
    """The objective of an architecture.

    Args:
        arch: one of ``ARCHITECTURES``.
        modality: whose defaults are taken.
        beta: weight of the KL term of ``beta-vae`` or of the total correlation of ``beta-tcvae``.
        gamma: weight of the total correlation of ``factor-vae``.
        lambda_od: weight of the moments of ``dip-vae-ii``.

    Raises:
        UsageError: unknown architecture, a hyperparameter that it does not have, or one that is not a positive number.
    """
    if arch not in ARCHITECTURES:
        close = get_close_matches(arch.lower().replace("_", "-"), ARCHITECTURES, n=1, cutoff=0.5)
        fix = f"did you mean `--arch {close[0]}`?" if close else "choose one of them with `--arch`"
        raise UsageError(f"unknown architecture {arch!r}", expected=f"one of {', '.join(ARCHITECTURES)}", fix=fix)
    given = {
        name: value for name, value in (("beta", beta), ("gamma", gamma), ("lambda", lambda_od)) if value is not None
    }
    own = _WITH_STRENGTH[arch][0] if arch in _WITH_STRENGTH else None
    for name, value in given.items():
        if name != own:
            raise _not_its_own(arch, own, name, value)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"{name} is {value:g}",
                expected="a positive number" + ("; 1 is a plain VAE" if name == "beta" else ""),
                fix=f"`--{name} {_default(arch, modality):g}`, or leave --{name} out",
            )
    if own is None:
        return vae()
    return _WITH_STRENGTH[arch][2](float(given.get(own, _default(arch, modality))))


def _default(arch: str, modality: Modality) -> float:
    strength = _WITH_STRENGTH[arch][1]
    return strength.table if modality == "table" else strength.image


def _not_its_own(arch: str, own: str | None, name: str, value: float) -> UsageError:
    others = [other for other, (theirs, _, _) in _WITH_STRENGTH.items() if theirs == name]
    return UsageError(
        f"{name} {value:g} was given for the architecture {arch}",
        expected=f"--{own}, its one hyperparameter" if own else f"no {name}: a vae has beta 1 by definition",
        fix=" or ".join(f"`--arch {other} --{name} {value:g}`" for other in others) + f", or leave --{name} out",
    )
