"""Tensors and arrays that hold no plain numbers: refused with what they are, from Python and from files; others are taken right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import circuitprobe as cp
from circuitprobe.adapters.data.torch_file import torch_arrays
from circuitprobe.errors import CircuitProbeError, DataError

ROWS, COLUMNS = 60, 4


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mu, self.log_var = nn.Linear(COLUMNS, 6), nn.Linear(6, 2), nn.Linear(6, 2)
        self.decoder = nn.Linear(2, COLUMNS)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.encoder(x))
        return self.mu(hidden), self.log_var(hidden)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_var = self.encode(x)
        return self.decode(mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)), mean, log_var


class Labelled(torch.Tensor):
    """A subclass that does nothing."""


def rows() -> torch.Tensor:
    return torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))


def vae() -> Vae:
    torch.manual_seed(0)
    return Vae().eval()


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.randn(ROWS, COLUMNS)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(3, COLUMNS), torch.ones(5, COLUMNS)]), "nested"),
    "jagged": (
        lambda: torch.nested.nested_tensor([torch.ones(3, COLUMNS), torch.ones(5, COLUMNS)], layout=torch.jagged),
        "NestedTensor",
    ),
    "meta": (lambda: rows().to("meta"), "device meta"),
    "sparse": (lambda: rows().to_sparse(), "layout sparse_coo"),
    "csr": (lambda: rows().to_sparse_csr(), "layout sparse_csr"),
    "quantized": (lambda: torch.quantize_per_tensor(rows(), 0.1, 0, torch.quint8), "quint8"),
    "complex": (lambda: rows() + 1j * rows(), "complex64"),
    "conjugated": (lambda: torch.conj(rows() + 1j * rows()), "complex64"),
    "fake": (fake, "FakeTensor"),
    "masked": (lambda: np.ma.masked_array(rows().numpy(), rows().numpy() > 1), "masked"),
    "objects": (lambda: rows().numpy().astype(object), "object"),
    "text": (lambda: rows().numpy().astype(str), "U"),
    "dates": (lambda: np.zeros((ROWS, COLUMNS), "M8[s]"), "datetime64"),
    "complex array": (lambda: rows().numpy().astype(complex), "complex128"),
    "no rows": (lambda: rows()[:0], "(0, 4)"),
    "no columns": (lambda: rows()[:, :0], "(60, 0)"),
    "one number": (lambda: torch.tensor(1.0), "()"),
    "one axis": (lambda: rows()[:, 0], "(60,)"),
    "nan": (lambda: rows() * float("nan"), "nan"),
    "infinite": (lambda: rows().double() / 0, "inf"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_holds_no_plain_numbers_is_refused(kind: str) -> None:
    make, word = REFUSED[kind]
    for use in (
        lambda x: cp.audit(vae(), x, levels=(2,)),
        lambda x: cp.inspect(vae(), x),
        lambda x: cp.interventions.latents(vae(), x),
    ):
        with pytest.raises(DataError) as error:
            use(make())
        assert word in str(error.value)


FROM_NUMPY = ("masked", "objects", "text", "dates", "complex array", "fake")
"""What torch.save does not write as a tensor."""

TAKEN: dict[str, Callable[[], Any]] = {
    "float64": lambda: rows().double(),
    "bfloat16": lambda: rows().bfloat16(),
    "float16": lambda: rows().half(),
    "float8": lambda: rows().to(torch.float8_e4m3fn),
    "with a gradient": lambda: rows().requires_grad_(),
    "a function of one": lambda: rows().requires_grad_() * 1,
    "negative view": lambda: torch._neg_view(-rows()),
    "negative view, float64": lambda: torch._neg_view(-rows().double()),
    "imaginary part": lambda: torch.conj(torch.complex(rows(), -rows())).imag,
    "strided": lambda: rows().repeat_interleave(2, 0).repeat_interleave(2, 1)[::2, ::2],
    "transposed": lambda: rows().t().contiguous().t(),
    "subclass": lambda: rows().as_subclass(Labelled),
    "parameter": lambda: nn.Parameter(rows()),
    "unmasked": lambda: np.ma.masked_array(rows().numpy(), False),
    "big-endian": lambda: rows().numpy().astype(">f4"),
    "matrix": lambda: np.matrix(rows().numpy()),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_holds_numbers_gives_the_figures_of_these(kind: str) -> None:
    given = TAKEN[kind]()
    plain = (
        torch.as_tensor(np.array(given)) if isinstance(given, np.ndarray) and given.dtype.byteorder != ">" else rows()
    )
    if isinstance(given, torch.Tensor) and given.dtype in (torch.bfloat16, torch.half, torch.float8_e4m3fn):
        plain = given.float()
    one, other = (cp.audit(vae(), x, levels=(2,)) for x in (given, plain))
    assert one.scores == other.scores
    assert np.array_equal(*(cp.interventions.latents(vae(), x).strength for x in (given, plain)))


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in FROM_NUMPY])
def test_in_a_file_they_are_refused_too(tmp_path: Path, kind: str) -> None:
    torch.save(REFUSED[kind][0](), tmp_path / "x.pt")
    for use in (lambda x: cp.audit(vae(), x, levels=(2,)), lambda x: cp.inspect(vae(), x)):
        with pytest.raises(CircuitProbeError):
            use(tmp_path / "x.pt")


def test_one_that_can_be_read_is_found_among_them(tmp_path: Path) -> None:
    odd = {kind: REFUSED[kind][0]() for kind in ("sparse", "csr", "quantized", "complex")}
    torch.save({**odd, "x": rows().to(torch.float8_e5m2)}, tmp_path / "x.pt")
    known = {array.name: array for array in torch_arrays(tmp_path / "x.pt")}
    assert [name for name, array in known.items() if array.is_number] == ["x"]
    assert known["x"].rows(np.array([1, 5])) == pytest.approx(rows().to(torch.float8_e5m2).float().numpy()[[1, 5]])
    with pytest.raises(DataError):
        known["sparse"].rows(np.array([0]))


def test_inside_a_transformation_there_are_no_numbers_yet() -> None:
    seen, model = [], vae()

    def audited(x: torch.Tensor) -> torch.Tensor:
        with pytest.raises(DataError) as error:
            cp.audit(model, x)
        seen.append(str(error.value))
        return x

    torch.func.vmap(audited)(torch.randn(3, ROWS, COLUMNS))
    assert "torch.func" in seen[0]
