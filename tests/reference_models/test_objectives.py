"""Likelihoods and KL against torch.distributions, gradients by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from circuitprobe.errors import UsageError
from circuitprobe.reference_models.architectures import TableVAE, build
from circuitprobe.reference_models.config import TableConfig, blocks_of
from circuitprobe.reference_models.likelihoods import bernoulli_nll, categorical_nll, gaussian_nll, kl_to_prior
from circuitprobe.reference_models.objectives import ARCHITECTURES, Terms, draw_codes, elbo_terms, objective_for
from reference_models.mixed_table import MIXED, mixed_rows


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def double_model() -> TableVAE:
    model = build(TableConfig("vae", 3, (16,), blocks_of(MIXED)))
    assert isinstance(model, TableVAE)
    return model.double()


def test_gaussian_nll_is_that_of_torch() -> None:
    x, mean, log_var = draws(7, 3), draws(7, 3, seed=1), draws(3, seed=2)
    expected = -Normal(mean, (log_var / 2).exp()).log_prob(x).sum(1)
    assert torch.allclose(gaussian_nll(x, mean, log_var), expected, atol=1e-9)


def test_bernoulli_nll_is_that_of_torch_and_finite_far_out() -> None:
    logits = torch.cat([draws(7, 3), torch.full((1, 3), 800.0, dtype=torch.float64)])
    x = (draws(8, 3, seed=1) > 0).double()
    expected = -Bernoulli(logits=logits).log_prob(x).sum(1)
    assert torch.allclose(bernoulli_nll(x, logits), expected, atol=1e-9)
    assert torch.isfinite(bernoulli_nll(x, logits)).all()


def test_categorical_nll_is_that_of_torch() -> None:
    heads = double_model().heads
    logits = draws(7, 5)
    color, size = torch.tensor([0, 1, 2, 0, 1, 2, 2]), torch.tensor([0, 1, 0, 1, 0, 1, 1])
    x = torch.cat([torch.nn.functional.one_hot(color, 3), torch.nn.functional.one_hot(size, 2)], 1).double()
    expected = -Categorical(logits=logits[:, :3]).log_prob(color) - Categorical(logits=logits[:, 3:]).log_prob(size)
    assert torch.allclose(categorical_nll(x, logits, heads), expected, atol=1e-9)


def test_a_block_of_zeros_counts_nothing() -> None:
    heads = double_model().heads
    x = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    logits = draws(1, 5)
    expected = -Categorical(logits=logits[:, 3:]).log_prob(torch.tensor([0]))
    assert torch.allclose(categorical_nll(x, logits, heads), expected, atol=1e-9)


def test_kl_is_that_of_torch() -> None:
    mean, log_var = draws(7, 4), draws(7, 4, seed=1)
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(torch.zeros(7, 4), torch.ones(7, 4)))
    assert torch.allclose(kl_to_prior(mean, log_var), expected, atol=1e-9)
    assert kl_to_prior(torch.zeros(1, 1), torch.zeros(1, 1)).item() == 0.0


def test_elbo_sums_over_columns_and_averages_over_rows() -> None:
    model, x, noise = double_model(), mixed_rows(11).x.double(), draws(11, 3)
    terms = elbo_terms(model, x, draw_codes(model, x, noise))
    mean, log_var = model.encode(x)
    logits = model.decode_logits(mean + noise * (log_var / 2).exp())
    numeric = Normal(logits[:, [0, 5]], (model.numeric_log_var / 2).exp()).log_prob(x[:, [0, 5]]).sum()
    binary = Bernoulli(logits=logits[:, 4]).log_prob(x[:, 4]).sum()
    color = Categorical(logits=logits[:, 1:4]).log_prob(x[:, 1:4].argmax(1)).sum()
    size = Categorical(logits=logits[:, 6:8]).log_prob(x[:, 6:8].argmax(1)).sum()
    assert terms.reconstruction.item() == pytest.approx(-(numeric + binary + color + size).item() / 11, abs=1e-9)
    kl = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(torch.zeros(11, 3), torch.ones(11, 3)))
    assert terms.kl.item() == pytest.approx(kl.sum().item() / 11, abs=1e-9)


def test_gradient_moves_a_prediction_towards_its_row() -> None:
    """One row, logits 0: a descent step raises the observed category, lowers the others, and nears the value."""
    model = double_model()
    x = torch.tensor([[2.0, 0.0, 1.0, 0.0, 1.0, -3.0, 1.0, 0.0]], dtype=torch.float64)
    logits = torch.zeros(1, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model.reconstruction_nll(x, logits).sum(), logits)
    variance = math.exp(-1.0)
    expected = [-2.0 / variance, 1 / 3, 1 / 3 - 1, 1 / 3, -0.5, 3.0 / variance, -0.5, 0.5]
    assert gradient[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_gradient_of_kl_leads_to_the_prior() -> None:
    mean = torch.tensor([[1.5, -0.5]], requires_grad=True)
    log_var = torch.tensor([[1.0, -1.0]], requires_grad=True)
    by_mean, by_log_var = torch.autograd.grad(kl_to_prior(mean, log_var).sum(), (mean, log_var))
    assert by_mean[0].tolist() == pytest.approx([1.5, -0.5])
    assert by_log_var[0].tolist() == pytest.approx([(math.e - 1) / 2, (1 / math.e - 1) / 2], abs=1e-6)


def test_learned_variance_moves_to_the_squared_error() -> None:
    x = torch.full((5, 1), 2.0)
    for log_var, sign in ((math.log(4.0) - 0.1, -1), (math.log(4.0) + 0.1, 1)):
        learned = torch.tensor([log_var], requires_grad=True)
        (gradient,) = torch.autograd.grad(gaussian_nll(x, torch.zeros(5, 1), learned).sum(), learned)
        assert math.copysign(1, gradient.item()) == sign


def test_beta_weighs_the_kl_term() -> None:
    terms, none = Terms(torch.tensor(10.0), torch.tensor(3.0)), torch.tensor(0.0)
    assert objective_for("vae").total(terms, none).item() == 13.0
    five = objective_for("beta-vae", beta=5.0)
    assert five.total(terms, none).item() == 25.0
    assert five.total(terms, none, warm=0.5).item() == 17.5
    assert five.value(10.0, 3.0, 0.0) == 25.0


@pytest.mark.parametrize(
    ("arch", "given", "expected"),
    [
        ("factor-vae", {"gamma": 4.0}, 10 + 3 + 4 * 0.5),
        ("beta-tcvae", {"beta": 4.0}, 10 + 3 + (4 - 1) * 0.5),
        ("beta-tcvae", {"beta": 1.0}, 10 + 3),
        ("dip-vae-ii", {"lambda_od": 4.0}, 10 + 3 + 4 * 0.5),
    ],
)
def test_weights_of_the_regularisers(arch: str, given: dict[str, float], expected: float) -> None:
    terms, regulariser = Terms(torch.tensor(10.0), torch.tensor(3.0)), torch.tensor(0.5)
    objective = objective_for(arch, **given)
    assert objective.total(terms, regulariser).item() == pytest.approx(expected)
    assert objective.total(terms, regulariser, warm=0.25).item() == pytest.approx(10 + (expected - 10) / 4)
    assert objective.value(10.0, 3.0, 0.5) == pytest.approx(expected)


def test_defaults_of_images_are_the_literatures() -> None:
    told = {arch: objective_for(arch, "image").strength for arch in ARCHITECTURES}
    assert told == {
        "vae": ("beta", 1.0),
        "beta-vae": ("beta", 4.0),
        "factor-vae": ("gamma", 35.0),
        "beta-tcvae": ("beta", 6.0),
        "dip-vae-ii": ("lambda", 5.0),
    }


@pytest.mark.parametrize(
    ("arch", "given", "seen", "fix"),
    [
        ("beta_vea", {}, "beta_vea", "beta-vae"),
        ("transformer", {}, "transformer", "choose"),
        ("vae", {"beta": 2.0}, "beta 2", "--arch beta-vae --beta 2"),
        ("beta-vae", {"beta": -1.0}, "beta is -1", "--beta 2"),
        ("beta-vae", {"beta": math.nan}, "beta is nan", "--beta 2"),
        ("factor-vae", {"beta": 2.0}, "beta 2", "--arch beta-tcvae --beta 2"),
        ("beta-vae", {"gamma": 2.0}, "gamma 2", "--arch factor-vae --gamma 2"),
        ("dip-vae-ii", {"gamma": 2.0}, "gamma 2", "--arch factor-vae"),
        ("dip-vae-ii", {"lambda_od": 0.0}, "lambda is 0", "--lambda 5"),
    ],
)
def test_senseless_objectives_are_refused(arch: str, given: dict[str, float], seen: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        objective_for(arch, **given)
    assert seen in caught.value.seen
    assert fix in caught.value.fix
