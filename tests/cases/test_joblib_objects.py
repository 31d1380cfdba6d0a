"""A network in an attribute of a saved object, by joblib, pickle or torch.save: said truly to be that, and audited with trust."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import circuitprobe as cp
from circuitprobe.cli import app
from circuitprobe.errors import ModelError
from circuitprobe.shell import guarded

NETS = """
import torch
from torch import nn


class TableNet(nn.Module):
    def __init__(self, width, latents):
        super().__init__()
        self.encoder = nn.Linear(width, 2 * latents)
        self.decoder = nn.Linear(latents, width)

    def encode(self, x):
        return self.encoder(x).chunk(2, 1)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mean, log_var = self.encode(x)
        return self.decode(mean + torch.randn_like(mean) * (0.5 * log_var).exp()), mean, log_var
"""
OWNERS = """
from collections import namedtuple
from dataclasses import dataclass

import numpy


class Scorer:
    def __init__(self, **parts):
        self.limits = numpy.arange(1234.0)
        self.names = numpy.array(["a", "bc", None], dtype=object)
        self.__dict__.update(parts)

    def fit(self, x):
        return self

    @property
    def danger(self):
        raise RuntimeError("no property is to be run")


@dataclass
class Settings:
    rate: float
    net: object


class Slotted:
    __slots__ = ("_net", "empty")

    def __init__(self, net):
        self._net = net


Pair = namedtuple("Pair", "score net")
"""


@dataclass(frozen=True)
class Classes:
    nets: ModuleType
    owners: ModuleType

    def net(self) -> torch.nn.Module:
        torch.manual_seed(1)
        return self.nets.TableNet(5, 2).eval()  # type: ignore[no-any-return]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classes:
    """The user's two files, imported as their script does; nothing of them stays importable."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    found = []
    for name, text in (("table_nets", NETS), ("table_owners", OWNERS)):
        (tmp_path / "code" / f"{name}.py").write_text(text)
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(text, module.__dict__)  # noqa: S102 - the text above
        found.append(module)
    rows = np.random.default_rng(3).normal(size=(120, 5))
    pd.DataFrame(rows, columns=list("abcde")).to_csv("rows.csv", index=False)
    return Classes(*found)


@dataclass(frozen=True)
class Outcome:
    code: int
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``command("audit", model, data)``: the real parser, exit codes and streams, in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["circuitprobe", *map(str, arguments)])
        code = guarded(app)
        return Outcome(code, capsys.readouterr().err)

    return run


IMPORTS = ("--import", "code/table_nets.py", "--import", "code/table_owners.py")
WRITERS: dict[str, Callable[[Any, Path], object]] = {
    "joblib": joblib.dump,
    **{f"joblib {z}": lambda o, p, z=z: joblib.dump(o, p, compress=(z, 3)) for z in ("zlib", "gzip", "bz2", "xz", "lzma")},
    **{f"joblib, protocol {n}": lambda o, p, n=n: joblib.dump(o, p, protocol=n) for n in (0, 2, 5)},
    **{f"pickle {n}": lambda o, p, n=n: p.write_bytes(pickle.dumps(o, protocol=n)) for n in (0, 2, 4, 5)},
    "torch": torch.save,
    "torch, older": lambda o, p: torch.save(o, p, _use_new_zipfile_serialization=False),
}  # fmt: skip


@pytest.mark.parametrize("way", WRITERS)
def test_it_is_refused_truly_and_audited_with_trust(
    command: Callable[..., Any], made: Classes, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    WRITERS[way](made.owners.Scorer(network=made.net()), Path("scorer.bin"))
    for name in ("table_nets", "table_owners"):
        monkeypatch.delitem(sys.modules, name)
    refused = command("audit", "scorer.bin", "rows.csv")
    assert refused.code == 2
    assert "damaged" not in refused.err
    assert ("is a joblib pickle" if "joblib" in way else "is a pickle") in refused.err
    compressed = way.removeprefix("joblib ").replace("bz2", "bzip2")
    if way.startswith("joblib "):
        assert f"compressed by {compressed}" in refused.err
    assert "table_owners.Scorer" in refused.err
    assert "circuitprobe audit scorer.bin DATA --trust" in refused.err
    done = command("audit", "scorer.bin", "rows.csv", "--trust", *IMPORTS, "--levels", "2", "--json", "a.json")
    assert done.code == 0, done.err
    assert json.loads(Path("a.json").read_text())["model"]["source"] == "scorer.bin (attribute network of Scorer)"


def placed(classes: Classes) -> dict[str, tuple[object, str]]:
    """Objects with a network, and where it is."""
    owners, net = classes.owners, classes.net
    critic = torch.nn.Linear(3, 1)
    one = net()
    return {
        "deeper": (owners.Scorer(inner=owners.Scorer(parts={"vae": net()})), "inner.parts.vae"),
        "data class": (owners.Settings(0.1, net()), "net"),
        "slots": (owners.Slotted(net()), "_net"),
        "named tuple": (owners.Pair(0.5, net()), "net"),
        "pipeline": (Pipeline([("scale", StandardScaler()), ("score", owners.Scorer(net=net()))]), "steps.score.net"),
        "dictionary": ({"best": owners.Scorer(net=net()), "epoch": 3}, "best.net"),
        "list": ([np.ones(4), owners.Scorer(net=net())], "1.net"),
        "loss as well": (owners.Scorer(loss=torch.nn.MSELoss(), net=net()), "net"),
        "the same twice": (owners.Scorer(net=one, best=one, encoder=one.encoder), "net"),
        "in parallel": (owners.Scorer(net=torch.nn.DataParallel(net())), "net"),
        "optimizer as well": (owners.Scorer(net=one, steps=torch.optim.Adam(one.parameters())), "net"),
        "several": (owners.Scorer(critic=critic, net=one), "critic (Linear), net (TableNet)"),
        "none": (owners.Scorer(), ""),
    }


PLACES = (
    "deeper", "data class", "slots", "named tuple", "pipeline", "dictionary", "list", "loss as well", "the same twice",
    "in parallel", "optimizer as well",
)  # fmt: skip


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.parametrize("way", ["joblib", "pickle 4", "torch"])
def test_where_the_network_may_be(made: Classes, case: str, way: str) -> None:
    content, place = placed(made)[case]
    WRITERS[way](content, Path("m.bin"))
    vae = cp.load("m.bin", trust=True)
    assert type(vae.model).__name__ == "TableNet"
    assert place in vae.source
    assert type(cp.load("m.bin", trust=True, entry=place).model).__name__ == "TableNet"


def test_several_are_named_and_one_is_picked(made: Classes) -> None:
    joblib.dump(placed(made)["several"][0], "m.bin")
    with pytest.raises(
        ModelError, match=r"2 models in attributes of a table_owners Scorer: critic \(Linear\), net \(TableNet\)"
    ) as caught:
        cp.load("m.bin", trust=True)
    assert "--entry critic" in caught.value.fix
    vae = cp.load("m.bin", trust=True, entry="net")
    assert (type(vae.model).__name__, vae.source) == ("TableNet", "m.bin (attribute net of Scorer)")
    with pytest.raises(ModelError, match="has no model 'other'"):
        cp.load("m.bin", trust=True, entry="other")


def test_an_object_without_one_is_named(made: Classes) -> None:
    joblib.dump(placed(made)["none"][0], "m.bin")
    with pytest.raises(ModelError, match="holds a table_owners Scorer, not a model"):
        cp.load("m.bin", trust=True)


@pytest.mark.parametrize("way", ["joblib", "joblib zlib", "pickle 4", "torch"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_what_breaks_off_is_still_said_to(made: Classes, way: str, share: float) -> None:
    WRITERS[way](made.owners.Scorer(net=made.net()), Path("m.bin"))
    content = Path("m.bin").read_bytes()
    Path("m.bin").write_bytes(content[: int(len(content) * share)])
    for trust in (False, True):
        with pytest.raises(ModelError, match="damaged or cut off"):
            cp.load("m.bin", trust=trust)


class Opens:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("canary", "w")


@pytest.mark.parametrize(
    "way", ["joblib", "joblib zlib", "joblib gzip", "joblib bz2", "joblib xz", "joblib, protocol 0"]
)
@pytest.mark.parametrize("content", [[Opens(), np.ones(3)], [np.ones(3), Opens()], [np.array([Opens()], dtype=object)]])
def test_nothing_in_it_runs_and_it_is_named(
    command: Callable[..., Any], made: Classes, way: str, content: object
) -> None:
    WRITERS[way](content, Path("m.bin"))
    done = command("audit", "m.bin", "rows.csv")
    assert done.code == 2
    assert "io.open" in done.err
    assert not Path("canary").exists()
    command("audit", "m.bin", "rows.csv", "--trust")
    assert Path("canary").exists()


def test_what_inflates_without_end_is_not_followed(made: Classes) -> None:
    """A gibibyte of zeros in a mebibyte."""
    import zlib

    packer = zlib.compressobj()
    with Path("m.bin").open("wb") as out:
        out.write(packer.compress(b"\x80\x04B" + (2**30).to_bytes(4, "little")))
        for _ in range(1024):
            out.write(packer.compress(bytes(2**20)))
        out.write(packer.compress(b".") + packer.flush())
    with pytest.raises(ModelError, match="inflates to more than"):
        cp.load("m.bin")
