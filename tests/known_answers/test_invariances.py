"""What must not change a score: order and sign of latents, order of rows and columns, units, chunks, copies."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import circuitprobe as cp

from .figures import assert_same, values, with_intervals, without_draws
from .random_vae import GROUPS, LATENTS, WIDTH, RandomVAE, Rewiring, random_rows
from .vaes import PaperVAE, audit, linear

ROWS = 17
few = settings(max_examples=8)
seeds = st.integers(0, 3)


@cache
def subject(seed: int) -> tuple[RandomVAE, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(100 + seed)
    x = random_rows(rng, ROWS)
    return RandomVAE(rng), x


def audited(seed: int, wiring: Rewiring, x: np.ndarray[Any, Any] | None = None, **options: Any) -> Any:
    module, rows = subject(seed)
    chosen: dict[str, Any] = {"groups": GROUPS, "resamples": 15, "permutations": 30, "twin": False, "n_values": 4}
    rows = rows if x is None else x
    return cp.audit(wiring.wrap(module), wiring.rows(rows), features=wiring.features(), **(chosen | options))


@cache
def plain(seed: int) -> Any:
    return audited(seed, Rewiring())


def latents_of(report: Any, order: Any = range(LATENTS)) -> Any:
    return tuple(report.latents[i] for i in order)


@few
@given(seeds, st.permutations(range(LATENTS)))
def test_order_of_latents(seed: int, order: list[int]) -> None:
    """Per-latent scores move with their latents, model scores stay, intervals and null included."""
    report = audited(seed, Rewiring(latents=order))
    assert_same(with_intervals(report.scores), with_intervals(plain(seed).scores))
    assert_same(with_intervals(report.latents), with_intervals(latents_of(plain(seed), order)))
    assert report.scores.fgd_p == plain(seed).scores.fgd_p
    assert [latent.name for latent in report.latents] == ["z0", "z1", "z2"]
    assert [latent.active for latent in report.latents] == [plain(seed).latents[i].active for i in order]


@few
@given(seeds, st.lists(st.sampled_from([-1.0, 1.0]), min_size=LATENTS, max_size=LATENTS))
def test_sign_of_latents(seed: int, signs: list[float]) -> None:
    """A flipped latent has its values mirrored, (k - 1/2)/K against 1 - (k - 1/2)/K, and nothing else changed."""
    report = audited(seed, Rewiring(signs=signs))
    assert_same(with_intervals(report.scores), with_intervals(plain(seed).scores), 1e-8)
    assert_same(with_intervals(report.latents), with_intervals(plain(seed).latents), 1e-8)
    for latent, sign, before in zip(report.latents, signs, plain(seed).latents, strict=True):
        expected = before.posterior_values if sign > 0 else [-v for v in reversed(before.posterior_values)]
        np.testing.assert_allclose(latent.posterior_values, expected, atol=1e-8)


@few
@given(seeds, st.permutations(range(ROWS)))
def test_order_of_rows(seed: int, order: list[int]) -> None:
    """Values stay; intervals depend on which rows a resample draws."""
    report = audited(seed, Rewiring(), subject(seed)[1][order])
    assert_same(values(report.scores), values(plain(seed).scores))
    assert_same(values(report.latents), values(plain(seed).latents))
    assert_same(values(report.reconstruction), values(plain(seed).reconstruction))


@few
@given(seeds, st.integers(2, 3))
def test_copies_of_rows(seed: int, copies: int) -> None:
    """Every row twice or thrice: all variances have divisor n, so values stay; n does not."""
    report = audited(seed, Rewiring(), np.tile(subject(seed)[1], (copies, 1)))
    kept = {k: v for k, v in values(report.scores).items() if "on_support" not in k}
    assert_same(kept, {k: v for k, v in values(plain(seed).scores).items() if "on_support" not in k}, 1e-8)
    assert_same(values(report.reconstruction), values(plain(seed).reconstruction))
    assert report.scores.ces.n == copies * ROWS


@few
@given(seeds, st.floats(0.01, 100), st.floats(0.01, 100), st.booleans())
def test_units_of_numeric_columns(seed: int, first: float, second: float, mirrored: bool) -> None:
    """A column in other units, in the rows and at the decoder, negative units included."""
    units = (first, -second if mirrored else second, 1.0, 1.0, 1.0, 1.0)
    report = audited(seed, Rewiring(units=units))
    assert_same(with_intervals(report.scores), with_intervals(plain(seed).scores))
    assert_same(with_intervals(report.latents), with_intervals(plain(seed).latents))
    assert_same(with_intervals(report.reconstruction), with_intervals(plain(seed).reconstruction))


@few
@given(seeds, st.permutations(range(WIDTH)))
def test_order_of_columns(seed: int, dims: list[int]) -> None:
    """Any order of the model's dimensions, one-hot blocks torn apart included; draws of the null are not compared."""
    report = audited(seed, Rewiring(dims=dims))
    assert_same(without_draws(with_intervals(report.scores)), without_draws(with_intervals(plain(seed).scores)))
    assert_same(with_intervals(report.latents), with_intervals(plain(seed).latents))
    assert_same(with_intervals(report.reconstruction), with_intervals(plain(seed).reconstruction))
    assert list(report.latents[0].effects) == [feature.name for feature in Rewiring(dims=dims).features()]


@few
@given(seeds, st.sampled_from([1, 2, 7, 16, 17, 2048]))
def test_chunk(seed: int, chunk: int) -> None:
    """One row at a time, an uneven rest, everything at once: the same figures, draws included."""
    report = audited(seed, Rewiring(), chunk=chunk)
    for part in ("scores", "latents", "reconstruction"):
        assert_same(with_intervals(getattr(report, part)), with_intervals(getattr(plain(seed), part)))
    assert report.scores.fgd_p == plain(seed).scores.fgd_p


@few
@given(seeds, st.permutations(["amounts", "labels"]), st.booleans())
def test_names_and_order_of_groups(seed: int, order: list[str], backwards: bool) -> None:
    renamed = {f"g-{name}": GROUPS[name][::-1] if backwards else GROUPS[name] for name in order}
    report = audited(seed, Rewiring(), groups=renamed)
    before = plain(seed)
    for name in GROUPS:
        completeness = before.scores.completeness[name].value
        assert report.scores.completeness[f"g-{name}"].value == pytest.approx(completeness, abs=1e-9)
        for latent, other in zip(report.latents, before.latents, strict=True):
            assert latent.group_effects[f"g-{name}"].value == pytest.approx(other.group_effects[name].value, abs=1e-9)
    for score in ("fgd", "fgc", "ces", "specificity"):
        assert getattr(report.scores, score).value == pytest.approx(getattr(before.scores, score).value, abs=1e-9)
    for latent, other in zip(report.latents, before.latents, strict=True):
        assert latent.disentanglement.value == pytest.approx(other.disentanglement.value, abs=1e-9)


@few
@given(seeds, st.integers(1, 3))
def test_latents_that_the_decoder_does_not_read(seed: int, extra: int) -> None:
    """A zero column: effect 0, no specificity; CES is spread over more latents, all ratios stay."""
    report, before = audited(seed, Rewiring(extra=extra)), plain(seed)
    for latent in report.latents[LATENTS:]:
        assert latent.ces.value == 0
        assert {effect.value for effect in latent.effects.values()} == {0}
        assert latent.specificity.value is None
        assert latent.inverse_entropy.value is None
        assert latent.disentanglement.value is None
    for latent, other in zip(report.latents, before.latents, strict=False):
        assert latent.ces.value == pytest.approx(other.ces.value, abs=1e-9)
        assert latent.specificity.value == pytest.approx(other.specificity.value, abs=1e-9)
    scores = report.scores
    assert scores.ces.value == pytest.approx(before.scores.ces.value * LATENTS / (LATENTS + extra), abs=1e-9)
    for score in ("specificity", "fgd", "modularity", "calibration_ratio"):
        assert getattr(scores, score).value == pytest.approx(getattr(before.scores, score).value, abs=1e-9)


@few
@given(st.integers(0, 50), st.integers(0, 1))
def test_duplicated_latent(seed: int, which: int) -> None:
    """Linear decoder, latent i split into two equal halves: each has half its effect and all of its specificity."""
    rng = np.random.default_rng(seed)
    weight, mean, x = rng.normal(size=(3, 2)), rng.normal(size=(2, 3)), rng.normal(size=(15, 3))
    split = np.column_stack([weight, weight[:, which] / 2])
    split[:, which] /= 2
    options: dict[str, Any] = {"groups": {"a": ["x0"], "b": ["x1", "x2"]}, "resamples": 10, "n_values": 3}
    before = audit(PaperVAE(linear(mean), [0.3] * 2, linear(weight)), x, **options)
    after = audit(PaperVAE(linear(np.vstack([mean, mean[which]])), [0.3] * 3, linear(split)), x, **options)
    whole = before.latents[which]
    for half in (after.latents[which], after.latents[2]):
        assert half.ces.value == pytest.approx((whole.ces.value or 0) / 2, abs=1e-9)
        assert half.specificity.value == pytest.approx(whole.specificity.value, abs=1e-9)
        assert half.disentanglement.value == pytest.approx(whole.disentanglement.value, abs=1e-9)
        assert half.kl.value == pytest.approx(whole.kl.value, abs=1e-9)
    assert after.scores.fgd.value == pytest.approx(before.scores.fgd.value, abs=1e-9), "weights add up"
    assert after.reconstruction.mse.value == pytest.approx(before.reconstruction.mse.value, abs=1e-9)
