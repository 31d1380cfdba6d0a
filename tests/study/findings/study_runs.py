"""Runs of a study, made up: figures follow from architecture, benchmark and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from circuitprobe.study.records import Metric, Modality, RunRecord

ARCHS = ("vae", "beta-vae", "factor-vae", "beta-tcvae", "dip-vae-ii")
TABLES = ("adult", "default_credit", "german_credit", "wine_quality")
IMAGES = ("dsprites",)
SEEDS = (0, 1, 2)

Figures = Mapping[Metric, float | None]


def run(
    figures: Figures,
    *,
    arch: str = "vae",
    benchmark: str = "adult",
    seed: int = 0,
    modality: Modality | None = None,
    reconstructs: bool = True,
) -> RunRecord:
    """One run; dsprites is images."""
    kind: Modality = modality or ("image" if benchmark in IMAGES else "table")
    return RunRecord(arch, benchmark, kind, seed, figures, reconstructs)


def series(metric: Metric, values: Sequence[float | None], **where: str) -> list[RunRecord]:
    """Runs of one architecture on one benchmark with these values, seeds counted from 0."""
    return [run({metric: value}, seed=seed, **where) for seed, value in enumerate(values)]  # type: ignore[arg-type]


def grid(
    figures: Callable[[str, str, int], Figures] | None = None,
    archs: Sequence[str] = ARCHS,
    benchmarks: Sequence[str] = (*TABLES, *IMAGES),
    seeds: Sequence[int] = SEEDS,
) -> list[RunRecord]:
    """All runs of a grid."""
    found = figures or lifelike
    return [
        run(found(arch, benchmark, seed), arch=arch, benchmark=benchmark, seed=seed)
        for arch in archs
        for benchmark in benchmarks
        for seed in seeds
    ]


def lifelike(arch: str, benchmark: str, seed: int) -> Figures:
    """Figures of the size that the reference models have: beta-VAE prunes latents on tables, less so on images."""
    rng = np.random.default_rng([ARCHS.index(arch), (*TABLES, *IMAGES).index(benchmark), seed])
    images = benchmark in IMAGES
    strength = {"vae": 0.0, "beta-vae": 1.0, "factor-vae": 0.05, "beta-tcvae": 0.3, "dip-vae-ii": 0.25}[arch]
    place = (*TABLES, *IMAGES).index(benchmark)
    noise = rng.normal(size=8)
    share = float(np.clip(0.08 + 0.4 * strength + 0.03 * place + 0.02 * noise[0], 0.01, 1.0))
    null = 0.04 if images else 0.8
    ces = float((0.12 if images else 0.22) * (1 - 0.75 * share) + 0.008 * noise[1])
    specificity = float(0.18 + 0.12 * strength + 0.02 * place + 0.015 * noise[2])
    return {
        "mse": share * null,
        "mse_share": share,
        "ces": ces,
        "ces_active": ces * 1.2,
        "ces_prior": ces * 1.4,
        "calibration_ratio": 1.4 + 0.05 * float(noise[3]),
        "specificity": specificity,
        "modularity": float((0.62 if images else 0.36) + 0.1 * strength + 0.03 * noise[4]),
        "fgd": specificity + 0.1,
        "fgd_adjusted": float(0.2 + 0.15 * strength + 0.05 * noise[5]),
        "active_latents": float(round(10 - 5 * strength)),
        "auc": float(0.74 + 0.03 * place - 0.05 * strength + 0.01 * noise[6]),
    }
