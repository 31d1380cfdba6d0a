"""Which adapter takes an object: by class name, the most derived first; other packages' by entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.models import ModelSpec
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.types import Posterior, Recognition

LIBRARY = """
from torch import nn
class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.p = nn.Linear(4, 4), nn.Linear(2, 4)
    def encode(self, x):
        return self.q(x).chunk(2, dim=1)
    def decode(self, z):
        return self.p(z)
class Derived(Base): pass
class Plain:
    nets = Base()
"""
ADAPTERS = """
import dataclasses
import circuitprobe as cp
from circuitprobe.types import Recognition
def adapt(name):
    def run(obj):
        model = obj if hasattr(obj, "q") else obj.nets
        return cp.ProbedVAE(model, lambda m, x: m.encode(x), lambda m, z: m.decode(z), Recognition(name, name, ""), name,
                            order=("mean", "log_var"))
    return run
BASE = cp.Adapter("base", ("lib_{n}.Base", "lib_{n}.Plain"), adapt("base"), library="torch")
DERIVED = cp.Adapter("derived", ("lib_{n}.Derived",), adapt("derived"))
SAME = cp.Adapter("same", ("lib_{n}.Base",), adapt("same"))
FAILS = cp.Adapter("fails", ("lib_{n}.Base",), lambda obj: obj.nothing)
NOTHING = cp.Adapter("nothing", ("lib_{n}.Base",), lambda obj: None)
TEXT = "no adapter"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``installed(package="entry")``: a library, its adapters and the packages that register them; gives the library."""
    monkeypatch.syspath_prepend(str(tmp_path))
    number = f"{abs(hash(str(tmp_path))):x}"
    (tmp_path / f"lib_{number}.py").write_text(LIBRARY)
    (tmp_path / f"their_{number}.py").write_text(ADAPTERS.replace("{n}", number))

    def install(**packages: str) -> Any:
        for package, entry in packages.items():
            folder = tmp_path / f"{package}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            value = entry if ":" in entry else f"their_{number}:{entry}"
            (folder / "entry_points.txt").write_text(f"[circuitprobe.adapters]\nmine = {value}\n")
        return __import__(f"lib_{number}")

    return install


def test_an_installed_package_adapts_its_models(installed: Callable[..., Any]) -> None:
    lib = installed(their_package="BASE")
    vae = cp.wrap(lib.Base())
    assert vae.recognition.encode == "base"
    (told,) = vae.recognition.evidence
    assert told.startswith("adapter base: lib_")
    assert told.endswith(f"Base of torch {torch.__version__}")
    settled = vae.resolved(torch.randn(5, 4))
    assert settled.recognition.evidence[0] == told
    assert settled.resolved(torch.randn(5, 4)).recognition.evidence.count(told) == 1


def test_an_object_need_not_be_a_module(installed: Callable[..., Any]) -> None:
    lib = installed(their_package="BASE")
    vae = cp.wrap(lib.Plain())
    assert vae.model is lib.Plain.nets
    report = cp.audit(lib.Plain(), torch.randn(40, 4), levels=(2,), resamples=20, permutations=20)
    assert report.model.evidence[0].startswith("adapter base")


def test_the_most_derived_class_wins(installed: Callable[..., Any]) -> None:
    lib = installed(one="BASE", two="DERIVED")
    assert cp.wrap(lib.Derived()).recognition.encode == "derived"
    assert cp.wrap(lib.Base()).recognition.encode == "base"

    class Mine(lib.Derived):  # type: ignore[misc, name-defined]
        """Two steps below the class that an adapter names."""

    assert cp.wrap(Mine()).recognition.encode == "derived"


def test_two_adapters_of_one_class_are_both_named(installed: Callable[..., Any]) -> None:
    lib = installed(one="BASE", two="SAME")
    with pytest.raises(ModelError, match=r"base \(package one\) and same \(package two\)|same .* and base"):
        cp.wrap(lib.Base())


@pytest.mark.parametrize(
    ("entry", "said"),
    [("nowhere:ADAPTER", "nowhere"), ("TEXT", "is a str, no Adapter"), ("GONE", "has no attribute 'GONE'")],
)
def test_a_broken_entry_point_is_told_by_its_package(installed: Callable[..., Any], entry: str, said: str) -> None:
    lib = installed(broken_package=entry)
    with pytest.raises(ModelError, match=said) as caught:
        cp.wrap(lib.Base())
    assert "'mine' of the installed package broken_package" in str(caught.value)
    assert "pip uninstall broken_package" in caught.value.fix


def test_a_broken_entry_point_does_not_stop_another_adapter_and_is_still_told(installed: Callable[..., Any]) -> None:
    lib = installed(broken_package="GONE", sound="BASE")
    assert any("broken_package cannot be loaded" in line for line in cp.wrap(lib.Base()).recognition.evidence)


def test_a_broken_entry_point_does_not_stop_what_the_caller_says(installed: Callable[..., Any]) -> None:
    lib = installed(broken_package="GONE")
    model = lib.Base()
    assert cp.wrap(model, encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z)).model is model
    assert cp.wrap(model, spec=ModelSpec(encode="encode", decode="decode")).recognition.encode == "encode"


@pytest.mark.parametrize(("entry", "said"), [("FAILS", "has no attribute 'nothing'"), ("NOTHING", "gave a NoneType")])
def test_an_adapter_that_fails_is_told(installed: Callable[..., Any], entry: str, said: str) -> None:
    lib = installed(their_package=entry)
    with pytest.raises(ModelError, match=said) as caught:
        cp.wrap(lib.Base())
    assert "of their_package failed on lib_" in caught.value.seen


def test_what_the_caller_says_wins(installed: Callable[..., Any]) -> None:
    lib = installed(their_package="BASE")
    model = lib.Base()
    vae = cp.wrap(model, encode=lambda m, x: Posterior(m.encode(x)[0], None), decode=lambda m, z: m.decode(z))
    assert vae.encode(torch.randn(3, 4)).log_var is None
    by_spec = cp.wrap(model, spec=ModelSpec(posterior=("mean", "ignore")))
    assert by_spec.encode(torch.randn(3, 4)).log_var is None
    only_output = cp.wrap(model, spec=ModelSpec(output="logits", input_width=4))
    assert (only_output.recognition.encode, only_output.output, only_output.input_width) == ("base", "logits", 4)


def test_a_module_without_adapter_goes_by_its_names_and_other_things_keep_their_error() -> None:
    class Mine(nn.Module):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, :1], x[:, :1] - 9

        def decode(self, z: Tensor) -> Tensor:
            return z.repeat(1, 2)

    assert cp.wrap(Mine()).recognition.encode == "encode"
    with pytest.raises(UsageError, match="given dict"):
        cp.wrap({})


def test_no_library_is_imported_for_its_adapter() -> None:
    import subprocess

    code = (
        "import sys, torch, circuitprobe as cp\n"
        "class M(torch.nn.Module):\n"
        "    def encode(self, x): return x, x\n"
        "    def decode(self, z): return z\n"
        "cp.wrap(M())\n"
        "print([n for n in ('pythae', 'ctgan', 'diffusers', 'scvi', 'synthcity', 'sklearn') if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_sdv_is_refused_by_its_name_with_what_to_type() -> None:
    synthesizer = type("TVAESynthesizer", (), {"__module__": "sdv.single_table.ctgan"})
    with pytest.raises(ModelError, match="SDV's wrapper") as caught:
        cp.wrap(synthesizer())
    assert "synthesizer.preprocess" in caught.value.fix


def test_our_own_models_have_an_adapter(checkpoint: Path) -> None:
    vae = cp.load(checkpoint)
    assert vae.recognition.evidence[0].startswith("adapter reference models: circuitprobe.reference_models")
    assert (vae.output, vae.input_width, vae.target) == ("probabilities", 7, "label")
    assert isinstance(vae.recognition, Recognition)
