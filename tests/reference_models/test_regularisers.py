"""The regularisers against formulas written independently, and the pitfalls of public implementations."""

from __future__ import annotations

import math
from itertools import permutations as orders

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from circuitprobe.reference_models.architectures import ReferenceVAE, build
from circuitprobe.reference_models.config import ImageConfig, TableConfig, blocks_of
from circuitprobe.reference_models.objectives import (
    ARCHITECTURES,
    Codes,
    Context,
    draw_codes,
    elbo_terms,
    objective_for,
)
from circuitprobe.reference_models.objectives.beta_tcvae import stratified_log_weights, total_correlation
from circuitprobe.reference_models.objectives.dip_vae import aggregate_covariance, moment_penalty
from circuitprobe.reference_models.objectives.factor_vae import (
    HIDDEN_IMAGE,
    HIDDEN_TABLE,
    discriminator,
    discriminator_loss,
    estimated_total_correlation,
    permutations,
)
from reference_models.mixed_table import MIXED, mixed_rows

DOUBLE = torch.float64


def some_codes(rows: int = 6, latents: int = 3, seed: int = 0) -> Codes:
    generator = torch.Generator().manual_seed(seed)
    mean, log_var, noise = (torch.randn(rows, latents, generator=generator, dtype=DOUBLE) for _ in range(3))
    return Codes(mean, log_var, mean + noise * (log_var / 2).exp())


def log_normal(codes: Codes) -> np.ndarray:
    """Log q(z_i | x_j) of each latent, axes i, j, latent, by scipy."""
    z, mean, std = codes.z.numpy(), codes.mean.numpy(), np.exp(codes.log_var.numpy() / 2)
    return np.asarray(norm.logpdf(z[:, None], mean[None], std[None]))


# beta-TCVAE


@pytest.mark.parametrize(("batch", "rows"), [(2, 2), (2, 7), (5, 5), (8, 1000)])
def test_stratified_weights_sum_to_one_and_the_diagonal_is_one_over_n(batch: int, rows: int) -> None:
    weights = stratified_log_weights(batch, rows).exp()
    assert torch.allclose(weights.sum(1), torch.ones(batch, dtype=DOUBLE), atol=1e-12)
    assert torch.allclose(weights.diagonal(), torch.full((batch,), 1 / rows, dtype=DOUBLE))
    for row in range(batch):
        off = sorted(weights[row, [j for j in range(batch) if j != row]].tolist())
        expected = sorted([1 / (batch - 1)] * (batch - 2) + [(rows - batch + 1) / (rows * (batch - 1))])
        assert off == pytest.approx(expected)


def test_stratified_estimate_is_unbiased_over_all_batches() -> None:
    """The mean estimate of q(z_1) over every batch of 3 that holds row 1 is q(z_1) of all 5 rows exactly."""
    codes, rows, batch = some_codes(5, 2, seed=3), 5, 3
    density = np.exp(log_normal(codes).sum(2))
    weights = stratified_log_weights(batch, rows).exp().numpy()
    estimates = [float(weights[0] @ density[0, [0, *others]]) for others in orders(range(1, rows), batch - 1)]
    assert np.mean(estimates) == pytest.approx(density[0].mean(), rel=1e-12)


def test_weights_in_the_first_column_would_be_biased() -> None:
    """The pitfall: 1/N in column 0 instead of on the diagonal; the estimate of another row's density is then off."""
    codes, rows, batch = some_codes(5, 2, seed=3), 5, 3
    density = np.exp(log_normal(codes).sum(2))
    right = stratified_log_weights(batch, rows).exp().numpy()[1]
    wrong = right[[1, 0, 2]]
    means = [np.mean([float(w @ density[1, [a, 1, b]]) for a, b in orders([0, 2, 3, 4], 2)]) for w in (right, wrong)]
    assert means[0] == pytest.approx(density[1].mean(), rel=1e-12)
    assert means[1] != pytest.approx(density[1].mean(), rel=1e-2)


@pytest.mark.parametrize("rows", [6, 500])
def test_total_correlation_is_that_of_scipy(rows: int) -> None:
    codes = some_codes()
    log_density, log_weights = log_normal(codes), stratified_log_weights(6, rows).numpy()
    joint = logsumexp(log_weights + log_density.sum(2), axis=1)
    marginals = logsumexp(log_weights[:, :, None] + log_density, axis=1).sum(1)
    assert total_correlation(codes, rows).item() == pytest.approx(float((joint - marginals).mean()), abs=1e-9)


def test_total_correlation_of_independent_latents_is_near_zero_and_of_equal_ones_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(512, 2, generator=generator, dtype=DOUBLE)
    log_var = torch.full_like(mean, math.log(0.1))
    noise = torch.randn(512, 2, generator=generator, dtype=DOUBLE) * math.sqrt(0.1)
    apart = total_correlation(Codes(mean, log_var, mean + noise), 512).item()
    both = mean[:, :1].expand(-1, 2)
    equal = total_correlation(Codes(both, log_var, both + noise), 512).item()
    # two latents of correlation r = 1 / 1.1: -log(1 - r^2) / 2
    expected = -0.5 * math.log(1 - (1 / 1.1) ** 2)
    assert abs(apart) < 0.15
    assert equal == pytest.approx(expected, abs=0.15)


# DIP-VAE-II


def test_covariance_of_the_aggregate_is_that_of_numpy() -> None:
    codes = some_codes(9, 4)
    expected = np.cov(codes.mean.numpy(), rowvar=False, bias=True) + np.diag(np.exp(codes.log_var.numpy()).mean(0))
    assert np.allclose(aggregate_covariance(codes).numpy(), expected, atol=1e-12)


def test_each_latent_keeps_its_own_mean_variance() -> None:
    """The pitfall: one number for E[sigma^2]. Means at 0, variances 0.5 and 1.5: a scalar would give the identity."""
    log_var = torch.tensor([[0.5, 1.5]] * 4, dtype=DOUBLE).log()
    zero = torch.zeros(4, 2, dtype=DOUBLE)
    assert moment_penalty(aggregate_covariance(Codes(zero, log_var, zero))).item() == pytest.approx(0.5)


def test_moment_penalty_by_hand() -> None:
    """(2 - 1)^2 + (0.5 - 1)^2 + 2 x 0.3^2."""
    covariance = torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=DOUBLE)
    assert moment_penalty(covariance).item() == pytest.approx(1.0 + 0.25 + 0.18)
    assert moment_penalty(torch.eye(3, dtype=DOUBLE)).item() == 0.0


# FactorVAE


def test_discriminator_of_images_is_the_papers() -> None:
    network = discriminator(10, HIDDEN_IMAGE, 0)
    shapes = [tuple(value.shape) for name, value in network.state_dict().items() if name.endswith("weight")]
    assert shapes == [(1000, 10), *[(1000, 1000)] * 4, (2, 1000)]
    assert [layer.negative_slope for layer in network if isinstance(layer, torch.nn.LeakyReLU)] == [0.2] * 5


def test_estimated_total_correlation_is_the_mean_difference_of_logits() -> None:
    network, z = discriminator(3, HIDDEN_TABLE, 0).double(), some_codes().z
    logits = network(z)
    expected = (logits[:, 0] - logits[:, 1]).mean()
    assert estimated_total_correlation(network, z).item() == pytest.approx(expected.item(), abs=1e-12)


def test_discriminator_loss_is_half_of_both_cross_entropies() -> None:
    network, z, other = discriminator(3, HIDDEN_TABLE, 0).double(), some_codes().z, some_codes(seed=1).z
    order = permutations(6, 3, torch.Generator().manual_seed(0))
    permuted = torch.stack([other[order[:, i], i] for i in range(3)], 1)
    real = -torch.distributions.Categorical(logits=network(z)).log_prob(torch.zeros(6)).mean()
    false = -torch.distributions.Categorical(logits=network(permuted)).log_prob(torch.ones(6)).mean()
    assert discriminator_loss(network, z, other, order).item() == pytest.approx(((real + false) / 2).item(), abs=1e-12)


def test_each_latent_is_permuted_on_its_own() -> None:
    order = permutations(50, 4, torch.Generator().manual_seed(0))
    assert all(sorted(order[:, i].tolist()) == list(range(50)) for i in range(4))
    assert len({tuple(order[:, i].tolist()) for i in range(4)}) == 4


def test_a_trained_discriminator_gives_the_total_correlation() -> None:
    """Two standard normal latents of correlation 0.9: TC = -log(1 - 0.81) / 2 = 0.83 nats."""
    generator = torch.Generator().manual_seed(0)
    network = discriminator(2, (64, 64), 0)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)

    def draw(rows: int) -> torch.Tensor:
        first, second = torch.randn(rows, 2, generator=generator).unbind(1)
        return torch.stack([first, 0.9 * first + math.sqrt(0.19) * second], 1)

    for _ in range(600):
        optimiser.zero_grad()
        loss = discriminator_loss(network, draw(512), draw(512), permutations(512, 2, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert estimated_total_correlation(network, draw(20_000)).item() == pytest.approx(0.83, abs=0.12)


# who gets a gradient


def parts(arch: str) -> tuple[ReferenceVAE, torch.nn.Sequential, Codes, torch.Tensor]:
    model = build(TableConfig(arch, 3, (16,), blocks_of(MIXED)))
    x = mixed_rows(20).x
    codes = draw_codes(model, x, torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    return model, discriminator(3, (8,), 0), codes, x


def touched(module: torch.nn.Module) -> set[str]:
    return {
        name.split(".")[0] for name, value in module.named_parameters() if value.grad is not None and value.grad.any()
    }


@pytest.mark.parametrize("arch", ["factor-vae", "beta-tcvae", "dip-vae-ii"])
def test_a_regulariser_reaches_the_encoder_and_nobody_else(arch: str) -> None:
    model, network, codes, _ = parts(arch)
    objective_for(arch).regulariser(codes, Context(1000, network)).backward()  # type: ignore[no-untyped-call]
    assert touched(model) == {"encoder", "mean", "log_var"}
    assert touched(network) == set()


def test_the_discriminators_loss_reaches_the_discriminator_and_nobody_else() -> None:
    """The pitfall: codes that are not detached let it train the encoder to be told apart."""
    model, network, codes, _ = parts("factor-vae")
    order = permutations(20, 3, torch.Generator().manual_seed(0))
    discriminator_loss(network, codes.z, codes.z, order).backward()  # type: ignore[no-untyped-call]
    assert touched(model) == set()
    assert touched(network) == {"0", "2"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_whole_loss_reaches_every_part_of_the_network(arch: str) -> None:
    model, network, codes, x = parts(arch)
    objective = objective_for(arch)
    loss = objective.total(elbo_terms(model, x, codes), objective.regulariser(codes, Context(1000, network)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert touched(model) == {"encoder", "mean", "log_var", "decoder", "output", "raw_log_var"}
    assert touched(network) == set()


def test_a_step_down_each_regulariser_makes_latents_less_dependent() -> None:
    """Two equal latents: descent on the codes' means lowers their correlation, by the batch's own formula."""
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(64, 1, generator=generator, dtype=DOUBLE)
    start = torch.cat([shared, shared + 0.3 * torch.randn(64, 1, generator=generator, dtype=DOUBLE)], 1)
    log_var = torch.full_like(start, math.log(0.2))
    for arch in ("beta-tcvae", "dip-vae-ii"):
        mean = start.clone().requires_grad_()
        objective = objective_for(arch)
        for _ in range(50):
            noise = math.sqrt(0.2) * torch.randn(64, 2, generator=generator, dtype=DOUBLE)
            value = objective.regulariser(Codes(mean, log_var, mean + noise), Context(64))
            (gradient,) = torch.autograd.grad(value, mean)
            mean = (mean - 0.5 * gradient).detach().requires_grad_()
        before, after = (abs(float(np.corrcoef(m.detach().numpy().T)[0, 1])) for m in (start, mean))
        assert after < before - 0.1, arch


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_objective_sums_over_pixels_and_averages_over_images(arch: str) -> None:
    """Twice the batch, each image twice: the parts that are means over rows stay."""
    model = build(ImageConfig(arch, 3, (1, 16, 16)))
    x = (torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    once = elbo_terms(model, x, draw_codes(model, x, noise))
    twice_x, twice_noise = torch.cat([x, x]), torch.cat([noise, noise])
    twice = elbo_terms(model, twice_x, draw_codes(model, twice_x, twice_noise))
    assert once.reconstruction.item() == pytest.approx(twice.reconstruction.item(), rel=1e-5)
    assert once.kl.item() == pytest.approx(twice.kl.item(), rel=1e-5)
    # an untrained decoder is near 1/2 everywhere: 256 pixels of log 2 nats
    assert once.reconstruction.item() == pytest.approx(256 * math.log(2), rel=0.05)
