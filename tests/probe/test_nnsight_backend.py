"""The nnsight backend gives what hooks give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from circuitprobe.errors import ModelError
from circuitprobe.probe.backends import HooksBackend
from circuitprobe.probe.half import Half
from circuitprobe.probe.nnsight_backend import NnsightBackend
from circuitprobe.types import Site

NNSIGHT, HOOKS = NnsightBackend(), HooksBackend()
ROWS, WIDTH = 5, 6


def half_of(model: nn.Module, run: Callable[[Tensor], Tensor] | None = None) -> Half:
    return Half("decoder", model, run or getattr(model, "decode", model))


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, 7), nn.ReLU(inplace=True), nn.Linear(7, 4))


def hooked(factor: float | None) -> nn.Module:
    """With a forward hook of the user's, which changes the output unless ``factor`` is None."""
    model = mlp()
    model[0].register_forward_hook(lambda _module, _inputs, output: None if factor is None else output * factor)
    return model


class Recurrent(nn.Module):
    """A tuple with a tuple in it, in modules whose names nnsight has other uses for."""

    def __init__(self) -> None:
        super().__init__()
        self.output, self.skip = nn.LSTM(WIDTH, 4), nn.Linear(WIDTH, 4)

    def forward(self, z: Tensor) -> Tensor:
        out, (h, _) = self.output(z)
        return out + h + self.skip(z)


class Shared(nn.Module):
    """One activation run twice, once from a residual branch, and one layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mid, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.act = nn.ReLU(inplace=True)
        self.again = self.mid

    def decode(self, z: Tensor) -> Tensor:
        h = self.act(self.first(z))
        h = h + self.act(self.mid(h))
        return self.last(self.again(h))


@dataclass(frozen=True)
class Pair:
    mean: Tensor
    other: dict[str, Tensor]


class Fields(nn.Module):
    def forward(self, z: Tensor) -> Pair:
        return Pair(z * 2, {"shift": z + 1, "save": z - 1})


class Structured(nn.Module):
    """A dataclass with a dict in it; nnsight puts a ``save`` on every object."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = Fields()

    def forward(self, z: Tensor) -> Tensor:
        pair = self.fields(z)
        return pair.mean * pair.other["shift"] + pair.other["save"]


class OwnForward(nn.Module):
    """Chooses its forward when it is built, as some libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)
        self.forward = self.fast

    def fast(self, z: Tensor) -> Tensor:
        return self.layer(z) + 1


def conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (WIDTH, 1, 1)), nn.ConvTranspose2d(WIDTH, 5, 3), nn.ReLU(inplace=True), nn.Flatten()
    )


def transformer() -> nn.Module:
    """Has a fast path around its parts, which hooks switch off."""
    return nn.Sequential(nn.Unflatten(1, (1, WIDTH)), nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True)).eval()


MODELS: dict[str, tuple[Callable[[], nn.Module], list[Site]]] = {
    "mlp": (mlp, [Site("1"), Site("0"), Site("2"), Site("")]),
    "a hook that only looks": (lambda: hooked(None), [Site("0"), Site("1")]),
    "convolution": (conv, [Site("1"), Site("2")]),
    "tuples": (Recurrent, [Site("output", (0,)), Site("skip"), Site("output", (1, 0))]),
    "calls": (Shared, [Site("again", call=1), Site("last"), Site("act", call=1), Site("act"), Site("mid")]),
    "dataclass": (Structured, [Site("fields", ("mean",)), Site("fields", ("other", "save"))]),
    "own forward": (lambda: nn.Sequential(OwnForward(), OwnForward()), [Site("1"), Site("0"), Site("1.layer")]),
    "transformer": (transformer, [Site("1.linear1"), Site("1.self_attn", (0,)), Site("1")]),
}


def attributes(model: nn.Module) -> list[list[tuple[str, int]]]:
    return [[(name, id(value)) for name, value in vars(module).items()] for module in model.modules()]


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_reads_and_writes_as_hooks_do(name: str) -> None:
    torch.manual_seed(0)
    build, sites = MODELS[name]
    model = build()
    half, z = half_of(model), torch.randn(ROWS, WIDTH)
    before = attributes(model)
    assert torch.equal(NNSIGHT.run(half, z), half.run(z))
    output, caught = NNSIGHT.capture(half, z, sites)
    expected, seen = HOOKS.capture(half, z, sites)
    assert torch.equal(output, expected)
    assert list(caught) == sites
    assert all(torch.equal(caught[site], seen[site]) for site in sites)
    for number in range(1, len(sites) + 1):
        patches = {site: torch.randn_like(caught[site]) for site in sites[:number]}
        kept = {site: tensor.clone() for site, tensor in patches.items()}
        output, read = NNSIGHT.patched(half, z, patches, sites)
        assert all(torch.equal(patches[site], kept[site]) for site in patches), "a step in place reached what was given"
        expected, seen = HOOKS.patched(half, z, kept, sites)
        assert torch.equal(output, expected)
        assert all(torch.equal(read[site], seen[site]) for site in sites)
    assert attributes(model) == before


@torch.no_grad()
def test_a_patch_is_what_the_rest_of_the_network_runs_on() -> None:
    model, z, new = mlp(), torch.randn(ROWS, WIDTH), torch.randn(ROWS, 7)
    output, read = NNSIGHT.patched(half_of(model), z, {Site("0"): new}, [Site("1")])
    assert torch.equal(read[Site("1")], new.clamp(min=0))
    assert torch.equal(output, model[2](new.clamp(min=0)))


@torch.no_grad()
def test_parts_of_one_output_are_written_and_read_together() -> None:
    z, new = torch.randn(ROWS, WIDTH), torch.randn(2, ROWS, WIDTH)
    mean, shift, save = Site("fields", ("mean",)), Site("fields", ("other", "shift")), Site("fields", ("other", "save"))
    output, read = NNSIGHT.patched(half_of(Structured()), z, {shift: new[0], mean: new[1]}, [save, shift])
    assert torch.equal(read[save], z - 1)
    assert torch.equal(read[shift], new[0])
    assert torch.equal(output, new[1] * new[0] + (z - 1))


def test_gradients_flow_through_the_output_but_not_through_what_is_read() -> None:
    model = mlp()
    output, read = NNSIGHT.capture(half_of(model), torch.randn(ROWS, WIDTH), [Site("0")])
    assert output.requires_grad
    assert not read[Site("0")].requires_grad
    output.sum().backward()
    assert model[0].weight.grad is not None


class RunsDirectly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(torch.tanh(self.layer.forward(z)))


REFUSED = {
    "call that is not made": (mlp, Site("1", call=1), "calls 1 1 times"),
    "part of no tuple": (mlp, Site("1", (0,)), r"no tensor at \[0\]"),
    "hook of the user's": (lambda: hooked(2.0), Site("0"), "not what the model goes on with"),
    "forward called directly": (RunsDirectly, Site("layer"), "not what the model goes on with"),
    "TorchScript": (lambda: torch.jit.trace(mlp(), torch.randn(2, WIDTH)), Site("0"), "the model is TorchScript"),
    "TorchScript part": (lambda: nn.Sequential(torch.jit.script(mlp()), nn.ReLU()), Site("1"), "0 is TorchScript"),
}


@pytest.mark.parametrize("name", REFUSED)
@torch.no_grad()
def test_what_cannot_be_had_is_an_error_and_not_another_number(name: str) -> None:
    build, site, words = REFUSED[name]
    model = build()
    before = None if "Script" in name else attributes(model)
    with pytest.raises(ModelError, match=words):
        NNSIGHT.capture(half_of(model), torch.randn(ROWS, WIDTH), [site])
    assert before is None or attributes(model) == before


@pytest.mark.parametrize("error", [ModelError("seen", expected="e", fix="f"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_the_half_comes_out_as_it_is(error: BaseException) -> None:
    model, z = mlp(), torch.randn(ROWS, WIDTH)
    before = attributes(model)

    def run(z: Tensor) -> Tensor:
        model[0](z)
        try:
            raise ValueError("cause")
        except ValueError as cause:
            raise error from cause

    with pytest.raises(type(error)) as caught:
        NNSIGHT.capture(half_of(model, run), z, [Site("0"), Site("1")])
    assert caught.value is error
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.__context__ is None, "nnsight's way out of a with block shows in the model's traceback"
    assert attributes(model) == before
    assert torch.equal(NNSIGHT.run(half_of(model), z), model(z))


def test_a_lack_of_memory_while_reading_is_not_called_anything_else() -> None:
    class Wide(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z[:1, :1].expand(2**22, 2**22)

    model = nn.Sequential(Wide())
    with pytest.raises(RuntimeError, match="allocate"):
        NNSIGHT.capture(half_of(model, lambda z: model(z)[:2, :2]), torch.randn(2, 2), [Site("0")])
