"""An audit's scores against the factors that its images were made from (METHOD.md section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.models import check_finite
from circuitprobe.errors import DataError, ModelError
from circuitprobe.interventions.baseline import split_posterior, to_numpy
from circuitprobe.levels.ground_truth import scored, steps
from circuitprobe.levels.truth_sample import LEAST_ROWS, drawn, sample_of

if TYPE_CHECKING:
    from circuitprobe.fitting.known_factors import FactorRows
    from circuitprobe.interventions.subject import Subject
    from circuitprobe.levels.chosen import Progress
    from circuitprobe.levels.setting import LevelSetting, Tick
    from circuitprobe.report.ground_truth import GroundTruth
    from circuitprobe.types import FloatArray, IntArray


def known_factors_level(
    setting: LevelSetting, factors: FactorRows | None, show: Progress, *, most: int, with_dci: bool
) -> tuple[GroundTruth | None, str]:
    """Draw up to ``most`` images, encode them, and score their codes as ``cp.ground_truth`` does.

    Args:
        setting: model, audited rows and draws, inside ``untouched``.
        factors: further rows whose factors are known; None where there are none.
        show: told what is going on.
        most: how many images are drawn at most; none and no scores for 0.
        with_dci: whether DCI is computed.

    Returns:
        The scores; or None and why there are none, "" where no factors are known.
    """
    if factors is None or most == 0:
        return None, ""
    reason = _why_not(setting.subject, factors)
    if reason:
        return None, reason
    index = drawn(factors.known.total, setting.seed, most)
    ascending = np.argsort(index, kind="stable")
    try:
        with show.phase("encoding images with known factors", len(index)) as tick:
            codes = np.empty((len(index), len(setting.latent_names)))
            codes[ascending] = _codes(setting.subject, factors, index[ascending], tick)
        classes = np.empty((len(index), len(factors.known.names)), dtype=np.int64)
        classes[ascending] = factors.known.classes(index[ascending])
        sample = sample_of(codes, classes, factors.known.names, setting.latent_names)
    except (DataError, ModelError) as error:
        return None, error.seen
    with show.phase("scoring codes against known factors", steps(len(sample.names), with_dci=with_dci)) as tick:
        return scored(sample, setting.seed, setting.resampler.resamples, with_dci=with_dci, tick=tick), ""


def _why_not(subject: Subject, factors: FactorRows) -> str:
    if subject.vae.prior_only:
        return subject.vae.prior_only
    if subject.vae.codes is not None:
        return "the code is indices into a codebook: names, of which no value is larger than another"
    if any(len(latent.dims) != 1 for latent in subject.blocks.latents):
        return "a latent of several code columns has no single value"
    if factors.known.total < LEAST_ROWS:
        return f"{factors.known.total} images with known factors, fewer than {LEAST_ROWS}"
    return ""


def _codes(subject: Subject, factors: FactorRows, index: IntArray, tick: Tick) -> FloatArray:
    """The means of the latents, shape (images, latents)."""
    vae, columns = subject.vae, [latent.dims[0] for latent in subject.blocks.latents]
    codes = np.empty((len(index), len(columns)))
    for where, rows in factors.pieces(index, subject.run.memory):
        output = subject.encoder.read(vae.to_input(rows), (), subject.run.chunk)[0]
        mean, _ = split_posterior(output, vae)
        check_finite(mean, vae.recognition.encode)
        codes[where] = to_numpy(mean[:, columns])
        tick(where.stop)
    return codes
