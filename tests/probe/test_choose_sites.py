"""Picking sites by name and by pattern."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from circuitprobe.errors import UsageError
from circuitprobe.probe.half import Half
from circuitprobe.probe.sites import FoundSite, all_sites, choose_sites
from circuitprobe.types import Site

ROWS = torch.linspace(-1.0, 1.0, 20).reshape(5, 4)
NOT_FIRST = "rows are not the first axis"


class VAE(nn.Module):
    """``act`` runs in both halves; the rows of ``memory`` are on its second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.act = nn.Linear(4, 5), nn.ReLU()
        self.mean, self.log_var = nn.Linear(5, 4), nn.Linear(5, 4)
        self.wide, self.memory, self.out = nn.Linear(4, 5), nn.GRU(5, 6), nn.Linear(6, 4)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.act(self.trunk(x))
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.out(self.memory(self.act(self.wide(z))[None])[0][0])


def both_halves() -> tuple[FoundSite, ...]:
    model = VAE()
    halves = Half("encoder", model, lambda x: model.encode(x)[0]), Half("decoder", model, model.decode)
    return tuple(site for half in halves for site in all_sites(half, ROWS))


def recurrent() -> tuple[FoundSite, ...]:
    model = nn.Sequential(OrderedDict(rnn=nn.LSTM(4, 5, batch_first=True)))
    return all_sites(Half("decoder", model, lambda z: model(z[:, None])[0][:, 0]), ROWS)


def chosen(globs: list[str] | None) -> list[str]:
    return [site.name for site in choose_sites(both_halves(), globs)]


def test_choice_by_name_and_by_pattern() -> None:
    assert chosen(None) == ["encoder:act", "decoder:act"]
    assert chosen(["act"]) == ["encoder:act", "decoder:act"]
    assert chosen(["decoder:act"]) == ["decoder:act"]
    assert chosen(["out", "encoder:*", "mean"]) == [
        "encoder:trunk", "encoder:act", "encoder:mean", "encoder:log_var", "decoder:out",
    ]  # fmt: skip
    # what a pattern finds and cannot be audited is left out
    assert chosen(["decoder:*"]) == ["decoder:wide", "decoder:act", "decoder:out"]
    assert chosen(["*"]) == [site.name for site in both_halves() if site.auditable]
    assert chosen(["[mo]*"]) == ["encoder:mean", "decoder:out"]
    assert chosen([]) == []
    assert [site.name for site in choose_sites(both_halves(), "trunk")] == ["encoder:trunk"]  # one name on its own


def test_brackets_in_a_name_stand_for_themselves() -> None:
    found = recurrent()
    assert [site.site.name for site in choose_sites(found, ["rnn[0]"])] == ["rnn[0]"]
    assert [site.site.name for site in choose_sites(found, ["*[0]"])] == ["rnn[0]"]


def test_patterns_that_find_nothing_name_what_is_near() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(["trank"])
    assert caught.value.seen == "no site matches 'trank'"
    assert "'trunk'" in caught.value.expected
    assert "circuitprobe inspect MODEL DATA" in caught.value.fix
    with pytest.raises(UsageError, match=r"did you mean 'encoder:trunk' or "):
        chosen(["act", "encoder:trunck"])
    found = all_sites(
        Half("decoder", model := nn.Sequential(OrderedDict(part=nn.Sequential(nn.Linear(4, 3)))), model), ROWS
    )
    with pytest.raises(UsageError, match=r"did you mean 'part\.\*'\?"):
        choose_sites(found, ["part"])
    with pytest.raises(UsageError, match="modules run hooks"):
        choose_sites((), ["act"])


def test_sites_that_cannot_be_audited_are_refused_with_the_reason() -> None:
    for glob in ("memory[0]", "decoder:memory[1]", "memory*"):
        with pytest.raises(UsageError, match=r"decoder:memory\[[01]\] \(GRU\): rows are not the first axis"):
            chosen([glob])
    states = recurrent()
    with pytest.raises(UsageError, match=r"such as 'rnn\[0\]'"):
        choose_sites(states, ["rnn[1][0]"])


def test_a_name_that_stands_for_a_site_of_each_half_needs_both() -> None:
    good = FoundSite(Site("act", units=5), "encoder", "ReLU", (5,), is_default=True, reason="activation")
    bad = FoundSite(Site("act", units=5), "decoder", "ReLU", (7, 5), is_default=False, reason=NOT_FIRST)
    assert choose_sites((good, bad), ["encoder:act"]) == (good,)
    assert choose_sites((good, bad), ["a*"]) == (good,)
    with pytest.raises(UsageError, match="decoder:act"):
        choose_sites((good, bad), ["act"])
