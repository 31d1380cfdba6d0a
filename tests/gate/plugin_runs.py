"""Files of the runs of pytest within the tests of the plugin: models, tests that fail and what they show, a baseline."""

from __future__ import annotations

# a run within the tests forgets the modules that it imported first, and torch cannot register its parts twice
import torch._dynamo  # noqa: F401

MODELS = """
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
import circuitprobe as cp

OPTIONS = {"resamples": 60, "permutations": 20, "groups": {"ab": ["a", "b"], "cd": ["c", "d"]}}


class Linear(nn.Module):
    '''z0 is what a and b share, z1 what c and d share; the decoder gives shares of it back.'''

    def __init__(self, first=0.7, second=0.7):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.tensor(first)), nn.Parameter(torch.tensor(second))

    def encode(self, x):
        mean = torch.stack([x[:, 0] + x[:, 1], x[:, 2] + x[:, 3]], 1) / 2
        return mean, torch.full_like(mean, -3.0)

    def decode(self, z):
        a, c = z[:, :1] * self.first, z[:, 1:] * self.second
        return torch.cat([a, a, c, c], 1)


class Broken(Linear):
    def decode(self, z):
        raise RuntimeError("a line of the model")


def linear(first=0.7, second=0.7, kind=Linear):
    return cp.wrap(kind(first, second), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z))


def frame(rows=120):
    rng = np.random.default_rng(0)
    a, c = rng.normal(size=(2, rows))
    noise = 0.1 * rng.normal(size=(4, rows))
    x = np.stack([a, a, c, c]) + noise
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    return pd.DataFrame(x.T, columns=list("abcd"))
"""


FAILING = """
import pytest
from circuitprobe import assert_no_regression
from models import OPTIONS, Broken, frame, linear

MODEL, FRAME, BROKEN = linear(), frame(), linear(kind=Broken)

@pytest.fixture
def audit(circuitprobe_audit):
    return circuitprobe_audit(MODEL, FRAME, **OPTIONS)

def test_at_least(audit):
    audit.ces["z0"].at_least(5)

def test_driver(audit):
    audit.latent_for("cd").ces.at_most(0.01)

def test_group(audit):
    audit.scores.completeness["ef"].at_least(0)

def test_latent(audit):
    audit.ces["z7"].at_least(0)

def test_feature(audit):
    audit.latent_for("e").ces.at_least(0)

def test_misspelt(audit):
    audit.scores.msee.at_least(0)

def test_limit(audit):
    audit.scores.mse.at_least(float("nan"))

def test_no_baseline(audit):
    assert_no_regression(audit, "none.json")

def test_no_data(circuitprobe_audit):
    circuitprobe_audit(MODEL, "none.csv", **OPTIONS)

def test_no_option(circuitprobe_audit):
    circuitprobe_audit(MODEL, FRAME, row=5)

def test_broken(circuitprobe_audit):
    circuitprobe_audit(BROKEN, FRAME, **OPTIONS)

def test_undecided(audit):
    audit.ces["z0"].at_least(audit.ces["z0"].value + 1e-6)
"""

LINES = {
    "at_least": [">*at_least(5)", "E*AssertionError: ces of z0 is 0.* [[]0.*, *[]]; demanded: at least 5"],
    "driver": [">*at_most(0.01)", "E*ces of z1 is * [[]*, *[]]; demanded: at most 0.01"],
    "group": ['>*completeness?"ef"?*', "E*the audit has no feature group 'ef'", "E*expected: one of ab, cd", "E*try:*"],
    "latent": ['>*ces?"z7"?*', "E*the audit has no latent 'z7'", "E*expected: one of z0, z1", "E*try:*"],
    "feature": ['>*latent_for("e")*', "E*no feature or feature group 'e'", "E*expected: one of a, b, c, d, ab, cd"],
    "misspelt": [">*scores.msee*", "E*a model has no 'msee'; there are *did you mean 'mse'?"],
    "limit": [">*at_least(float*", "E*at_least(nan)", "E*expected: a finite number"],
    "no_baseline": [">*none.json*", "E*there is no baseline none.json in *", "E*try:*pytest --circuitprobe-update"],
    "no_data": [">*none.csv*", "E*none.csv*", "E*expected:*", "E*try:*"],
    "no_option": [">*row=5*", "E*an audit has no option 'row'", "E*expected:*", "E*did you mean 'rows'*"],
    "broken": [
        '>*"a line of the model"*',
        "*direct cause*",
        ">*BROKEN, FRAME*",
        "E*a line of the model*",
        "E*expected:*",
    ],
}


UPDATED = """
import os
import pytest
from circuitprobe import Drop, Gate, assert_no_regression
from models import OPTIONS, linear, frame

MODEL = linear(second=float(os.environ.get("SECOND", "0.7")))
FRAME = frame()
if os.environ.get("RENAME"):
    FRAME = FRAME.rename(columns={"a": "e"})
    OPTIONS = {**OPTIONS, "groups": {"ab": ["e", "b"], "cd": ["c", "d"]}}
GATES = (Gate("ces", latent="*", max_drop=Drop(0.2, relative=True)),)

def test_it(circuitprobe_audit):
    assert_no_regression(circuitprobe_audit(MODEL, FRAME, **OPTIONS), "baseline.json", gates=GATES)

def test_nothing():
    pass
"""
