"""Make the example: the five reference architectures trained on Adult, their audits, and a sample of the table as a plain CSV.

Run as ``python examples/make_example.py`` from the repository; it takes some minutes and gives the same bytes each
time on one kind of processor. Add a folder to write somewhere else: ``python examples/make_example.py /tmp/example``.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

import circuitprobe as cp
from circuitprobe.adapters.benchmarks import benchmark, benchmark_file
from circuitprobe.adapters.data import read_table
from circuitprobe.reference_models import ARCHITECTURES

BENCHMARK = "adult"
SAMPLE = "adult_sample.csv"
GROUPS = Path(__file__).parent / "adult_groups.toml"
ROWS = 2500
SEED = 0
# level 3 adds four megabytes of units and paths to each audit
LEVELS = (1, 2, 4)


def write_sample(path: Path) -> None:
    """Copy the header and a seeded draw of ``ROWS`` rows, every column as it is in the published file."""
    with benchmark_file(benchmark(BENCHMARK)).open("rb") as packed:
        lines = lzma.decompress(packed.read()).decode("utf-8").splitlines()
    drawn = read_table(BENCHMARK, rows=ROWS, seed=SEED).index
    # newline="\n": the same bytes on every system.
    path.write_text("\n".join([lines[0], *(lines[1 + row] for row in drawn), ""]), encoding="utf-8", newline="\n")


def stem(arch: str) -> str:
    """``adult_beta_vae`` for ``beta-vae``."""
    return f"{BENCHMARK}_{arch.replace('-', '_')}"


def main() -> None:
    """Write all files, beside this script unless a folder is given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    audits = folder / "audits"
    audits.mkdir(parents=True, exist_ok=True)
    write_sample(folder / SAMPLE)
    for arch in ARCHITECTURES:
        model = folder / f"{stem(arch)}.pt"
        trained = cp.train(BENCHMARK, arch=arch, seed=SEED, out=model)
        report = cp.audit(model, folder / SAMPLE, target="income", groups=GROUPS, seed=SEED, levels=LEVELS)
        report.to_json(audits / f"{stem(arch)}.json")
        print(f"{model.name}: weights of step {trained.best_step:,}, {trained.ended}; {report.verdict[0]}", flush=True)


if __name__ == "__main__":
    main()
