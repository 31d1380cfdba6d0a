"""The latent sweep against doing it by hand, as ratios measured in one process and interleaved.

Contenders, all on the example (2,048 rows, MLP VAE of 10 latents), one thread, posterior-calibrated values, K = 8:

- circuitprobe: ``cp.interventions.latents``: effect matrix, CES;
- by hand: one decoder run per latent and value, feature changes with one loop over the columns;
- limit: the bare decoder runs on the same codes, nothing measured.

It checks that the first two give the same effects before it times anything.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import circuitprobe as cp
from circuitprobe.adapters.data import apply_encoding, encoding_features, read_table
from circuitprobe.interventions import posterior_values
from circuitprobe.types import FeatureKind

EXAMPLES = Path(__file__).parent.parent / "examples"
ROUNDS = 7


def main() -> None:
    """Check, time, print."""
    torch.set_num_threads(1)
    vae = cp.load(EXAMPLES / "adult_vae.pt")
    assert vae.encoding is not None
    x, _ = apply_encoding(read_table(EXAMPLES / "adult_sample.csv"), vae.encoding)
    features = encoding_features(vae.encoding)
    inputs = torch.as_tensor(x, dtype=torch.float32)
    with torch.no_grad():
        mean, log_var = vae.model.encode(inputs)
    values = posterior_values(mean.double().numpy(), log_var.double().numpy(), 8)

    def codes(i: int, value: float) -> torch.Tensor:
        code = mean.clone()
        code[:, i] = value
        return code

    def by_hand() -> np.ndarray:
        effects = np.zeros((mean.shape[1], len(features)))
        with torch.no_grad():
            base = vae.model.decode(mean)
            for i, row in enumerate(values):
                for value in row:
                    change = (vae.model.decode(codes(i, value)) - base).abs()
                    for f, feature in enumerate(features):
                        moved = change[:, list(feature.dims)].sum(dim=1)
                        weight = {FeatureKind.NUMERIC: 1 / x[:, feature.dims[0]].std(), FeatureKind.CATEGORICAL: 0.5}
                        effects[i, f] += float(moved.mean()) * weight.get(feature.kind, 1.0) / len(row)
        return effects

    def limit() -> None:
        with torch.no_grad():
            for i, row in enumerate(values):
                for value in row:
                    vae.model.decode(codes(i, value))

    def ours() -> np.ndarray:
        return cp.interventions.latents(vae, x, values=values, features=features).effects

    difference = np.abs(ours() - by_hand()).max()
    assert difference < 1e-5, difference
    print(f"same effects to {difference:.1e}")
    report({"circuitprobe": ours, "by hand": by_hand, "limit": limit})


def report(contenders: dict[str, Callable[[], object]]) -> None:
    """Median seconds of interleaved rounds, and each contender's time over circuitprobe's in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        ratios = sorted(t / own for t, own in zip(times, seconds["circuitprobe"], strict=True))
        spread = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        print(f"{name:14} {statistics.median(times):.2f} s   {spread} x circuitprobe's time")


if __name__ == "__main__":
    main()
