"""Circuit modularity on paper: ReLU decoders whose unit profiles are known.

The latents are z over {-1, 1}^d with sigma 0.2; T and m = 1 + T/2 as in paper.py. A unit that is affine in z_i with
slope a moves by |a| |v - mu_i|: its entry is |a| m / s_u. A kinked unit relu(z_i): row mu = -1: 0 for the lower half of
the values, mean 1 for the upper half: 1/2; row mu = 1: 1 for the lower half, T for the upper: (1 + T)/2; s_u = 1/2
(values 0 and 1): entry 2 (1/2 + T/4) = 1 + T/2 = m. By symmetry relu(-z_i) has the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from circuitprobe.metrics.modularity import modularity

from . import paper
from .vaes import PaperVAE, audit, linear, signs

M = paper.two_point_deviation()
SIGMA = paper.SIGMA


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class TestFunction:
    """M = 1 - mean over pairs of active latents of |Pearson rho| of their profiles."""

    def test_pairs_of_three_units(self) -> None:
        """Indicators of different units among U = 3: rho = -1/2 for every pair, M = 1/2."""
        assert modularity(np.eye(3), np.ones(3, dtype=bool)) == close(0.5)

    def test_sign_of_rho_does_not_matter(self) -> None:
        """(1, 2, 3) with (3, 2, 1): rho = -1: M = 0, as for two equal profiles."""
        assert modularity(np.array([[1.0, 2, 3], [3, 2, 1]]), np.ones(2, dtype=bool)) == close(0)
        assert modularity(np.array([[1.0, 2, 3], [2, 4, 6]]), np.ones(2, dtype=bool)) == close(0)

    def test_uncorrelated(self) -> None:
        """(1, 1, 0, 0) and (1, 0, 1, 0): rho = 0: M = 1."""
        assert modularity(np.array([[1.0, 1, 0, 0], [1, 0, 1, 0]]), np.ones(2, dtype=bool)) == close(1)

    def test_inactive_latents_are_left_out(self) -> None:
        profiles = np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]])
        assert modularity(profiles, np.array([True, True, False])) == close(1)
        assert modularity(profiles, np.array([True, False, True])) == close(0)
        assert modularity(profiles, np.ones(3, dtype=bool)) == close(1 - 1 / 3)

    def test_constant_profile_is_left_out_of_the_mean(self) -> None:
        """(1, 1, 1, 1) correlates with nothing: only the other pair counts."""
        profiles = np.array([[1.0, 1, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]])
        assert modularity(profiles, np.ones(3, dtype=bool)) == close(0)

    @pytest.mark.parametrize("active", [[False, False], [True, False]])
    def test_fewer_than_two_active_is_undefined(self, active: list[bool]) -> None:
        assert math.isnan(float(modularity(np.array([[1.0, 2], [2, 1]]), np.array(active))))

    def test_leading_axes(self) -> None:
        stack = np.array([[[1.0, 2, 3], [3, 2, 1]], [[0, 1, 2], [1, -2, 1]]])
        np.testing.assert_allclose(modularity(stack, np.ones(2, dtype=bool)), [0, 1], atol=1e-9)

    def test_constant_up_to_rounding_is_constant(self) -> None:
        profiles = np.array([[0.1 + 0.2, 0.3, 0.3], [1, 2, 4], [1, 2, 4]])
        assert modularity(profiles, np.ones(3, dtype=bool)) == close(0)


def relu_pairs(latents: int) -> nn.Sequential:
    """D(z) = z through units relu(z_i) and relu(-z_i): two units per latent, exact reconstruction."""
    up = np.vstack([np.eye(latents), -np.eye(latents)])
    down = np.hstack([np.eye(latents), -np.eye(latents)])
    return nn.Sequential(linear(up), nn.ReLU(), linear(down))


class TestTwoLayersWithRelu:
    """Three latents, six units, D = identity: e = m I, profiles m (two units of six per latent)."""

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> Any:
        return audit(PaperVAE(linear(np.eye(3)), [SIGMA] * 3, relu_pairs(3)), signs(3, 2))

    def test_modularity(self, report: Any) -> None:
        """Pearson rho of indicators of 2 of 6: (0 - 1/9) / (1/3 - 1/9) = -1/2: M = 1/2."""
        assert report.scores.modularity.value == close(0.5)

    def test_one_layer_named_after_the_relu(self, report: Any) -> None:
        assert list(report.scores.modularity_by_layer) == ["decoder.1"]
        assert report.scores.modularity_by_layer["decoder.1"].value == close(0.5)

    def test_effects(self, report: Any) -> None:
        np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), M * np.eye(3), atol=1e-6)
        assert report.scores.ces.value == close(M / math.sqrt(3))
        assert report.reconstruction.mse.value == close(0)


def test_two_latents_with_two_units_each() -> None:
    """Indicators of 2 of 4 that do not overlap: rho = -1, M = 0; the formula takes the absolute value."""
    report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, relu_pairs(2)), signs(2, 4))
    assert report.scores.modularity.value == close(0)


def shared_unit_layer() -> nn.Linear:
    """Units h = (z_0 + 4, z_0 + z_1 + 4, z_1 + 4), nowhere negative on the values that are tried."""
    return linear([[1, 0], [1, 1], [0, 1]], [4, 4, 4])


SHARED = (3 - 2 * math.sqrt(2)) / (3 - math.sqrt(2))
"""Profiles m (1, r, 0) and m (0, r, 1) with r = 1/sqrt(2), as s_u = (1, sqrt(2), 1).

cov = r^2/3 - (1 + r)^2/9 = -sqrt(2)/9; var = (1 + r^2)/3 - (1 + r)^2/9 = (3 - sqrt(2))/9;
M = 1 - sqrt(2)/(3 - sqrt(2)) = (3 - 2 sqrt(2))/(3 - sqrt(2)) = 0.1082.
"""


class TestSharedUnit:
    """One unit hears both latents; a second layer; dead and inactive parts."""

    def test_profile_is_standardised_per_unit(self) -> None:
        decoder = nn.Sequential(shared_unit_layer(), nn.ReLU(), linear([[1, 0, 0], [0, 0, 1]], [-4, -4]))
        report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
        assert report.scores.modularity.value == close(SHARED)
        np.testing.assert_allclose(report.to_frame("effects").to_numpy(dtype=float), M * np.eye(2), atol=1e-6)

    @pytest.mark.parametrize(("slope", "bias"), [(1, -9), (0, 0.1), (0, 1e6 + 0.1)])
    def test_dead_units_are_left_out(self, slope: float, bias: float) -> None:
        """A fourth unit, relu(z_0 - 9) = 0 or a constant: no standard deviation, however rounded, and no say."""
        layer = linear([[1, 0], [1, 1], [0, 1], [slope, 0]], [4, 4, 4, bias])
        decoder = nn.Sequential(layer, nn.ReLU(), linear([[1, 0, 0, 0], [0, 0, 1, 0]], [-4, -4]))
        report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
        assert report.scores.modularity.value == close(SHARED)

    def test_scale_of_a_unit_does_not_matter(self) -> None:
        layer = linear([[100, 0], [1, 1], [0, -0.01]], [400, 4, 0.04])
        decoder = nn.Sequential(layer, nn.ReLU(), linear([[0.01, 0, 0], [0, 0, -100]], [-4, 4]))
        report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
        assert report.scores.modularity.value == close(SHARED)

    def test_layers_and_all_of_them(self) -> None:
        """A second layer of four units (z_0, z_0, z_1, 0.5 z_0 + 0.5 z_1) + 4: profiles m (1, 1, 0, r), m (0, 0, 1, r).

        Second layer, in units of 1/16: cov = 4 r^2 - (2 + r)(1 + r) = 2 - 2 - 3 r - r^2 = -3 r - 1/2;
        var_0 = 4 (2 + r^2) - (2 + r)^2 = 10 - 4.5 - 4 r, var_1 = 4 (1 + r^2) - (1 + r)^2 = 6 - 1.5 - 2 r.
        Both, U = 7, sums 3 + 2 r and 2 + 2 r: cov = 7 (2 r^2) - (3 + 2 r)(2 + 2 r) = 7 - 6 - 10 r - 2 = -1 - 10 r;
        var_0 = 7 (3 + 1) - (3 + 2 r)^2 = 28 - 11 - 12 r, var_1 = 7 (2 + 1) - (2 + 2 r)^2 = 21 - 6 - 8 r.
        """
        r = math.sqrt(0.5)
        second = linear([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0.5, 0, 0.5]])
        last = linear([[1, 0, 0, 0], [0, 0, 1, 0]], [-4, -4])
        decoder = nn.Sequential(shared_unit_layer(), nn.ReLU(), second, nn.ReLU(), last)
        report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
        layers = report.scores.modularity_by_layer
        assert sorted(layers) == ["decoder.1", "decoder.3"]
        assert layers["decoder.1"].value == close(SHARED)
        rho_second = (3 * r + 0.5) / math.sqrt((5.5 - 4 * r) * (4.5 - 2 * r))
        assert layers["decoder.3"].value == close(1 - rho_second)
        rho_all = (1 + 10 * r) / math.sqrt((17 - 12 * r) * (15 - 8 * r))
        assert report.scores.modularity.value == close(1 - rho_all)

    def test_linear_layer_without_activation_is_hidden_too(self) -> None:
        decoder = nn.Sequential(shared_unit_layer(), linear([[1, 0, 0], [0, 0, 1]], [-4, -4]))
        report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
        assert list(report.scores.modularity_by_layer) == ["decoder.0"]
        assert report.scores.modularity.value == close(SHARED)

    def test_output_activation_is_not_hidden(self) -> None:
        """An activation at the very end makes the output layer no hidden layer."""
        decoder = nn.Sequential(shared_unit_layer(), nn.ReLU(), linear([[1, 0, 0], [0, 0, 1]]), nn.ReLU())
        report = audit(PaperVAE(linear(np.eye(2), [-4.0, -4.0]), [SIGMA] * 2, decoder), signs(2, 4) + 4)
        assert list(report.scores.modularity_by_layer) == ["decoder.1"]
        assert report.scores.modularity.value == close(SHARED)

    def test_profile_that_is_constant_up_to_rounding_is_left_out(self) -> None:
        """Latent 0 moves all four units by m/sqrt(2): no rho. Latents 1 and 2: (1, 0, 1, 0) and (0, 1, 0, 1): rho = -1.

        Units c_u (z_0 + z_1) and c_u (z_0 + z_2) with c = 0.1, 0.3, 0.7, 1.1: s_u = c_u sqrt(2).
        """
        layer = linear([[0.1, 0.1, 0], [0.3, 0, 0.3], [0.7, 0.7, 0], [1.1, 0, 1.1]], [1, 2, 3, 5])
        decoder = nn.Sequential(layer, nn.ReLU(), linear(np.ones((3, 4))))
        report = audit(PaperVAE(linear(np.eye(3)), [SIGMA] * 3, decoder), signs(3, 4))
        assert report.scores.modularity.value == close(0)

    def test_inactive_latent_is_left_out(self) -> None:
        """A third, collapsed latent moves all units alike; the pairs with it do not count."""
        layer = linear([[1, 0, 1], [1, 1, 1], [0, 1, 1]], [9, 9, 9])
        decoder = nn.Sequential(layer, nn.ReLU(), linear([[1, 0, 0], [0, 0, 1]], [-9, -9]))
        model = PaperVAE(linear([[1, 0], [0, 1], [0, 0]]), [SIGMA, SIGMA, 1.0], decoder)
        report = audit(model, signs(2, 4))
        assert report.scores.active_latents == 2
        assert report.scores.modularity.value == close(SHARED)


def test_one_active_latent_is_undefined() -> None:
    model = PaperVAE(linear([[1, 0], [0, 0]]), [SIGMA, 1.0], relu_pairs(2))
    report = audit(model, signs(2, 4))
    assert report.scores.modularity.value is None
    assert report.scores.modularity_by_layer["decoder.1"].value is None


def test_channels_are_averaged_over_space() -> None:
    """A convolutional decoder: unit = channel, its profile the spatial mean.

    z (2) is spread over a 1 x 4 field by a linear layer, ReLU, reshaped to 3 channels of length 4 that hold
    (z_0, z_0 + z_1, z_1) + 4 in every place: as ``TestSharedUnit`` in the layer of channels.
    """

    class Field(nn.Module):
        """(rows, 2) -> (rows, 2, 4): both latents in every place."""

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z[:, :, None].expand(-1, -1, 4)

    hidden = nn.Conv1d(2, 3, 1, dtype=torch.float64)
    out = nn.Conv1d(3, 2, 1, dtype=torch.float64)
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 0], [1, 1], [0, 1]])[:, :, None])
        hidden.bias.fill_(4)  # type: ignore[union-attr]
        out.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1]])[:, :, None])
        out.bias.fill_(-4)  # type: ignore[union-attr]
    decoder = nn.Sequential(Field(), hidden, nn.ReLU(), out, nn.Flatten())
    mean = linear(np.kron(np.eye(2), np.full((1, 4), 0.25)))
    rows = np.repeat(signs(2, 4), 4, axis=1)
    report = audit(PaperVAE(mean, [SIGMA] * 2, decoder), rows)
    assert report.scores.modularity_by_layer["decoder.2"].value == close(SHARED)
    assert report.scores.modularity.value == close(SHARED)
    assert report.scores.ces.value == close(M / math.sqrt(2))


def test_channels_that_vary_over_space_count_by_their_mean() -> None:
    """Three channels of length 2 whose two places hold a u and (2 - a) u: their mean is u, their maximum is not.

    So the profile is that of ``TestSharedUnit``, whatever a is.
    """
    hidden = nn.ConvTranspose1d(2, 3, 2, dtype=torch.float64)
    out = nn.Conv1d(3, 2, 2, dtype=torch.float64)
    mix = torch.tensor([[1.0, 1, 0], [0, 1, 1]], dtype=torch.float64)
    with torch.no_grad():
        hidden.weight.copy_(
            torch.stack([mix * torch.tensor([0.5, 1.2, 0.1]), mix * torch.tensor([1.5, 0.8, 1.9])], dim=2)
        )
        hidden.bias.fill_(40)  # type: ignore[union-attr]
        out.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1]])[:, :, None].expand(-1, -1, 2) / 2)
        out.bias.fill_(-40)  # type: ignore[union-attr]
    decoder = nn.Sequential(nn.Unflatten(1, (2, 1)), hidden, nn.ReLU(), out, nn.Flatten())
    report = audit(PaperVAE(linear(np.eye(2)), [SIGMA] * 2, decoder), signs(2, 4))
    assert report.scores.modularity_by_layer["decoder.2"].value == close(SHARED)
