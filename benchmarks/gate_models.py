"""What the gate is tried on: reference models, their rows in disjoint samples, and what is done to a model's latents."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.adapters.benchmarks import benchmark, benchmark_schema
from circuitprobe.adapters.data import apply_encoding, read_table
from circuitprobe.adapters.models import fresh_twin
from circuitprobe.exporting import export
from circuitprobe.gate.snapshot import Snapshot, snapshot_of
from circuitprobe.reference_models.architectures import TableVAE
from circuitprobe.reference_models.objectives import draw_codes, elbo_terms

ROWS = 2048
EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS, BATCH, RATE = 300, 256, 3e-4
"""Of a night's training: it starts from the weights of the night before."""

Change = Callable[[TableVAE], None]


@dataclass(frozen=True)
class Subject:
    """A trained model with the table that it is audited on.

    Attributes:
        name: for the report.
        vae: the wrapped model.
        table: the benchmark's name.
    """

    name: str
    vae: cp.ProbedVAE
    table: str

    def __hash__(self) -> int:
        return hash((self.name, self.table))

    def samples(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Two samples that share no row, 2,048 each or half of a small table."""
        frame = whole(self.table)
        order = np.random.default_rng([seed, 77]).permutation(len(frame))
        size = min(ROWS, len(frame) // 2)
        return frame.iloc[order[:size]].sort_index(), frame.iloc[order[size : 2 * size]].sort_index()

    def changed(self, *changes: Change) -> cp.ProbedVAE:
        """The model with its weights changed; the original stays."""
        network = cast("TableVAE", copy.deepcopy(self.vae.model))
        with torch.no_grad():
            for change in changes:
                change(network)
        return replace(self.vae, model=network.eval())

    def audit(self, rows: pd.DataFrame, vae: cp.ProbedVAE | None = None, seed: int = 0) -> Snapshot:
        """Level 2 of the model, or of another, on some rows; groups are the benchmark's."""
        known = benchmark(self.table)
        groups = {group.name: group.features for group in known.groups}
        report = cp.audit(
            vae or self.vae, rows, target=known.target, schema=benchmark_schema(self.table), groups=groups, rows=len(rows),
            seed=seed, levels=(2,), twin=False,
        )  # fmt: skip
        return snapshot_of(report)


@cache
def whole(table: str) -> pd.DataFrame:
    """All rows of a benchmark table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{table}.csv"
        export(table, path)
        return pd.read_csv(path)


def shuffled(seed: int) -> Change:
    """Permute the latents and flip half of them: the same function of a row, other names and signs."""

    def change(network: TableVAE) -> None:
        rng = np.random.default_rng([seed, 78])
        order = torch.as_tensor(rng.permutation(network.config.latents))
        sign = torch.as_tensor(rng.choice([-1.0, 1.0], network.config.latents), dtype=torch.float32)
        first = cast("torch.nn.Linear", network.decoder[0])
        for layer, signs in ((network.mean, sign), (network.log_var, torch.ones_like(sign))):
            layer.weight[:] = (signs[:, None] * layer.weight)[order]
            layer.bias[:] = (signs * layer.bias)[order]
        first.weight[:] = (first.weight * sign)[:, order]

    return change


def shrunk(latent: int) -> Change:
    """Halve the decoder's weights of one latent."""

    def change(network: TableVAE) -> None:
        cast("torch.nn.Linear", network.decoder[0]).weight[:, latent] *= 0.5

    return change


def collapsed(latent: int) -> Change:
    """One latent's posterior is the prior for every row, as after posterior collapse."""

    def change(network: TableVAE) -> None:
        for layer in (network.mean, network.log_var):
            layer.weight[latent] = 0.0
            layer.bias[latent] = 0.0

    return change


def ignored(latent: int) -> Change:
    """Posterior collapse whose decoder has stopped listening too."""

    def change(network: TableVAE) -> None:
        collapsed(latent)(network)
        cast("torch.nn.Linear", network.decoder[0]).weight[:, latent] = 0.0

    return change


@cache
def encoded(subject: Subject) -> Tensor:
    """All rows of a subject's table in its model's space."""
    assert subject.vae.encoding is not None
    table = read_table(subject.table, schema=benchmark_schema(subject.table))
    return torch.as_tensor(apply_encoding(table, subject.vae.encoding)[0], dtype=torch.float32)


def retrained(subject: Subject, seed: int) -> Change:
    """Another night: Adam on the ELBO from the weights as they are, on a bootstrap sample of the table."""

    def change(network: TableVAE) -> None:
        every = encoded(subject)
        x = every[np.random.default_rng([seed, 79]).integers(0, len(every), len(every))]
        noise = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        with torch.enable_grad():
            for _ in range(STEPS):
                batch = x[torch.randint(len(x), (BATCH,), generator=noise)]
                codes = draw_codes(network, batch, torch.randn(len(batch), network.config.latents, generator=noise))
                terms = elbo_terms(network, batch, codes)
                optimiser.zero_grad()
                (terms.reconstruction + terms.kl).backward()
                optimiser.step()

    return change


def rotated(subject: Subject, first: int, second: int, degrees: float = 45.0) -> cp.ProbedVAE:
    """Two latents mixed: the codes are turned in their plane, and turned back before the decoder."""
    angle = np.deg2rad(degrees)
    turn = torch.eye(subject.vae.model.config.latents)  # type: ignore[union-attr,arg-type]
    turn[[first, first, second, second], [first, second, first, second]] = torch.tensor(
        [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], dtype=torch.float32
    )

    def encode(network: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = cast("TableVAE", network).encode(x)
        # the posterior's covariance turned, without what lies off its diagonal
        return mean @ turn.T, (log_var.exp() @ (turn**2).T).log()

    def decode(network: torch.nn.Module, z: Tensor) -> Tensor:
        return cast("TableVAE", network).decode(z @ turn)

    return replace(subject.vae, run_encoder=encode, run_decoder=decode)


def untrained(subject: Subject, seed: int) -> cp.ProbedVAE:
    """The architecture with fresh weights."""
    twin, how = fresh_twin(subject.vae, seed)
    assert twin is not None, how
    return twin


def subjects(folder: Path, tables: tuple[str, ...]) -> list[Subject]:
    """The examples on Adult, and a VAE trained for the default budget on each other table, in a folder that keeps it."""
    found = []
    for table in tables:
        paths = sorted(EXAMPLES.glob("adult_*.pt")) if table == "adult" else [folder / f"{table}_vae.pt"]
        if table != "adult" and not paths[0].exists():
            cp.train(table, out=paths[0])
        found += [Subject(path.stem, cp.load(path), table) for path in paths]
    return found
