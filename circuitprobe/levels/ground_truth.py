"""Codes against known factors: every score with its interval, its value by chance and its ceiling (METHOD.md section 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import UsageError
from circuitprobe.levels.truth_sample import TruthSample, truth_sample
from circuitprobe.metrics.ground_truth import (
    Dci,
    FactorVae,
    Mig,
    Sap,
    Votes,
    dci,
    draw_votes,
    factor_vae,
    mig,
    mig_gaps,
    resampled_scores,
    sap,
)
from circuitprobe.metrics.ground_truth.dci import STAGES
from circuitprobe.report.ground_truth import Ceilings, DciScores, FactorScores, GroundTruth
from circuitprobe.stats.bootstrap import Resampler, estimate
from circuitprobe.stats.draws import Stream, generator
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray

# permutations of the codes' rows that a value by chance is the mean over
MIG_PERMUTATIONS = 10
SAP_PERMUTATIONS = 3
VOTE_PERMUTATIONS = 10
DCI_PERMUTATIONS = 1
LEAST_RESAMPLES = 10

Tick = Callable[[], None]


@dataclass(frozen=True)
class _Scores:
    """The scores of one code."""

    mig: Mig
    sap: Sap
    votes: FactorVae
    dci: Dci | None


@dataclass(frozen=True)
class _Chance:
    """The scores of codes whose rows were permuted, means over permutations; per factor of shape (factors,)."""

    mig: FloatArray
    sap: FloatArray
    votes: float
    dci: Dci | None


def ground_truth(
    codes: npt.ArrayLike,
    factors: npt.ArrayLike,
    *,
    names: Sequence[str] | None = None,
    latents: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    dci: bool = True,
    progress: Tick | None = None,
) -> GroundTruth:
    """Score codes against the factors that the data were made from: MIG, SAP, FactorVAE score, DCI.

    Example::

        truth = cp.ground_truth(mu, classes, names=("shape", "scale"))
        truth.mig.value, truth.mig.low, truth.mig.null      # beside truth.ceilings.mig
        truth.factors["shape"].mig_first                    # "z3"

    Args:
        codes: mu(x), numbers of shape (rows, latents), in any scale; the FactorVAE score leaves out latents whose standard
            deviation is below 0.05, which is meant for latents with a prior of variance 1.
        factors: the factors' values of the same rows, shape (rows, factors): whole numbers or text, each value a class.
        names: of the factors; default ``v0``, ``v1``, ...
        latents: names of the latents; default ``z0``, ``z1``, ...
        seed: of every draw. At most 15,000 rows are drawn, the first two thirds of them to fit on.
        resamples: of the bootstrap.
        dci: whether DCI is computed: 100 stages of one tree per class and factor, twice. Seconds for a few classes and rows, about
            14 minutes of processor time for the 113 classes of dSprites.
        progress: called ``steps`` times while it goes on, from several threads.

    Raises:
        DataError: arrays that do not fit each other, numbers that are not finite, too few rows, no factor that varies.
        UsageError: a seed or number of resamples out of range.
    """
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed = {seed}", expected="a seed from 0 to 4294967295", fix="seed = 0")
    if resamples < LEAST_RESAMPLES:
        raise UsageError(
            f"resamples = {resamples}", expected=f"at least {LEAST_RESAMPLES}", fix="leave resamples out: 1,000"
        )
    return scored(truth_sample(codes, factors, names, latents, seed), seed, resamples, with_dci=dci, tick=progress)


def scored(sample: TruthSample, seed: int, resamples: int, *, with_dci: bool, tick: Tick | None = None) -> GroundTruth:
    """The scores of a sample; ``ground_truth`` says of what."""
    told = tick or _untold
    votes = draw_votes(sample.factors, generator(seed, Stream.TRUTH_VOTES))
    own = _scores(sample, votes, seed, told, with_dci=with_dci)
    chance = _chance(sample, votes, seed, told, with_dci=with_dci)
    top = _scores(sample.own_code(), votes, seed, told, with_dci=False)
    fit, held_out = sample.train, len(sample.codes) - sample.train
    gaps = _centred(_mig_resamples(sample, own.mig, Resampler(fit, resamples, seed)), own.mig.gap)
    leads = _centred(Resampler(held_out, resamples, seed).means(own.sap.lead), own.sap.gap)
    again = resampled_scores(own.votes, votes, generator(seed, Stream.TRUTH_VALUES), resamples)
    hits = None if own.dci is None else Resampler(held_out, resamples, seed).means(own.dci.right.astype(np.float64))
    return GroundTruth(
        rows_train=fit,
        rows_test=held_out,
        latents=sample.latents,
        names=sample.names,
        dead=tuple(name for name, live in zip(sample.latents, own.votes.active, strict=True) if not live),
        left_out=sample.left_out,
        mig=_bounded(own.mig.value, _mean(gaps), fit, float(chance.mig.mean())),
        sap=_bounded(own.sap.value, leads.mean(axis=1), held_out, float(chance.sap.mean())),
        factor_vae=_bounded(own.votes.value, _centred(again, own.votes.value), len(own.votes.right), chance.votes),
        dci=None if own.dci is None or chance.dci is None else _dci(own.dci, chance.dci, hits, held_out),
        ceilings=Ceilings(mig=top.mig.value, sap=top.sap.value, factor_vae=top.votes.value),
        factors=dict(_per_factor(sample, own, chance, gaps, leads, hits)),
    )


def steps(factors: int, *, with_dci: bool) -> int:
    """How often the tick of ``scored`` is called."""
    sap_fits = factors * (SAP_PERMUTATIONS + 2)
    return sap_fits + MIG_PERMUTATIONS + with_dci * factors * STAGES * (1 + DCI_PERMUTATIONS)


def _untold() -> None:
    """A tick that nobody sees."""


def _scores(sample: TruthSample, votes: Votes, seed: int, tick: Tick, *, with_dci: bool) -> _Scores:
    return _Scores(
        mig(*sample.fit),
        sap(sample.fit, sample.held_out, seed, tick),
        factor_vae(sample.codes, votes, sample.factors.shape[1]),
        dci(sample.fit, sample.held_out, seed, tick=tick) if with_dci else None,
    )


def _chance(sample: TruthSample, votes: Votes, seed: int, tick: Tick, *, with_dci: bool) -> _Chance:
    """The same scores of codes whose rows belong to other factors."""
    rng = generator(seed, Stream.TRUTH_NULL)
    gaps, leads, shares = [], [], []
    trees: Dci | None = None
    for number in range(max(MIG_PERMUTATIONS, VOTE_PERMUTATIONS)):
        other = replace(sample, codes=sample.codes[rng.permutation(len(sample.codes))])
        gaps.append(mig(*other.fit).gap)
        shares.append(factor_vae(other.codes, votes, sample.factors.shape[1]).value)
        if number < SAP_PERMUTATIONS:
            leads.append(sap(other.fit, other.held_out, seed, tick).gap)
        if number < DCI_PERMUTATIONS and with_dci:
            trees = dci(other.fit, other.held_out, seed, tick=tick)
        tick()
    return _Chance(np.mean(gaps, axis=0), np.mean(leads, axis=0), float(np.mean(shares)), trees)


def _mig_resamples(sample: TruthSample, found: Mig, resampler: Resampler) -> FloatArray:
    """Shape (resamples, factors)."""
    codes, factors = sample.fit
    return np.concatenate([mig_gaps(codes, factors, found, weights) for _, weights in resampler.weights()])


def _mean(values: FloatArray) -> FloatArray:
    """Mean over factors; nan where one is nan."""
    return np.asarray(values.mean(axis=1))


def _centred(resampled: FloatArray, value: FloatArray | float) -> FloatArray:
    """Resamples moved so that their mean is the value.

    Information from counts is biased upwards, and a resample adds the bias once more: without this a value can lie outside
    its own percentile interval, MIG near 1 always does.
    """
    defined = np.where(np.isfinite(resampled), resampled, np.nan)
    return np.asarray(resampled - np.nanmean(defined, axis=0) + value)


def _bounded(value: float, resampled: FloatArray, n: int, null: float | None) -> Estimate:
    """An estimate of a score that lies in [0, 1]."""
    return estimate(value, np.clip(resampled, 0.0, 1.0), n, null)


def _without_interval(value: float, n: int, null: float) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None, None, None, n)
    return Estimate(float(value), None, None, n, float(null))


def _dci(own: Dci, chance: Dci, hits: FloatArray | None, n: int) -> DciScores:
    resampled = np.empty(0) if hits is None else hits.mean(axis=1)
    return DciScores(
        disentanglement=_without_interval(own.disentanglement, n, chance.disentanglement),
        completeness=_without_interval(own.completeness, n, chance.completeness),
        informativeness=_bounded(own.informativeness, resampled, n, chance.informativeness),
    )


def _per_factor(
    sample: TruthSample, own: _Scores, chance: _Chance, gaps: FloatArray, leads: FloatArray, hits: FloatArray | None
) -> Iterator[tuple[str, FactorScores]]:
    fit, held_out = sample.train, len(sample.codes) - sample.train
    trees, null_trees = own.dci, chance.dci
    for k, name in enumerate(sample.names):
        yield (
            name,
            FactorScores(
                classes=len(np.unique(sample.factors[:, k])),
                entropy=float(own.mig.entropy[k]),
                mig=_bounded(float(own.mig.gap[k]), gaps[:, k], fit, float(chance.mig[k])),
                mig_first=sample.latents[own.mig.first[k]],
                mig_second=_name(sample, int(own.mig.second[k])),
                information=_by_latent(sample, own.mig.information[k]),
                sap=_bounded(float(own.sap.gap[k]), leads[:, k], held_out, float(chance.sap[k])),
                sap_first=sample.latents[own.sap.first[k]],
                sap_second=_name(sample, int(own.sap.second[k])),
                accuracy=_by_latent(sample, own.sap.accuracy[k]),
                votes={z: int(count) for z, count in zip(sample.latents, own.votes.counts[:, k], strict=True)},
                voted=tuple(z for z, to in zip(sample.latents, own.votes.factor_of, strict=True) if to == k),
                importance=None if trees is None else _by_latent(sample, trees.importance[:, k]),
                completeness=None
                if trees is None or null_trees is None
                else _without_interval(float(trees.by_factor[k]), held_out, float(null_trees.by_factor[k])),
                informativeness=None
                if trees is None or null_trees is None or hits is None
                else _bounded(
                    float(trees.right[:, k].mean()), hits[:, k], held_out, float(null_trees.right[:, k].mean())
                ),
            ),
        )


def _name(sample: TruthSample, latent: int) -> str | None:
    return sample.latents[latent] if latent >= 0 else None


def _by_latent(sample: TruthSample, values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(sample.latents, values, strict=True)}
