"""Binary, categorical, pixel and mixed features: feature changes, effects and reconstruction on paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from circuitprobe.types import Decode, Feature, FeatureKind, Link

from . import paper
from .vaes import PaperVAE, audit, linear, signs

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

LN2, LN3 = math.log(2), math.log(3)
TWO_VALUES = np.array([[-1.0, 1], [-1, 1]])


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def mixed_rows() -> np.ndarray[Any, Any]:
    """Columns (2 z_0, [z_0 = 1], A, B, C), 16 rows: category A where z_1 = 1, else B and C in turn."""
    z = signs(2, repeats=4)
    rows = np.zeros((16, 5))
    rows[:, 0] = 2 * z[:, 0]
    rows[:, 1] = z[:, 0] > 0
    rows[:, 2] = z[:, 1] > 0
    rest = np.flatnonzero(z[:, 1] < 0)
    rows[rest[::2], 3] = 1
    rows[rest[1::2], 4] = 1
    return rows


def mixed_features(binary: Link, categorical: Link) -> list[Feature]:
    return [
        Feature("amount", FeatureKind.NUMERIC, (0,), Decode((0,))),
        Feature("flag", FeatureKind.BINARY, (1,), Decode((1,), binary), ("no", "yes")),
        Feature("kind", FeatureKind.CATEGORICAL, (2, 3, 4), Decode((2, 3, 4), categorical), ("A", "B", "C")),
    ]


class Probabilities(nn.Module):
    """Turns the logits of the mixed decoder into values and probabilities."""

    def forward(self, out: torch.Tensor) -> torch.Tensor:
        return torch.cat([out[:, :1], torch.sigmoid(out[:, 1:2]), torch.softmax(out[:, 2:], 1)], 1)


def mixed_model(*, logits: bool) -> PaperVAE:
    """D = (2 z_0, ln 3 z_0, (ln 3 z_1, ln 2, 0)), mu = z read from the flag and from category A, sigma 0.5."""
    layer = linear([[2, 0], [LN3, 0], [0, LN3], [0, 0], [0, 0]], [0, 0, 0, LN2, 0])
    mean = linear([[0, 2, 0, 0, 0], [0, 0, 2, 0, 0]], [-1, -1])
    return PaperVAE(mean, [0.5, 0.5], layer if logits else nn.Sequential(layer, Probabilities()))


@pytest.mark.parametrize("logits", [True, False], ids=["logits", "probabilities"])
class TestMixedTable:
    """Values given by the caller: -1 and 1, so half of all (row, k) flip a latent and half change nothing.

    Flip of z_0: amount 4 / 2 = 2 standard deviations; flag sigmoid(+-ln 3) = 3/4 against 1/4: 1/2; kind 0.
    Flip of z_1: softmax(ln 3, ln 2, 0) = (3, 2, 1)/6 against softmax(-ln 3, ln 2, 0) = (1, 6, 3)/10: change 0.4.
    e_0 = (1, 1/4, 0), CES_0 = 1/2 sqrt((4 + 1/4)/3); e_1 = (0, 0, 1/5), CES_1 = 1/2 sqrt(0.16/3).
    """

    @pytest.fixture
    def report(self, logits: bool) -> AuditReport:
        features = (
            mixed_features(Link.SIGMOID, Link.SOFTMAX) if logits else mixed_features(Link.IDENTITY, Link.IDENTITY)
        )
        groups = {"money": ["amount"], "rest": ["flag", "kind"]}
        return audit(mixed_model(logits=logits), mixed_rows(), features=features, values=TWO_VALUES, groups=groups)

    def test_effects(self, report: AuditReport) -> None:
        frame = report.to_frame("effects")
        np.testing.assert_allclose(
            frame[["amount", "flag", "kind"]].to_numpy(dtype=float), [[1, 0.25, 0], [0, 0, 0.2]], atol=1e-6
        )
        assert report.latents[0].posterior_values == (-1, 1)

    def test_ces(self, report: AuditReport) -> None:
        ces_0, ces_1 = math.sqrt(17 / 12) / 2, 0.2 / math.sqrt(3)
        assert report.ces["z0"].value == close(ces_0)
        assert report.ces["z1"].value == close(ces_1)
        assert report.scores.ces.value == close((ces_0 + ces_1) / 2)

    def test_specificity_is_weighted_by_ces(self, report: AuditReport) -> None:
        """p_0 = (4/5, 1/5, 0); p_1 = (0, 0, 1)."""
        first = 1 - paper.entropy(4, 1) / LN3
        ces_0, ces_1 = math.sqrt(17 / 12) / 2, 0.2 / math.sqrt(3)
        assert report.specificity["z0"].value == close(first)
        assert report.specificity["z1"].value == close(1)
        assert report.scores.specificity.value == close((ces_0 * first + ces_1) / (ces_0 + ces_1))
        inverse = (ces_0 / (paper.entropy(4, 1) + 1e-6) + ces_1 * 1e6) / (ces_0 + ces_1)
        assert report.scores.inverse_entropy.value == pytest.approx(inverse, rel=1e-6)

    def test_groups(self, report: AuditReport) -> None:
        """R = [[1, 1/8], [0, 1/10]]; D_0 = 1 - H(8, 1)/ln 2, D_1 = 1; weights 1.125 and 0.1."""
        d_0 = 1 - paper.entropy(8, 1) / LN2
        assert report.scores.fgd.value == close((1.125 * d_0 + 0.1) / 1.225)
        c_rest = 1 - paper.entropy(5, 4) / LN2
        assert report.scores.fgc.value == close((1 + 0.225 * c_rest) / 1.225)

    def test_reconstruction(self, report: AuditReport) -> None:
        """Amount: exact. Flag: 1/4 off in every row: 1/16. Kind: A 1 - 1/2, B 1 - 0.6, C 1 - 0.3: 1/4, 0.16, 0.49.

        Kind over 8 A, 4 B, 4 C: 0.125 + 0.04 + 0.1225 = 0.2875; the most probable category is A, B, B: 3/4 right.
        """
        features = report.reconstruction.features
        assert features["amount"].mse.value == close(0)
        assert features["flag"].mse.value == close(1 / 16)
        assert features["kind"].mse.value == close(0.2875)
        assert report.reconstruction.mse.value == close((1 / 16 + 0.2875) / 3)
        assert features["flag"].accuracy is not None
        assert features["kind"].accuracy is not None
        assert (features["flag"].accuracy.value, features["kind"].accuracy.value) == (close(1), close(0.75))
        assert features["amount"].accuracy is None
        assert features["flag"].r2 is None
        assert features["amount"].r2 is not None
        assert features["amount"].r2.value == close(1)

    def test_baseline(self, report: AuditReport) -> None:
        """Column means and frequencies: 1; p(1 - p) = 1/4; 1/2 (1/2)^2 + 1/2 (3/4)^2 = 0.40625. Commonest: 1/2, 1/2."""
        features = report.reconstruction.features
        assert features["amount"].mse.null == close(1)
        assert features["flag"].mse.null == close(0.25)
        assert features["kind"].mse.null == close(0.40625)
        assert report.reconstruction.mse.null == close(1.65625 / 3)
        assert features["flag"].accuracy is not None
        assert features["kind"].accuracy is not None
        assert features["flag"].accuracy.null == close(0.5)
        assert features["kind"].accuracy.null == close(0.5)


def test_encoder_without_variance_gives_the_same_effects() -> None:
    """With mu = +-1 equally often and no sigma: the 8 values are -1 four times and 1 four times, as above."""
    features = mixed_features(Link.SIGMOID, Link.SOFTMAX)
    report = audit(mixed_model(logits=True), mixed_rows(), variance=False, features=features)
    assert report.latents[1].posterior_values == (-1,) * 4 + (1,) * 4
    frame = report.to_frame("effects")[["amount", "flag", "kind"]]
    np.testing.assert_allclose(frame.to_numpy(dtype=float), [[1, 0.25, 0], [0, 0, 0.2]], atol=1e-6)
    assert report.latents[0].scale.value == close(1)
    assert report.scores.on_support_rate.value == close(1), "every intervened code is the code of some row"


def test_standardised_binary_column() -> None:
    """Inputs (flag - 1/2) / (1/2) = +-1 and D = z/2: read back, p = 1/2 + D/2 = 3/4 or 1/4, as with sigmoid(ln 3 z)."""
    feature = Feature("flag", FeatureKind.BINARY, (0,), Decode((0,), center=0.5, scale=0.5), ("no", "yes"))
    other = Feature("other", FeatureKind.NUMERIC, (1,), Decode((1,)))
    model = PaperVAE(linear(np.eye(2)), [0.5, 0.5], linear([[0.5, 0], [0, 0]]))
    report = audit(model, signs(2, 4), features=[feature, other], values=TWO_VALUES)
    assert report.latents[0].effects["flag"].value == close(0.25)
    flag = report.reconstruction.features["flag"]
    assert flag.mse.value == close(1 / 16)
    assert flag.mse.null == close(1 / 4)
    assert flag.accuracy is not None
    assert flag.accuracy.value == close(1)


def test_linear_probabilities() -> None:
    """A linear decoder whose outputs are probabilities: (1/3 + z/6, 1/3 - z/6, 1/3) changes by |v - mu|/6.

    With mu = +-1, sigma 0.2: e = m/6; F = 1 has no specificity.
    """
    z = signs(1, repeats=9)
    rows = np.zeros((18, 3))
    rows[z[:, 0] > 0, 0] = 1
    rows[z[:, 0] < 0, 1] = 1
    kind = Feature("kind", FeatureKind.CATEGORICAL, (0, 1, 2), Decode((0, 1, 2)), ("A", "B", "C"))
    model = PaperVAE(linear([[1, -1, 0]]), [paper.SIGMA], linear([[1 / 6], [-1 / 6], [0]], [1 / 3, 1 / 3, 1 / 3]))
    report = audit(model, rows, features=[kind])
    assert report.latents[0].effects["kind"].value == close(paper.two_point_deviation() / 6)
    assert report.scores.ces.value == close(paper.two_point_deviation() / 6)
    assert report.scores.specificity.value is None
    assert report.reconstruction.mse.value == close(1 / 4)
    assert report.reconstruction.mse.null == close(1 / 4)


def test_pixels_are_not_standardised() -> None:
    """Intensities 1/2 + z/4: delta = |v - mu|/4, whatever the column's standard deviation (1/4)."""
    pixels = [Feature(f"p{i}", FeatureKind.PIXEL, (i,), Decode((i,))) for i in range(2)]
    model = PaperVAE(linear([[4, 0], [0, 4]], [-2, -2]), [paper.SIGMA] * 2, linear(np.eye(2) / 4, [0.5, 0.5]))
    report = audit(model, 0.5 + signs(2, 4) / 4, features=pixels)
    assert report.latents[0].effects["p0"].value == close(paper.two_point_deviation() / 4)
    assert report.scores.ces.value == close(paper.two_point_deviation() / 4 / math.sqrt(2))
    assert report.reconstruction.mse.null == close(1 / 16)


def test_default_features_of_an_array() -> None:
    """A column of 0 and 1 is binary and moves in probability, any other column in standard deviations.

    x = (z_0, [z_1 = 1]), D = (z_0, 1/2 + z_1/4): e_0 = (m, 0), e_1 = (0, m/4).
    """
    z = signs(2, repeats=4)
    rows = np.stack([z[:, 0], (z[:, 1] + 1) / 2], axis=1)
    model = PaperVAE(linear([[1, 0], [0, 2]], [0, -1]), [paper.SIGMA] * 2, linear([[1, 0], [0, 0.25]], [0, 0.5]))
    report = audit(model, rows)
    m = paper.two_point_deviation()
    np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), [[m, 0], [0, m / 4]], atol=1e-6)
    assert [feature.kind for feature in report.data.features] == [FeatureKind.NUMERIC, FeatureKind.BINARY]


@pytest.mark.parametrize("constant", [7.0, 0.1, 1e6 + 0.1])
def test_constant_numeric_column_is_left_out(constant: float) -> None:
    """The third column has no standard deviation, whatever rounding makes of its mean: F = 2, and it is named."""
    rows = np.hstack([signs(2, 5), np.full((20, 1), constant)])
    model = PaperVAE(linear([[1, 0, 0], [0, 1, 0]]), [paper.SIGMA] * 2, linear([[1, 0], [0, 1], [1, 1]]))
    report = audit(model, rows)
    assert [left.name for left in report.data.left_out] == ["x2"]
    assert list(report.latents[0].effects) == ["x0", "x1"]
    assert report.scores.ces.value == close(paper.two_point_deviation() / math.sqrt(2))
    assert report.scores.specificity.value == close(1)
