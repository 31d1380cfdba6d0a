"""nnsight changes the interpreter and the model when it is imported and used: both are as before when a trace ends."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from circuitprobe.adapters.models.tracing import contained, nnsight_model
from circuitprobe.errors import ModelError
from circuitprobe.probe.half import Half
from circuitprobe.probe.nnsight_backend import NnsightBackend


def run_python(code: str, *, stdin: bool = False) -> None:
    command = [sys.executable, "-"] if stdin else [sys.executable, "-c", code]
    done = subprocess.run(command, input=code if stdin else None, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SETTING = """
import builtins, sys, threading, warnings
import torch
from torch import nn
from circuitprobe.probe.half import Half
from circuitprobe.adapters.models.tracing import contained, nnsight_model
from circuitprobe.probe.nnsight_backend import NnsightBackend
from circuitprobe.types import Site

x, site = torch.randn(5, 3), Site("0")
model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

def half(run=None): return Half("decoder", model, run or model)

def audit():
    output, read = NnsightBackend().patched(half(), x, {site: torch.ones(5, 4)}, [site])
    assert torch.equal(output, model[2](torch.ones(5, 4))) and torch.equal(read[site], torch.ones(5, 4))

def debugger(*_): return debugger

def picture():
    places = [object, int, str, list, dict, torch.Tensor, nn.Module, nn.Parameter, builtins, threading]
    places += [torch.nn.modules.module, *model.modules()]
    hooks = [sys.excepthook, sys.unraisablehook, sys.displayhook, sys.breakpointhook, sys.gettrace(), sys.getprofile()]
    names = [name for name in sys.modules if name.split(".")[0] == "nnsight"]
    filters = (list(warnings.filters), warnings.showwarning)
    return [dict(vars(place)) for place in places], hooks, names, filters, torch.get_rng_state().tolist(), list(sys.path)

def own_trace(wrapped, module):
    with wrapped.trace(x):
        hidden = wrapped[0].output.save()
        total = wrapped[2].output.sum()
        with total.backward():
            gradient = hidden.grad.save()
    assert torch.equal(hidden, module[0](x)) and gradient.shape == (5, 4)
"""

CLEAN = """
before = picture()
audit()
assert picture() == before
for error in (ValueError, KeyboardInterrupt):
    def failing(z):
        model[0](z)
        raise error
    try:
        NnsightBackend().capture(half(failing), x, [site])
    except error:
        pass
    assert picture() == before
try:
    with contained():
        raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
assert picture() == before and not hasattr(1, "save")
"""

TRACED = """
sys.settrace(debugger)
audit()
assert sys.gettrace() is debugger
sys.settrace(None)
with contained(): sys.settrace(debugger)  # as an interrupt in the middle of a with statement would leave it
assert sys.gettrace() is None
other = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
before = picture()
with contained() as nnsight:
    with contained() as again:
        assert again is nnsight is sys.modules["nnsight"] and hasattr(1, "save")
        audit()
    own_trace(nnsight.NNsight(other), other)
assert picture() == before
"""

USER_LATER = """
import nnsight
assert hasattr(1, "save")
own_trace(nnsight.NNsight(model), model)
audit()
own_trace(nnsight.NNsight(model), model)
"""

USER_FIRST = """
import nnsight
wrapped = nnsight.NNsight(model)
own_trace(wrapped, model)
before = picture()
routes = [vars(module)["__nnsight__"].routes for module in model.modules()]
audit()
with contained() as used:
    assert used is nnsight
assert picture() == before
assert all(vars(module)["__nnsight__"].routes is kept for module, kept in zip(model.modules(), routes))
own_trace(wrapped, model)
"""

PROPERTY = """
audit()
wrapped = nnsight_model(model)
own_trace(wrapped, model)
other = nn.Linear(2, 2)
before = picture()
audit()
with contained():
    nnsight_model(other)
assert picture() == before
own_trace(wrapped, model)
assert type(wrapped) is sys.modules["nnsight"].NNsight
"""

INSIDE = """
with contained():
    wrapped = nnsight_model(model)
own_trace(wrapped, model)
assert type(wrapped) is sys.modules["nnsight"].NNsight
"""


def test_the_interpreter_is_as_before_and_the_users_later_import_works() -> None:
    run_python(SETTING + CLEAN + TRACED + USER_LATER)


@pytest.mark.parametrize("story", [USER_FIRST, PROPERTY, INSIDE], ids=["import", "property", "property, contained"])
def test_nnsight_that_the_user_has_imported_keeps_working(story: str) -> None:
    run_python(SETTING + story)


def test_works_for_callers_without_source_text() -> None:
    run_python(SETTING + CLEAN, stdin=True)


def test_threads_share_one_containment() -> None:
    present, inside, leave = "nnsight" in sys.modules, threading.Event(), threading.Event()

    def stay() -> None:
        with contained():
            inside.set()
            leave.wait(60)

    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(60)
    NnsightBackend().run(Half("decoder", model, model), torch.randn(5, 6))
    assert "nnsight" in sys.modules, "the first to leave must not take it from the other"
    leave.set()
    thread.join()
    assert ("nnsight" in sys.modules) is present


def test_the_wrapped_model_refuses_torchscript() -> None:
    with pytest.raises(ModelError, match="TorchScript"):
        nnsight_model(torch.jit.trace(nn.Linear(6, 3), torch.randn(2, 6)))
