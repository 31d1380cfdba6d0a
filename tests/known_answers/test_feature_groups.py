"""Feature-Group Disentanglement on paper: D_i, C_g, FGD, FGC, and the null by enumeration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from circuitprobe.metrics.fgd import completeness, disentanglement, fgc, fgd, fgd_null, group_effects
from circuitprobe.types import Decode, Feature, FeatureKind

from . import paper
from .reference import enumerate_fgd_null
from .vaes import PaperVAE, audit, linear, signs

LN2, LN3 = math.log(2), math.log(3)


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class TestOnPaper:
    """R = [[3, 1], [0, 2], [0, 0]]: three latents, two groups, the third latent without effect."""

    R = np.array([[3.0, 1], [0, 2], [0, 0]])

    def test_disentanglement(self) -> None:
        """D_0 = 1 - H(3/4, 1/4)/ln 2, D_1 = 1, D_2 undefined."""
        result = disentanglement(self.R)
        assert result[0] == close(1 - paper.entropy(3, 1) / LN2)
        assert result[1] == close(1)
        assert math.isnan(result[2])

    def test_completeness(self) -> None:
        """Column 0: (1, 0, 0): 1. Column 1: (1/3, 2/3, 0): 1 - H/ln 3; the base counts all d = 3 latents."""
        np.testing.assert_allclose(completeness(self.R), [1, 1 - paper.entropy(1, 2) / LN3], atol=1e-12)

    def test_weights(self) -> None:
        """Row sums 4, 2, 0 of 6; column sums 3, 3 of 6."""
        d_0 = 1 - paper.entropy(3, 1) / LN2
        c_1 = 1 - paper.entropy(1, 2) / LN3
        assert fgd(self.R) == close(4 / 6 * d_0 + 2 / 6 * 1)
        assert fgc(self.R) == close(0.5 * 1 + 0.5 * c_1)

    def test_leading_axes(self) -> None:
        stack = np.stack([self.R, np.eye(3)[:, :2] + np.eye(3)[:, [2, 2]] * 0])
        assert fgd(stack).shape == (2,)
        assert disentanglement(stack).shape == (2, 3)
        assert completeness(stack).shape == (2, 2)
        assert fgd(stack)[1] == close(1)
        assert fgc(stack)[0] == close(float(fgc(self.R)))

    def test_undefined(self) -> None:
        assert math.isnan(float(fgd(np.zeros((2, 2)))))
        assert math.isnan(float(fgc(np.zeros((2, 2)))))
        assert math.isnan(float(fgd(np.array([[1.0], [2.0]])))), "one group: ln G = 0"
        assert math.isnan(float(fgc(np.array([[1.0, 2.0]])))), "one latent: ln d = 0"


def test_group_effects_are_means_not_sums() -> None:
    """Row e = (1, 3, 2), groups {0, 1} and {2}: R = (2, 2), so D = 0 although the sums are 4 and 2."""
    r = group_effects(np.array([[1.0, 3, 2], [0, 0, 5]]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(r, [[2, 2], [0, 5]], atol=1e-12)
    np.testing.assert_allclose(disentanglement(r), [0, 1], atol=1e-12)


class TestNullByEnumeration:
    """e = [[1, 1, 0, 0], [0, 0, 1, 1]], groups of two: 3 ways to pair 4 features.

    {01}{23}: FGD 1. {02}{13} and {03}{12}: R = [[1/2, 1/2], [1/2, 1/2]], FGD 0. Null mean 1/3.
    """

    EFFECTS = np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]])

    def test_values_and_frequencies(self) -> None:
        null = fgd_null(self.EFFECTS, np.array([0, 0, 1, 1]), 6000, np.random.default_rng(1))
        assert null.shape == (6000,)
        assert set(np.round(null, 9)) == {0.0, 1.0}
        spread = math.sqrt(1 / 3 * 2 / 3 / 6000)
        assert abs(float(null.mean()) - 1 / 3) < 5 * spread

    def test_group_sizes_are_kept(self) -> None:
        """Row (2, 1, 0), sizes 2 and 1: {01}{2}: R = (3/2, 0): 1; {02}{1}: (1, 1): 0; {12}{0}: 1 - H(1, 4)/ln 2."""
        null = fgd_null(np.array([[2.0, 1, 0]]), np.array([0, 0, 1]), 300, np.random.default_rng(0))
        third = 1 - paper.entropy(1, 4) / LN2
        assert set(np.round(null, 9)) == {0.0, 1.0, round(third, 9)}

    def test_same_generator_same_draws(self) -> None:
        draws = [fgd_null(self.EFFECTS, np.array([0, 0, 1, 1]), 50, np.random.default_rng(s)) for s in (5, 5, 6)]
        np.testing.assert_array_equal(draws[0], draws[1])
        assert not np.array_equal(draws[0], draws[2])

    def test_random_effects_against_enumeration(self) -> None:
        rng = np.random.default_rng(3)
        effects, membership = rng.exponential(size=(3, 6)), np.array([0, 1, 2, 0, 1, 0])
        everything = enumerate_fgd_null(effects, membership, 3)
        null = fgd_null(effects, membership, 2000, np.random.default_rng(4))
        assert set(np.round(null, 8)) <= set(np.round(everything, 8))
        assert abs(float(null.mean()) - everything.mean()) < 5 * everything.std() / math.sqrt(2000)


def block_audit(groups: dict[str, list[str]], *, features: int = 12, **options: Any) -> Any:
    """Three latents, each drives a block of features / 3: x = W z, e_{i,f} = m inside the block."""
    weight = np.kron(np.eye(3), np.ones((features // 3, 1)))
    model = PaperVAE(linear(weight.T * 3 / features), [paper.SIGMA] * 3, linear(weight))
    return audit(model, signs(3, repeats=2) @ weight.T, groups=groups, **options)


def names(*indices: int) -> list[str]:
    return [f"x{i}" for i in indices]


class TestAudited:
    """The null as an audit reports it."""

    def test_perfect_groups(self) -> None:
        """5,775 partitions of 12 features into three fours, one of them perfect: p is 1/501 or next to it."""
        groups = {"a": names(0, 1, 2, 3), "b": names(4, 5, 6, 7), "c": names(8, 9, 10, 11)}
        scores = block_audit(groups, permutations=500).scores
        assert scores.fgd.value == close(1)
        assert scores.fgd_adjusted.value == close(1)
        assert 1 / 501 <= scores.fgd_p <= 3 / 501
        assert 0.1 < scores.fgd.null < 0.6

    def test_p_and_null_fit_each_other(self) -> None:
        """Six features in pairs: 15 partitions, 1 perfect. FGD of the rest by enumeration gives null mean and p."""
        groups = {"a": names(0, 1), "b": names(2, 3), "c": names(4, 5)}
        scores = block_audit(groups, features=6, permutations=2000).scores
        everything = enumerate_fgd_null(np.kron(np.eye(3), np.ones((1, 2))), np.array([0, 0, 1, 1, 2, 2]), 3)
        assert scores.fgd.null == pytest.approx(everything.mean(), abs=5 * everything.std() / math.sqrt(2000))
        share = float(np.mean(everything > 1 - 1e-9))
        assert share == pytest.approx(1 / 15, abs=1e-12)
        assert scores.fgd_p == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 2000))
        assert (scores.fgd_p * 2001) == close(round(scores.fgd_p * 2001))

    def test_crossed_groups(self) -> None:
        """Each group takes one feature of each block and a fourth: R is as flat as it can be, every null >= FGD: p = 1.

        Groups of four over blocks of four: a = {0, 4, 8, 1}, b = {2, 5, 9, 6}, c = {3, 7, 10, 11}.
        R rows (in m/4): z0 (2, 1, 1), z1 (1, 2, 1), z2 (1, 1, 2). FGD = 1 - H(2, 1, 1)/ln 3 = 1 - 1.5 ln 2/ln 3.
        """
        groups = {"a": names(0, 4, 8, 1), "b": names(2, 5, 9, 6), "c": names(3, 7, 10, 11)}
        scores = block_audit(groups, permutations=500).scores
        assert scores.fgd.value == close(1 - 1.5 * LN2 / LN3)
        adjusted = (scores.fgd.value - scores.fgd.null) / (1 - scores.fgd.null)
        assert scores.fgd_adjusted.value == close(adjusted)
        assert scores.fgd_p == close(1)

    def test_shuffled_groups_score_zero_on_average(self) -> None:
        """Groups drawn at random: fgd_adjusted averages 0 over draws."""
        rng = np.random.default_rng(7)
        adjusted = []
        for _ in range(12):
            order = rng.permutation(12)
            groups = {name: names(*order[i : i + 4]) for name, i in (("a", 0), ("b", 4), ("c", 8))}
            scores = block_audit(groups, permutations=200, resamples=10).scores
            adjusted.append(scores.fgd_adjusted.value)
        assert abs(float(np.mean(adjusted))) < 0.12

    def test_singletons(self) -> None:
        """Every feature its own group: no permutation changes anything, so there is no null."""
        scores = block_audit({f"g{i}": names(i) for i in range(12)}).scores
        assert scores.fgd.value == close(1 - math.log(4) / math.log(12))
        assert (scores.fgd.null, scores.fgd_adjusted.value, scores.fgd_p) == (None, None, None)

    def test_null_of_one_cannot_be_adjusted(self) -> None:
        """One latent per feature and nothing else: every grouping gives FGD 1, (1 - 1)/(1 - 1) is undefined, p = 1."""
        model = PaperVAE(linear(np.eye(4)), [paper.SIGMA] * 4, linear(np.eye(4)))
        scores = audit(model, signs(4), groups={"a": names(0, 1), "b": names(2, 3)}).scores
        assert scores.fgd.value == close(1)
        assert scores.fgd.null == close(1)
        assert scores.fgd_adjusted.value is None
        assert scores.fgd_p == close(1)

    def test_uneven_groups(self) -> None:
        """Sizes 3 and 1 over e_0 = (m, m, 0, 0), e_1 = (0, 0, m, m), {012}{3}: R = m [[2/3, 0], [1/3, 1]].

        D_0 = 1, D_1 = 1 - H(1, 3)/ln 2; weights 2/3 and 4/3 of 2. C_a = 1 - H(2, 1)/ln 2, C_b = 1; weights 1/2 each.
        """
        weight = np.kron(np.eye(2), np.ones((2, 1)))
        model = PaperVAE(linear(weight.T / 2), [paper.SIGMA] * 2, linear(weight))
        report = audit(model, signs(2, 4) @ weight.T, groups={"a": names(0, 1, 2), "b": names(3)})
        d_1 = 1 - paper.entropy(1, 3) / LN2
        c_a = 1 - paper.entropy(2, 1) / LN2
        assert report.latents[1].disentanglement.value == close(d_1)
        assert report.scores.fgd.value == close(1 / 3 + 2 / 3 * d_1)
        assert report.scores.completeness["a"].value == close(c_a)
        assert report.scores.fgc.value == close((c_a + 1) / 2)


def test_groups_are_clustered_where_none_are_given() -> None:
    """Columns of a block are copies (association 1, distance 0), columns of different blocks have Spearman 0."""
    weight = np.kron(np.eye(3), np.array([[1.0], [-2.0]]))
    model = PaperVAE(linear(weight.T / 5), [paper.SIGMA] * 3, linear(weight))
    report = audit(model, signs(3, 2) @ weight.T)
    found = {frozenset(members) for members in report.data.groups.values()}
    assert found == {frozenset(names(0, 1)), frozenset(names(2, 3)), frozenset(names(4, 5))}
    assert report.data.groups_from == "clustered"
    assert report.scores.fgd.value == close(1)


def test_clustering_of_mixed_columns() -> None:
    """Columns u and exp(u): Spearman 1. kind and the value of its category: eta 1. kind and its renaming: Cramer's V 1.

    u runs over five values within every category, so all associations between the two sides are 0: two groups.
    """
    u = np.tile(np.arange(5.0), 6)
    kind = np.repeat(np.arange(6) % 3, 5)
    rows = np.column_stack(
        [u, np.exp(2 * u), np.array([0.0, 10, -3])[kind], np.eye(3)[kind], np.eye(3)[(kind + 1) % 3]]
    )
    numeric = [Feature(name, FeatureKind.NUMERIC, (i,), Decode((i,))) for i, name in enumerate(("u", "exp", "price"))]
    labels = [
        Feature(name, FeatureKind.CATEGORICAL, (d, d + 1, d + 2), Decode((d, d + 1, d + 2)), ("A", "B", "C"))
        for name, d in (("kind", 3), ("renamed", 6))
    ]
    model = PaperVAE(linear(np.eye(9)), [0.5] * 9, linear(np.eye(9)))
    report = audit(model, rows, features=[*numeric, *labels])
    found = {frozenset(members) for members in report.data.groups.values()}
    assert found == {frozenset({"u", "exp"}), frozenset({"price", "kind", "renamed"})}
