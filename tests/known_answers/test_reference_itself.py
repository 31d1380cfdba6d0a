"""The slow implementation gives the paper answers too: it is only a judge if it agrees with the hand-solved cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from . import paper, reference
from .reference import Column, Subject
from .vaes import signs

M = paper.two_point_deviation()


def rotated() -> Subject:
    """Rotation by 30 degrees, as in test_linear_decoders.TestRotation, with hidden units of TestSharedUnit."""
    c, s = math.sqrt(3) / 2, 0.5
    rotation = np.array([[c, -s], [s, c]])
    z = signs(2)
    hear = np.array([[1.0, 0], [1, 1], [0, 1]])
    return Subject(
        x=z @ rotation.T,
        mean=z,
        log_var=np.full(z.shape, 2 * math.log(paper.SIGMA)),
        decode=lambda code: rotation @ code,
        hidden=lambda code: [hear @ code],
        columns=(Column("numeric", (0,)), Column("numeric", (1,))),
        membership=(0, 1),
    )


def test_rotation() -> None:
    subject = rotated()
    values = reference.posterior_quantiles(subject, 8)
    np.testing.assert_allclose(values, [paper.two_point_values()] * 2, atol=1e-9)
    level = reference.latent_level(subject, values)
    c, s = math.sqrt(3) / 2, 0.5
    np.testing.assert_allclose(level.effects, [[M * c, M * s], [M * s, M * c]], atol=1e-9)
    np.testing.assert_allclose(level.ces, [M / math.sqrt(2)] * 2, atol=1e-9)
    answer = 1 - paper.entropy(math.sqrt(3), 1) / math.log(2)
    assert reference.specificity(level.effects) == [pytest.approx(answer), pytest.approx(answer)]
    assert reference.fgd(level.effects) == pytest.approx(answer)
    assert reference.fgc(level.effects) == pytest.approx(answer)
    np.testing.assert_allclose(reference.kl(subject), [paper.two_point_kl()] * 2, atol=1e-12)
    np.testing.assert_allclose(reference.scales(subject), [paper.two_point_scale()] * 2, atol=1e-12)


def test_support_and_prior() -> None:
    subject = rotated()
    values = reference.posterior_quantiles(subject, 8)
    assert reference.on_support_rates(subject, values) == [0.5, 0.5]
    prior = np.tile(np.linspace(-3, 3, 8), (2, 1))
    assert reference.on_support_rates(subject, prior) == [0.25, 0.25]
    np.testing.assert_allclose(reference.latent_level(subject, prior).ces, [13 / 7 / math.sqrt(2)] * 2, atol=1e-9)


def test_shared_unit() -> None:
    subject = rotated()
    profile = reference.unit_profiles(subject, reference.posterior_quantiles(subject, 8))[0]
    r = math.sqrt(0.5)
    np.testing.assert_allclose(profile, M * np.array([[1, r, 0], [0, r, 1]]), atol=1e-9)
    answer = (3 - 2 * math.sqrt(2)) / (3 - math.sqrt(2))
    assert reference.modularity(profile, np.array([True, True])) == pytest.approx(answer)


def test_reconstruction_of_a_mixed_row() -> None:
    """D = (0, 3/4, (0.5, 0.3, 0.2)) on rows (1, 1, A) and (-1, 0, B): squared changes 1; 1/16, 9/16; 1/4, 0.49."""
    subject = Subject(
        x=np.array([[1.0, 1, 1, 0, 0], [-1, 0, 0, 1, 0]]),
        mean=np.zeros((2, 1)),
        log_var=np.zeros((2, 1)),
        decode=lambda _: np.array([0, 0.75, 0.5, 0.3, 0.2]),
        hidden=lambda _: [],
        columns=(Column("numeric", (0,)), Column("binary", (1,)), Column("categorical", (2, 3, 4))),
        membership=(0, 0, 1),
    )
    numeric, binary, categorical = reference.reconstruction(subject)
    assert (numeric.mse, numeric.baseline, numeric.r2) == (1, 1, 0)
    assert (binary.mse, binary.baseline, binary.accuracy, binary.commonest) == (10 / 32, 0.25, 0.5, 0.5)
    assert categorical.mse == pytest.approx(0.37)
    assert (categorical.baseline, categorical.accuracy, categorical.commonest) == (0.25, 0.5, 0.5)


def test_null_by_enumeration() -> None:
    """Four features in pairs, one latent per pair: FGD 1 in a third of all permutations, else 0."""
    null = reference.enumerate_fgd_null(np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]]), [0, 0, 1, 1], 2)
    assert len(null) == 24
    assert sorted(np.round(null, 12)) == [0.0] * 16 + [1.0] * 8
