"""Every reference architecture trained for its default budget on every benchmark table: does it reconstruct, what is active.

``python -m benchmarks.reference_models`` takes about ten minutes on 2 cores and writes REFERENCE_MODELS.md beside this file.
Figures are those of an audit of 2,048 rows: MSE of METHOD.md section 5 over that of predicting each column's mean or
frequencies, active latents, CES of the model, AUC of the target.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import circuitprobe as cp
from circuitprobe.adapters.benchmarks import BENCHMARKS, benchmark
from circuitprobe.reference_models import ARCHITECTURES
from circuitprobe.reference_models import train as train_model

BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Outcome:
    """One training and what an audit says of it."""

    table: str
    arch: str
    steps: int
    best_step: int
    seconds: float
    share: float
    active: int
    ces: float
    auc: float

    @property
    def row(self) -> str:
        """A line of the table."""
        return (
            f"| {self.table} | {self.arch} | {self.steps:,} ({self.best_step:,}) | {self.seconds:.0f} | {self.share:.3f} | "
            f"{self.active} | {self.ces:.3f} | {self.auc:.3f} |"
        )


def outcome(table: str, arch: str, folder: Path, seed: int = 0, **options: float) -> Outcome:
    """Train for the default budget, audit latents and reconstruction."""
    path = folder / f"{table}-{arch}.pt"
    began = time.perf_counter()
    trained = train_model(table, arch=arch, seed=seed, out=path, **options)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    report = cp.audit(
        path, table, target=benchmark(table).target, levels=(2,), twin=False, resamples=10, permutations=10
    )
    found = report.reconstruction
    assert found is not None
    assert found.mse.value is not None
    assert found.mse.null is not None
    assert report.scores is not None
    assert report.downstream is not None
    return Outcome(
        table, arch, trained.log[-1].step, trained.best_step, seconds, found.mse.value / found.mse.null,
        report.scores.active_latents, report.scores.ces.value or 0.0, report.downstream.auc.value or 0.0,
    )  # fmt: skip


def main() -> None:
    """Train, audit, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("REFERENCE_MODELS.md"))
    parser.add_argument("--tables", nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--archs", nargs="*", default=list(ARCHITECTURES))
    chosen = parser.parse_args()
    lines = [
        "# The reference models on the benchmark tables",
        "",
        "`python -m benchmarks.reference_models`: default budget, seed 0. Share: reconstruction MSE over that of predicting each",
        "column's mean or frequencies (1 = nothing learned). Steps: done (whose weights were kept).",
        "",
        "| table | architecture | steps | seconds | share of the column means' MSE | active latents of 10 | CES | AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for table in chosen.tables:
            for arch in chosen.archs:
                lines.append(outcome(table, arch, Path(folder)).row)
                print(lines[-1], flush=True)
        lines += [
            "",
            "beta-VAE on wine_quality as beta rises:",
            "",
            "| beta | share | active latents |",
            "|---|---|---|",
        ]
        for beta in BETAS:
            found = outcome("wine_quality", "beta-vae", Path(folder), beta=beta)
            lines.append(f"| {beta:g} | {found.share:.3f} | {found.active} |")
            print(lines[-1], flush=True)
    chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
