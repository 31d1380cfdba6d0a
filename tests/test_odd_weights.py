"""Models whose weights are no usable numbers: a message, or figures that are right, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import circuitprobe as cp
from circuitprobe.errors import ModelError
from circuitprobe.report import AuditReport


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mu, self.log_var = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)
        self.decoder = nn.Linear(2, 4)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.encoder(x))
        return self.mu(hidden), self.log_var(hidden)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_var = self.encode(x)
        return self.decode(mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)), mean, log_var


class Fixed(Vae):
    """Without a single weight."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :2], 0.1 * x[:, 2:]

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z, z], 1)


def rows() -> torch.Tensor:
    return torch.randn(60, 4, generator=torch.Generator().manual_seed(1))


def vae(part: str = "", by: float = 1.0) -> Vae:
    torch.manual_seed(0)
    made = Vae().eval()
    with torch.no_grad():
        for weight in (getattr(made, part) if part else made).parameters():
            weight.mul_(by)
    return made


def nan(part: str) -> Vae:
    made = vae()
    with torch.no_grad():
        getattr(made, part).weight[0, 0] = torch.nan
    return made


def moved(part: str, to: torch.device | torch.dtype | str) -> Vae:
    made = vae()
    (getattr(made, part) if part else made).to(to)
    return made


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "all 1e38": lambda: vae(by=1e38),
    "decoder 1e38": lambda: vae("decoder", 1e38),
    "decoder 1e30": lambda: vae("decoder", 1e30),
    "mean 1e38": lambda: vae("mu", 1e38),
    "log-variance 1e38": lambda: vae("log_var", 1e38),
    "infinite": lambda: vae("mu", float("inf")),
    **{f"nan in {part}": lambda part=part: nan(part) for part in ("encoder", "mu", "log_var", "decoder")},  # type: ignore[misc]
    "meta": lambda: moved("", "meta"),
    "decoder on meta": lambda: moved("decoder", "meta"),
    "complex": lambda: moved("", torch.complex64),
    "decoder of another dtype": lambda: moved("decoder", torch.float64),
    "nothing": nn.Identity,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_weights_that_cannot_be_audited_are_refused(kind: str) -> None:
    for use in (
        lambda model: cp.audit(model, rows(), levels=(1, 2, 3, 4)),
        lambda model: cp.interventions.latents(model, rows()),
        lambda model: cp.interventions.activations(model, rows()),
    ):
        with pytest.raises(ModelError) as error:
            use(REFUSED[kind]())
        assert "try:" in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: vae("encoder", 1e38), lambda: vae("decoder", 1e12), lambda: vae("log_var", 100.0),
        lambda: moved("", torch.float64), Fixed,
    ],
    ids=["encoder 1e38", "decoder 1e12", "log-variance 100", "float64", "no weights"],
)  # fmt: skip
def test_others_are_audited_and_the_report_agrees_with_itself(make: Callable[[], nn.Module]) -> None:
    report = cp.audit(make(), rows(), levels=(1, 2, 3, 4))
    assert AuditReport.of_json(report.to_json(), "audit.json").latents
    assert report.scores is not None
    assert report.scores.ces.value is not None
