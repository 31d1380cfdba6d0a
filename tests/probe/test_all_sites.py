"""Every place of a half that can be read, and which of them are chosen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from circuitprobe.probe import capture, hidden_sites
from circuitprobe.probe.half import Half
from circuitprobe.probe.sites import FoundSite, all_sites

ROWS = torch.linspace(-1.0, 1.0, 20).reshape(5, 4)
NOT_FIRST = "rows are not the first axis"


def find(
    model: nn.Module, run: Callable[[Tensor], Tensor] | None = None, half: str = "decoder"
) -> tuple[FoundSite, ...]:
    """The sites of a model, which are to be those that ``capture`` can read, with the default ones of ``hidden_sites``."""
    model.eval()
    run = run or model
    found = all_sites(Half(half, model, run), ROWS)
    assert len({site.name for site in found}) == len(found)
    with torch.no_grad(), capture(model, [site.site for site in found]) as recording:
        run(ROWS)
    for site in found:
        seen = recording.tensors[site.site]
        if site.auditable:
            assert seen.shape == (len(ROWS), *site.shape)
            assert seen.shape[site.site.unit_axis] == site.site.units > 0
            assert site.site.unit_axis > 0
    hidden = hidden_sites(model, run, ROWS[:2])
    usable = {site.site for site in found if site.auditable}
    assert [site.site for site in found if site.is_default] == [site for site in hidden if site in usable]
    return found


def table(found: tuple[FoundSite, ...]) -> list[tuple[str, str, tuple[int, ...], str]]:
    return [(site.site.name, site.module_class, site.shape, site.reason) for site in found]


def units(found: tuple[FoundSite, ...]) -> list[tuple[str, int, int]]:
    return [(site.site.name, site.site.unit_axis, site.site.units) for site in found]


def test_mlp() -> None:
    layers = nn.Linear(4, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)
    found = find(nn.Sequential(*layers))
    assert table(found) == [
        ("0", "Linear", (5,), "followed by an activation"),
        ("1", "ReLU", (5,), "activation"),
        ("2", "Dropout", (5,), "after the activation"),
        ("3", "Linear", (6,), "followed by an activation"),
        ("4", "BatchNorm1d", (6,), "followed by an activation"),
        ("5", "Tanh", (6,), "activation"),
        ("6", "Linear", (3,), "output head"),
    ]
    assert [site.name for site in found if site.is_default] == ["decoder:1", "decoder:5"]
    assert units(found)[4] == ("4", 1, 6)


def test_convolution_units_are_channels_of_whatever_follows_it() -> None:
    model = nn.Sequential(
        nn.Linear(4, 6 * 16), nn.Unflatten(1, (6, 4, 4)), nn.ConvTranspose2d(6, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.GroupNorm(2, 8), nn.Conv2d(8, 10, 1), nn.GLU(1), nn.Flatten(), nn.Linear(5 * 16, 3),
    )  # fmt: skip
    found = find(model)
    assert units(found) == [
        ("0", 1, 96), ("1", 1, 6), ("2", 1, 8), ("3", 1, 8), ("4", 1, 8), ("5", 1, 8), ("6", 1, 8), ("7", 1, 10),
        ("8", 1, 5), ("9", 1, 80), ("10", 1, 3),
    ]  # fmt: skip
    assert found[5].shape == (8, 4, 4)
    # the first linear layer has no activation of its own: what it makes is read by a convolution
    assert [site.site.name for site in found if site.is_default] == ["0", "4", "8"]


def test_units_that_were_moved_to_another_axis() -> None:
    class Permuted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.wide = nn.Conv2d(1, 6, 1), nn.LayerNorm(6), nn.Linear(6, 7)
            self.drop, self.out = nn.Dropout(), nn.Conv2d(7, 1, 1)

        def forward(self, z: Tensor) -> Tensor:
            h = self.norm(self.conv(z.view(-1, 1, 2, 2)).permute(0, 2, 3, 1))
            return self.out(self.drop(self.wide(h).permute(0, 3, 1, 2))).flatten(1)

    found = {name: (axis, count) for name, axis, count in units(find(Permuted()))}
    assert found["wide"] == (3, 7)
    assert found["drop"] == (1, 7)


class Recurrent(nn.Module):
    """Codes repeated over seven steps; the last step is read."""

    def __init__(self, kind: type[nn.RNNBase], *, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.out, self.batch_first = kind(4, 5, batch_first=batch_first), nn.Linear(5, 3), batch_first

    def forward(self, z: Tensor) -> Tensor:
        steps = z[:, None, :].expand(-1, 7, -1)
        if self.batch_first:
            return self.out(self.rnn(steps)[0][:, -1])
        return self.out(self.rnn(steps.transpose(0, 1))[0][-1])


def test_lstm_lists_output_and_both_states() -> None:
    found = find(Recurrent(nn.LSTM, batch_first=True))
    assert table(found) == [
        ("rnn[0]", "LSTM", (7, 5), "no activation module follows"),
        ("rnn[1][0]", "LSTM", (1, 5), NOT_FIRST),
        ("rnn[1][1]", "LSTM", (1, 5), NOT_FIRST),
        ("out", "Linear", (3,), "output head"),
    ]
    assert found[0].is_default
    assert units(found)[0] == ("rnn[0]", 2, 5)


def test_time_first_is_listed_and_never_audited() -> None:
    found = find(Recurrent(nn.LSTM, batch_first=False))
    assert [site.shape for site in found[:3]] == [(7, 5), (1, 5), (1, 5)]
    assert {site.reason for site in found[:3]} == {NOT_FIRST}
    assert not any(site.is_default for site in found)


def test_as_many_steps_as_rows_do_not_pass_for_rows() -> None:
    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.GRU(4, 5), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(self.rnn(z[None].expand(5, -1, -1))[0][-1])

    found = find(Square())
    assert [(site.shape, site.reason) for site in found[:2]] == [((5, 5), NOT_FIRST), ((1, 5), NOT_FIRST)]


def test_rows_folded_into_positions_are_not_rows() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.act, self.out = nn.Linear(2, 5), nn.ReLU(), nn.Linear(10, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(self.act(self.each(z.reshape(-1, 2))).reshape(-1, 10))

    assert table(find(Folded()))[:2] == [("each", "Linear", (2, 5), NOT_FIRST), ("act", "ReLU", (2, 5), NOT_FIRST)]


class Attention(nn.Module):
    def __init__(self, *, need_weights: bool) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(4, 12), nn.ReLU()
        self.attend, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(12, 3)
        self.need_weights = need_weights

    def forward(self, z: Tensor) -> Tensor:
        h = self.act(self.first(z)).view(-1, 3, 4)
        return self.out(self.attend(h, h, h, need_weights=self.need_weights)[0].flatten(1))


def test_attention_is_a_leaf_whose_output_projection_does_not_run() -> None:
    assert table(find(Attention(need_weights=True)))[2:4] == [
        ("attend[0]", "MultiheadAttention", (3, 4), "attention"),
        ("attend[1]", "MultiheadAttention", (3, 3), "not its module's first output"),
    ]
    without = find(Attention(need_weights=False))  # None in place of the weights
    assert [site.site.name for site in without] == ["first", "act", "attend[0]", "out"]


def test_encoder_layer_whose_fast_path_would_skip_its_parts() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), nn.Flatten())
    names = [site.site.name for site in find(model)]
    assert {"1.self_attn[0]", "1.linear1", "1.linear2", "1.norm2"} <= set(names)
    assert "1" not in names


def test_a_part_that_runs_elsewhere_does_not_make_its_owner_less_of_a_leaf() -> None:
    class Tied(nn.Module):
        def __init__(self, other: nn.Linear) -> None:
            super().__init__()
            self.other = other

        def forward(self, h: Tensor) -> Tensor:
            return h @ self.other.weight

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 5)
            self.back = Tied(self.first)

        def forward(self, z: Tensor) -> Tensor:
            return self.back(self.first(z))

    assert table(find(Model()))[1] == ("back", "Tied", (4,), "a module whose parts do not run")


def test_module_called_twice_and_residual() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.act, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            h = self.act(self.first(z))
            h = h + self.act(self.again(h))
            return self.last(h)

    found = find(Skip())
    assert [(site.site.name, site.is_default) for site in found] == [
        ("first", False), ("act", True), ("again", False), ("act#1", True), ("last", False),
    ]  # fmt: skip
    assert [site.site.call for site in found] == [0, 0, 0, 1, 0]


class Pair(NamedTuple):
    out: Tensor
    extra: Tensor | None


@dataclass
class Output:
    hidden: Tensor
    states: tuple[Tensor, ...]


class ModelOutput(OrderedDict[str, Any]):
    """As large libraries return: a dictionary with attributes."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Wrapped(nn.Module):
    """A matrix whose product is returned in some container."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.weight, self.make = nn.Parameter(torch.eye(4)), make

    def forward(self, x: Tensor) -> Any:
        return self.make(x @ self.weight)


@pytest.mark.parametrize(
    ("make", "pick", "expected"),
    [
        (lambda h: (h, None, h.sum()), lambda o: o[0], {"inner[0]": "no activation module follows", "inner[2]": "no unit axis"}),
        (lambda h: [h, [h + 1, h > 0]], lambda o: o[0], {
            "inner[0]": "no activation module follows", "inner[1][0]": "not its module's first output",
            "inner[1][1]": "not a floating tensor",
        }),
        (lambda h: {"out": h, "index": h.argmax(1)}, lambda o: o["out"], {
            "inner[out]": "no activation module follows", "inner[index]": "not a floating tensor",
        }),
        (lambda h: ModelOutput(loss=h.mean(1), state=h), lambda o: o["state"], {
            "inner[loss]": "no unit axis", "inner[state]": "not its module's first output",
        }),
        (lambda h: Output(h, (h * 2, h.T)), lambda o: o.hidden, {
            "inner[hidden]": "inside an object", "inner[states][0]": "not its module's first output", "inner[states][1]": NOT_FIRST,
        }),
        (lambda h: Pair(h, None), lambda o: o.out, {"inner[0]": "no activation module follows"}),
        (lambda h: Pair(h, h), lambda o: o.out, {
            "inner[0]": "no activation module follows", "inner[1]": "not its module's first output",
        }),
        (lambda h: (h, h[:, :0]), lambda o: o[0], {"inner[0]": "no activation module follows", "inner[1]": "no unit axis"}),
        (lambda h: torch.distributions.Normal(h, 1.0), lambda o: o.mean, {}),
    ],
    ids=["tuple", "list", "dict", "model output", "dataclass", "named tuple, None", "named tuple", "empty", "distribution"],
)  # fmt: skip
def test_one_site_per_tensor(
    make: Callable[[Tensor], Any], pick: Callable[[Any], Tensor], expected: dict[str, str]
) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.out = Wrapped(make), nn.Linear(4, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(pick(self.inner(z)))

    found = find(Model())
    assert {site.site.name: site.reason for site in found if site.site.module == "inner"} == expected
    assert all(
        site.auditable == (site.reason not in {"no unit axis", "not a floating tensor", NOT_FIRST}) for site in found
    )


def test_weight_norm_stays_a_leaf_and_unused_modules_are_not_listed() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act = nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), nn.ReLU()
            self.unused, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            return self.out(self.act(self.first(z)))

    assert table(find(Model())) == [
        ("first", "Linear", (5,), "followed by an activation"),
        ("act", "ReLU", (5,), "activation"),
        ("out", "Linear", (3,), "output head"),
    ]


class VAE(nn.Module):
    """Two heads after a trunk; a module that both halves run."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.act = nn.Linear(4, 5), nn.ReLU()
        self.mean, self.log_var = nn.Linear(5, 4), nn.Linear(5, 4)
        self.wide, self.out = nn.Linear(4, 5), nn.Linear(5, 4)
        self.unread = nn.GRU(5, 6)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.act(self.trunk(x))
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        h = self.act(self.wide(z))
        self.unread(h[None])
        return self.out(h)


def test_heads_of_the_encoder_are_no_hidden_layers_and_shared_modules_are_listed_twice() -> None:
    model = VAE()
    found = (*find(model, lambda x: model.encode(x)[0], "encoder"), *find(model, model.decode))
    assert [(site.name, site.reason) for site in found] == [
        ("encoder:trunk", "followed by an activation"),
        ("encoder:act", "activation"),
        ("encoder:mean", "output head"),
        ("encoder:log_var", "output head"),
        ("decoder:wide", "followed by an activation"),
        ("decoder:act", "activation"),
        ("decoder:unread[0]", NOT_FIRST),
        ("decoder:unread[1]", NOT_FIRST),
        ("decoder:out", "output head"),
    ]


def test_model_is_left_as_it_was_also_by_an_error() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    all_sites(Half("decoder", model, model), ROWS)

    def failing(z: Tensor) -> Tensor:
        model(z)
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        all_sites(Half("decoder", model, failing), ROWS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_error_that_the_model_catches_does_not_upset_the_list() -> None:
    class Picky(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            raise ValueError("not today")

    class Tolerant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.picky, self.first, self.out = Picky(), nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, z: Tensor) -> Tensor:
            try:
                z = self.picky(z)
            except ValueError:
                z = z + 1
            return self.out(self.first(z))

    assert [site.site.name for site in find(nn.Sequential(Tolerant(), nn.ReLU()))] == ["0.first", "0.out", "1"]


def test_one_row_is_enough_and_torchscript_has_none() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    half = Half("decoder", model, model)
    assert all_sites(half, ROWS[:1]) == all_sites(half, ROWS)
    assert all_sites(Half("decoder", torch.jit.trace(model, ROWS), model), ROWS) == ()


def test_scripted_part_is_one_leaf() -> None:
    inner = torch.jit.trace(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), ROWS)
    found = find(nn.Sequential(OrderedDict(inner=inner, out=nn.Linear(5, 3))))
    assert [(site.site.name, site.shape) for site in found] == [("inner", (5,)), ("out", (3,))]
