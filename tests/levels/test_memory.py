"""Peak memory stays under ``memory`` plus the model and the data."""

from __future__ import annotations

import subprocess
import sys

import pytest

AUDIT = """
import resource
import numpy as np, torch
from torch import nn
import circuitprobe as cp

torch.set_num_threads(1)
torch.manual_seed(0)

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.mu, self.log_var = nn.Linear(16, 3), nn.Linear(16, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 4096), nn.ReLU(), nn.Linear(4096, 32), nn.ReLU(), nn.Linear(32, 8))
    def encode(self, x):
        h = self.trunk(x)
        return self.mu(h), self.log_var(h) - 2
    def reparameterize(self, mean, log_var):
        return mean + torch.randn_like(mean) * torch.exp(log_var / 2)
    def decode(self, z):
        return self.decoder(z)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

model, x = Wide(), np.random.default_rng(0).normal(size=(1024, 8))
# whatever is imported on the way is imported before the measurement
cp.audit(model, x[:40], resamples=10, permutations=10, patch_rows=4, patch_units=4, sites="decoder.3", twin=False)
before = peak()
report = cp.audit(model, x, memory=MEMORY, patch_rows=PATCHED, sources=1, twin=False)
site = next(site for site in report.activations.sites if site.name == "decoder.1")
print(peak() - before, site.units, len(site.effects), report.paths.decoder[0].circuits[0].units_measured)
"""


@pytest.mark.slow
def test_a_layer_of_4096_units() -> None:
    """1,024 rows: activations of the layer take 16 MiB, changes of its units 4 GiB if they were kept per feature."""
    memory = 256 * 2**20
    script = AUDIT.replace("MEMORY", str(memory)).replace("PATCHED", "16")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, units, listed, measured = map(int, done.stdout.split())
    assert units == measured == 4096
    assert listed > 2000
    assert grown < memory, f"grew by {grown / 2**20:.0f} MiB"


MAPS = """
import resource
import numpy as np, torch
from torch import nn
import circuitprobe as cp
from circuitprobe.types import Decode, Feature, FeatureKind

torch.set_num_threads(1)
torch.manual_seed(0)

class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.dec = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    def encode(self, x):
        mean, log_var = self.enc(x).chunk(2, 1)
        return mean, log_var
    def reparameterize(self, mean, log_var):
        return mean + torch.randn_like(mean) * torch.exp(log_var / 2)
    def decode(self, z):
        return self.dec(z)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

halves = [tuple(range(512)), tuple(range(512, 1024))]
features = [Feature(f"half{i}", FeatureKind.PIXEL, dims, Decode(dims)) for i, dims in enumerate(halves)]
model, x = Maps(), torch.rand(1024, 1, 32, 32)
given = dict(features=features, values=np.linspace(-1, 1, 8)[None].repeat(4, 0), patch_rows=8, twin=False)
cp.audit(model, x[:40], resamples=10, permutations=10, **given)
before = peak()
report = cp.audit(model, x, memory=MEMORY, **given)
print(peak() - before, report.model.code_columns, len(report.latents), len(report.not_run), report.latents[0].kl.value)
"""


@pytest.mark.slow
def test_a_code_of_4096_columns() -> None:
    """1,024 rows: mean and log-variance take 64 MiB in double precision, a covariance of the columns would take 128 MiB."""
    memory = 512 * 2**20
    script = MAPS.replace("MEMORY", str(memory))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown, columns, latents, left, kl = map(float, done.stdout.split())
    assert (columns, latents, left) == (4096, 4, 1)
    assert kl > 1
    assert grown < memory, f"grew by {grown / 2**20:.0f} MiB"
