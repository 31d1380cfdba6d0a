"""Make the example: a VAE trained on Adult, and a sample of its table as a plain CSV to audit it on.

Run as ``python examples/make_example.py`` from the repository; it takes about a minute and gives the same bytes each
time on one machine. Add a folder to write somewhere else: ``python examples/make_example.py /tmp/example``.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

from circuitprobe.adapters.benchmarks import benchmark, benchmark_file
from circuitprobe.adapters.data import read_table
from circuitprobe.reference_models import train

BENCHMARK = "adult"
MODEL = "adult_vae.pt"
SAMPLE = "adult_sample.csv"
EPOCHS = 40
ROWS = 2500
SEED = 0


def write_sample(path: Path) -> None:
    """Copy the header and a seeded draw of ``ROWS`` rows, every column as it is in the published file."""
    with benchmark_file(benchmark(BENCHMARK)).open("rb") as packed:
        lines = lzma.decompress(packed.read()).decode("utf-8").splitlines()
    drawn = read_table(BENCHMARK, rows=ROWS, seed=SEED).index
    # newline="\n": the same bytes on every system.
    path.write_text("\n".join([lines[0], *(lines[1 + row] for row in drawn), ""]), encoding="utf-8", newline="\n")


def main() -> None:
    """Write both files, beside this script unless a folder is given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    write_sample(folder / SAMPLE)
    trained = train(BENCHMARK, arch="vae", epochs=EPOCHS, seed=SEED, out=folder / MODEL)
    print(f"trained {EPOCHS} epochs, validation loss {trained.log[-1].validation:.2f} nats per row")
    for name in (MODEL, SAMPLE):
        print(f"{folder / name}: {(folder / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
