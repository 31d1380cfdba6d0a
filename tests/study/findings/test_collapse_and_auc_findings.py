"""Findings 2 and 4 on figures whose answer is known."""

from __future__ import annotations

import pytest
from study.findings.study_runs import ARCHS, grid, lifelike, run

from circuitprobe.study.findings.auc import auc_finding
from circuitprobe.study.findings.collapse import collapse_finding
from circuitprobe.study.findings.correlation import pearson

NOISE = (0.96, 1.0, 1.04)


def falling(arch: str, benchmark: str, seed: int) -> dict:
    """beta-VAE as in the paper on tables and images; all others alike on both; CES falls as MSE rises."""
    level = 0.133 if arch != "beta-vae" or benchmark == "dsprites" else 0.043
    ces = level * NOISE[seed] + 0.001 * ARCHS.index(arch)
    return {"ces": ces, "mse": 1.0 - 5 * ces + 0.01 * (-1) ** seed, "mse_share": 0.5}


def test_the_paper_s_collapse_is_reproduced() -> None:
    found = collapse_finding(grid(falling))
    assert found.beta_vae.arch == "beta-vae"
    assert found.beta_vae.ratio.ratio.value == pytest.approx((0.043 + 0.001) / (0.133 + 0.001))
    assert found.ratio_judgement.paper == pytest.approx(0.3233, abs=5e-5)
    assert found.ratio_judgement.outcome == "reproduced"
    assert found.r_judgement.outcome == "reproduced"
    assert (found.r_judgement.paper, found.r_judgement.halfway) == (-0.886, -0.443)
    assert found.outcome == "reproduced"
    assert [entry.arch for entry in found.others] == ["beta-tcvae", "dip-vae-ii", "factor-vae", "vae"]
    assert all(entry.ratio.ratio.value == pytest.approx(1.0) for entry in found.others)
    assert found.r_share.reason == "no variance in one of the two figures"


def test_a_collapse_that_does_not_go_with_error_is_not_reproduced() -> None:
    def unrelated(arch: str, benchmark: str, seed: int) -> dict:
        return falling(arch, benchmark, seed) | {"mse": 0.1 + 0.1 * ((ARCHS.index(arch) + seed) % 5)}

    found = collapse_finding(grid(unrelated))
    assert found.ratio_judgement.outcome == "reproduced"
    assert found.r_judgement.outcome == "not reproduced"
    assert found.outcome == "not reproduced"


def test_only_beta_vae_counts_for_the_collapse() -> None:
    found = collapse_finding(grid(falling, archs=("vae",)))
    assert found.beta_vae.ratio.reason == "fewer than two runs on a side (0 and 0)"
    assert found.ratio_judgement.outcome == "inconclusive"
    assert [entry.arch for entry in found.others] == ["vae"]


def test_r_is_over_all_runs_and_beside_it_over_parts() -> None:
    runs = grid()
    found = collapse_finding(runs)
    assert (found.r.r.n, found.r_tables.r.n, found.r_images.r.n, found.r_within.r.n) == (75, 60, 15, 75)
    assert found.r_within.df == 75 - 2 - 4
    ces, mse = ([entry.figure(name) for entry in runs] for name in ("ces", "mse"))
    assert found.r.r.value == pytest.approx(pearson("", ces, mse).r.value)  # type: ignore[arg-type]
    tables = [entry for entry in runs if entry.modality == "table"]
    ces, mse = ([entry.figure(name) for entry in tables] for name in ("ces", "mse"))
    assert found.r_tables.r.value == pytest.approx(pearson("", ces, mse).r.value)  # type: ignore[arg-type]


def test_left_out_runs_of_finding_2_are_named_per_figure() -> None:
    runs = [*grid(), run(lifelike("vae", "adult", 0) | {"ces": None}, seed=8)]
    runs.append(run(lifelike("vae", "adult", 0) | {"mse": None}, seed=9))
    found = collapse_finding(runs)
    assert [entry.runs for entry in found.left_out] == [
        ("vae on adult, seed 8",),
        ("vae on adult, seed 8", "vae on adult, seed 9"),
        ("vae on adult, seed 8",),
    ]
    assert found.r.r.n == 75


def test_auc_that_follows_specificity_is_reproduced() -> None:
    def follows(arch: str, benchmark: str, seed: int) -> dict:
        own = lifelike(arch, benchmark, seed)
        return {"specificity": own["specificity"], "auc": 0.5 + own["specificity"] + 0.02 * (-1) ** seed}

    found = auc_finding(grid(follows))
    assert found.outcome == "reproduced"
    assert (found.judgement.paper, found.judgement.null_value, found.judgement.halfway) == (0.460, 0.0, 0.230)
    assert (found.r.r.n, found.r_tables.r.n, found.r_images.r.n) == (75, 60, 15)
    assert found.r_within.df == 69


def test_auc_that_falls_with_specificity_is_not_reproduced() -> None:
    def against(arch: str, benchmark: str, seed: int) -> dict:
        own = lifelike(arch, benchmark, seed)
        return {"specificity": own["specificity"], "auc": 0.9 - own["specificity"]}

    runs = grid(against)
    runs[0] = run(runs[0].figures | {"auc": 0.5}, arch=runs[0].arch, seed=0)  # type: ignore[operator]
    assert auc_finding(runs).outcome == "not reproduced"


def test_a_target_that_some_runs_lack_leaves_them_out() -> None:
    runs = [*grid(), run({"specificity": 0.2, "auc": None}, seed=7)]
    found = auc_finding(runs)
    assert found.left_out.runs == ("vae on adult, seed 7",)
    assert found.left_out.metrics == ("specificity", "auc")
    assert found.r == auc_finding(grid()).r
