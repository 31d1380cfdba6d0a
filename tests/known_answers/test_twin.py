"""The sanity twin and the downstream AUC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import circuitprobe as cp

from . import paper
from .figures import values, with_intervals
from .vaes import PaperVAE, audit, linear, signs, wrap

M = paper.two_point_deviation()


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class KnownStart(nn.Linear):
    """A linear layer whose fresh initialisation is known."""

    def __init__(self, now: Any, fresh: Any, bias: Any = 0.0) -> None:
        self.fresh = torch.tensor(np.asarray(fresh, dtype=float))
        self.start = bias
        super().__init__(self.fresh.shape[1], self.fresh.shape[0], dtype=torch.float64)
        with torch.no_grad():
            self.weight.copy_(torch.tensor(np.asarray(now, dtype=float)))

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(self.fresh)
            self.bias.fill_(self.start)


class KnownTwin(nn.Module):
    """Identity VAE on two columns whose freshly initialised twin has D = [[1, 1], [1, -1]] z / 2."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = KnownStart(np.eye(2), np.eye(2))
        self.log_var = KnownStart(np.zeros((2, 2)), np.zeros((2, 2)), 2 * math.log(paper.SIGMA))
        self.decoder = KnownStart(np.eye(2), [[0.5, 0.5], [0.5, -0.5]])

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mean(x), self.log_var(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.decoder(z)
        return out


class TestTwinOnPaper:
    """Rows {-1, 1}^2. Audited: e = m I. Twin: e = m/2 everywhere, CES m/2, specificity 0.

    Its squared errors: ((z_1 - z_0)/2)^2 is 0 or 1, mean 1/2; ((z_0 - 3 z_1)/2)^2 is 1 or 4, mean 5/2: MSE 3/2.
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def report() -> Any:
        return audit(KnownTwin(), signs(2, 4), groups={"a": ["x0"], "b": ["x1"]}, twin=True)

    def test_twin_scores(self, report: Any) -> None:
        scores = report.twin.scores
        assert scores.ces.value == close(M / 2)
        assert scores.specificity.value == close(0)
        assert scores.fgd.value == close(0)
        assert scores.active_latents == 2
        assert report.twin.mse.value == close(1.5)
        assert report.twin.mse.null == close(1)

    def test_audited_scores_stand_beside_it(self, report: Any) -> None:
        assert report.scores.ces.value == close(M / math.sqrt(2))
        assert report.scores.specificity.value == close(1)
        assert report.scores.fgd.value == close(1)
        assert report.reconstruction.mse.value == close(0)


def drawn_twin(seed: int) -> Any:
    torch.manual_seed(99 - seed)
    decoder = nn.Sequential(linear(np.eye(2)), nn.ReLU(), linear(np.eye(2)))
    return audit(PaperVAE(linear(np.eye(2)), [0.5] * 2, decoder), signs(2, 4), twin=True, seed=seed)


def test_twin_hangs_on_the_seed_alone() -> None:
    first, again, other = drawn_twin(0), drawn_twin(0), drawn_twin(1)
    assert with_intervals(first.twin) == with_intervals(again.twin)
    assert values(first.twin) != values(other.twin)
    assert values(first.scores) != values(first.twin.scores)


def test_twin_does_not_depend_on_the_trained_weights() -> None:
    """Same architecture, other weights: the same twin."""
    twins = []
    for factor in (1.0, 3.0):
        model = PaperVAE(linear(np.eye(2)), [0.5] * 2, linear(factor * np.eye(2)))
        twins.append(audit(model, signs(2, 4), twin=True).twin)
    assert values(twins[0]) == values(twins[1])


def test_no_twin_when_not_asked_for() -> None:
    model = PaperVAE(linear(np.eye(2)), [0.5] * 2, linear(np.eye(2)))
    twin = audit(model, signs(2, 4), twin=False).twin
    assert (twin.scores, twin.mse) == (None, None)


def test_model_and_random_state_are_left_alone() -> None:
    model = PaperVAE(linear(np.eye(2)), [0.5] * 2, linear(np.eye(2))).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch_state, numpy_state = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    audit(model, signs(2, 4), twin=True)
    assert model.training
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert str(np.random.get_state()) == numpy_state  # noqa: NPY002
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Rounded(nn.Module):
    """With mu = x rounded: exact codes from rows with a jitter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round(x)


class TestDownstream:
    """Logistic regression on mu(x), 5 stratified folds, one-vs-rest macro average; chance is 1/2."""

    @staticmethod
    def run(mean: nn.Module, codes: Any, labels: list[str]) -> Any:
        """Rows are the codes with a jitter below 0.3, so that columns are numeric and rounding gives the codes."""
        jitter = np.random.default_rng(0).uniform(-0.3, 0.3, size=np.shape(codes))
        frame = pd.DataFrame(np.asarray(codes, dtype=float) + jitter, columns=["u", "v"])
        frame["label"] = labels
        model = PaperVAE(mean, [0.5] * 2, linear(np.eye(2)))
        report = cp.audit(wrap(model), frame, target="label", twin=False, resamples=20, permutations=10)
        assert report.downstream is not None
        assert report.downstream.target == "label"
        assert [feature.name for feature in report.data.features] == ["u", "v"]
        return report.downstream

    def test_separable(self) -> None:
        codes = signs(2, repeats=25)
        downstream = self.run(Rounded(), codes, ["yes" if row[0] > 0 else "no" for row in codes])
        assert downstream.classes == ("no", "yes")
        assert downstream.auc.value == close(1)
        assert downstream.auc.null == 0.5
        assert downstream.auc.n == 100

    def test_codes_without_information(self) -> None:
        """With mu = 0 in every row: all scores of a fold tie, AUC 1/2."""
        codes = signs(2, repeats=25)
        downstream = self.run(linear(np.zeros((2, 2))), codes, ["yes" if row[0] > 0 else "no" for row in codes])
        assert downstream.auc.value == close(0.5)

    def test_four_of_five_agree(self) -> None:
        """Code mu_0 = +-1 agrees with the label in 80 % of each class, mu_1 = 0: (TPR + TNR)/2 = 0.8, ties count half.

        All folds hold twenty rows of each class, so that the mean over folds of TPR and TNR is that over all rows.
        """
        codes = np.array([[s if i % 5 else -s, v] for s in (-1.0, 1.0) for i in range(50) for v in (-1.0, 1.0)])
        mean = nn.Sequential(linear([[1, 0], [0, 0]]), Rounded())
        downstream = self.run(mean, codes, ["no"] * 100 + ["yes"] * 100)
        assert downstream.auc.value == close(0.8)

    def test_three_classes(self) -> None:
        """Class a at (1, -1); b and c both at (-1, 1): a against the rest 1, b and c each (1 + 1/2)/2: macro 5/6."""
        codes = [[1.0, -1.0]] * 50 + [[-1.0, 1.0]] * 100
        downstream = self.run(Rounded(), codes, ["a"] * 50 + ["b"] * 50 + ["c"] * 50)
        assert downstream.classes == ("a", "b", "c")
        assert downstream.auc.value == close(5 / 6)

    def test_no_target_no_downstream(self) -> None:
        model = PaperVAE(linear(np.eye(2)), [0.5] * 2, linear(np.eye(2)))
        assert audit(model, signs(2, 4)).downstream is None
