"""``cp.testing.check_adapter`` on a sound adapter, and on one broken in each way that it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.errors import UsageError
from circuitprobe.testing import AdapterCheckError
from circuitprobe.types import Posterior

ROWS = torch.randn(24, 5, generator=torch.Generator().manual_seed(0)).double()


class Linear(nn.Module):
    """Keeps four of five columns; standard deviation 0.3."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((4,), 0.5, dtype=torch.float64))
        self.norm = nn.BatchNorm1d(4).double()
        self.register_buffer("seen", torch.zeros(1, dtype=torch.float64))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = x[:, :4] * self.scale, torch.full_like(x[:, :4], 0.3).square().log()
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return torch.cat([z / self.scale, torch.zeros_like(z[:, :1])], 1)

    def draw(self, x: Tensor) -> Tensor:
        mean, log_var = self.encode(x)
        return mean + (0.5 * log_var).exp() * torch.randn_like(mean)


def sound() -> cp.ProbedVAE:
    return cp.wrap(Linear(), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z))


def broken(
    encode: Callable[[Any, Tensor], Any] = lambda m, x: Posterior(*m.encode(x)),
    decode: Callable[[Any, Tensor], Tensor] = lambda m, z: m.decode(z),
) -> cp.ProbedVAE:
    return replace(sound(), run_encoder=encode, run_decoder=decode)


def names_of(caught: pytest.ExceptionInfo[AdapterCheckError]) -> set[str]:
    return {check.name for check in caught.value.result.failed}


def draw(model: Linear, x: Tensor) -> Tensor:
    return model.draw(x)


def test_a_sound_adapter_passes_with_its_figures() -> None:
    result = cp.testing.check_adapter(sound(), ROWS, sample=draw)
    assert result.failed == ()
    assert [check.passed for check in result.checks] == [True] * len(result.checks)
    error = result["rows come back better than as column means"].value
    assert error == pytest.approx(0.2 * (1 + float(ROWS[:, 4].mean() ** 2 / ROWS[:, 4].var(correction=0))))
    assert result["encoder is deterministic"].value == 0.0
    assert 0.0 < (result["posterior is what the library draws from"].value or 0.0) < 6.0
    assert "ok  halves run" in str(result)


def test_a_model_is_wrapped_first() -> None:
    result = cp.testing.check_adapter(Linear(), ROWS)
    assert result["adapting changes nothing"].passed is True
    assert result["posterior is what the library draws from"].passed is None


def noisy_encoder(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    return Posterior(mean + 1e-6 * torch.randn_like(mean), log_var)


def standardising_encoder(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    return Posterior(mean - 0.01 * mean.mean(0), log_var)


def order_bound_decoder(model: Any, z: Tensor) -> Tensor:
    rows: Tensor = model.decode(z)
    return rows + 0.01 * torch.arange(len(rows), dtype=rows.dtype)[:, None]


def infinite_variance(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    # finite on the first row that a settling model is tried on is not enough
    return Posterior(mean, torch.where(x[:, :1] > 1e9, log_var, torch.full_like(log_var, float("-inf"))))


def wider_variance(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    return Posterior(mean, torch.cat([log_var, log_var], 1))


def std_as_log_var(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    return Posterior(mean, (0.5 * log_var).exp())


def shifted_mean(model: Any, x: Tensor) -> Posterior:
    mean, log_var = model.encode(x)
    return Posterior(mean + 0.3, log_var)


def reversed_rows(model: Any, z: Tensor) -> Tensor:
    return torch.as_tensor(model.decode(z)).flip(1)


def trains(model: Any, x: Tensor) -> Posterior:
    model.train()
    return Posterior(*model.encode(x))


def counts(model: Any, x: Tensor) -> Posterior:
    model.seen += 1
    return Posterior(*model.encode(x))


def normalises(model: Any, x: Tensor) -> Posterior:
    model.norm.train()
    model.norm(model.encode(x)[0])
    model.norm.eval()
    return Posterior(*model.encode(x))


def hooks(model: Any, x: Tensor) -> Posterior:
    model.norm.register_forward_hook(lambda *_: None)
    return Posterior(*model.encode(x))


def freezes(model: Any, x: Tensor) -> Posterior:
    model.scale.requires_grad_(False)
    return Posterior(*model.encode(x))


def draws(model: Any, x: Tensor) -> Posterior:
    torch.rand(1)
    return Posterior(*model.encode(x))


def rewrites(model: Any, z: Tensor) -> Tensor:
    with torch.no_grad():
        model.scale.mul_(1.0 + 1e-9)
    return torch.as_tensor(model.decode(z))


@pytest.mark.parametrize(
    ("vae", "failure"),
    [
        (broken(encode=noisy_encoder), "encoder is deterministic"),
        (broken(decode=lambda m, z: m.decode(z) + 1e-6 * torch.randn(1)), "decoder is deterministic"),
        (broken(encode=standardising_encoder), "encoder takes rows one by one"),
        (broken(decode=order_bound_decoder), "decoder takes rows one by one"),
        (broken(encode=wider_variance), "posterior is one"),
        (broken(encode=std_as_log_var), "posterior is what the library draws from"),
        (broken(encode=shifted_mean), "posterior is what the library draws from"),
        (broken(decode=reversed_rows), "rows come back better than as column means"),
        (broken(decode=lambda m, z: m.decode(z)[:, :3]), "halves run"),
        (broken(encode=infinite_variance), "halves run"),
        (broken(encode=trains), "running changes nothing"),
        (broken(encode=counts), "running changes nothing"),
        (broken(encode=normalises), "running changes nothing"),
        (broken(encode=hooks), "running changes nothing"),
        (broken(encode=draws), "running changes nothing"),
        (broken(decode=rewrites), "running changes nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_break_is_found(vae: cp.ProbedVAE, failure: str) -> None:
    with pytest.raises(AdapterCheckError) as caught:
        cp.testing.check_adapter(vae, ROWS, sample=draw)
    assert failure in names_of(caught)
    assert failure in str(caught.value)
    assert isinstance(caught.value, AssertionError)


def test_a_changed_gradient_flag_is_found_when_the_first_run_makes_it() -> None:
    """``resolved`` runs the encoder before the state is taken: what only the first run changes must be seen too."""
    with pytest.raises(AdapterCheckError, match="requires_grad of scale"):
        cp.testing.check_adapter(broken(encode=freezes), ROWS)


def test_all_failures_stand_in_one_message() -> None:
    with pytest.raises(AdapterCheckError) as caught:
        cp.testing.check_adapter(broken(encode=noisy_encoder, decode=order_bound_decoder), ROWS)
    assert {"encoder is deterministic", "decoder takes rows one by one", "running changes nothing"} <= names_of(caught)
    assert str(caught.value).count("\n") == len(names_of(caught))


def test_adapting_that_changes_the_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import circuitprobe.testing as checks

    def wrap(model: Linear) -> cp.ProbedVAE:
        model.eval()
        return sound_of(model)

    def sound_of(model: Linear) -> cp.ProbedVAE:
        return replace(sound(), model=model)

    monkeypatch.setattr(checks, "wrap", wrap)
    with pytest.raises(AdapterCheckError) as caught:
        cp.testing.check_adapter(Linear().train(), ROWS)
    assert names_of(caught) == {"adapting changes nothing"}


def test_the_model_is_left_as_it_was_by_the_check_itself() -> None:
    vae = broken(decode=rewrites)
    before = vae.model.scale.detach().clone()
    with pytest.raises(AdapterCheckError):
        cp.testing.check_adapter(vae, ROWS)
    assert torch.equal(vae.model.scale, before)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="3 rows"):
        cp.testing.check_adapter(sound(), ROWS[:3])
