"""The latent sweep on the example that ships with the repository: 2,048 rows, numeric, binary and categorical columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import circuitprobe as cp
from benchmarks.tasks import Figures
from circuitprobe.adapters.data import apply_encoding, encoding_features, read_table
from circuitprobe.interventions import posterior_values
from circuitprobe.types import FeatureKind

EXAMPLES = Path(__file__).parent.parent / "examples"


def contenders(n_values: int = 8) -> dict[str, Callable[[], Figures | None]]:
    """circuitprobe, a loop by hand (one decoder run per latent and value, one loop over the columns) and the bare runs."""
    vae = cp.load(EXAMPLES / "adult_vae.pt")
    assert vae.encoding is not None
    model: Any = vae.model
    x, _ = apply_encoding(read_table(EXAMPLES / "adult_sample.csv"), vae.encoding)
    features = encoding_features(vae.encoding)
    with torch.no_grad():
        mean, log_var = model.encode(torch.as_tensor(x, dtype=torch.float32))
    values = posterior_values(mean.double().numpy(), log_var.double().numpy(), n_values)

    def code(i: int, value: float) -> Any:  # noqa: ANN401
        moved = mean.clone()
        moved[:, i] = value
        return moved

    @torch.no_grad()
    def by_hand() -> Figures:
        effects = np.zeros((mean.shape[1], len(features)))
        base = model.decode(mean)
        weights = {FeatureKind.CATEGORICAL: 0.5}
        for i, row in enumerate(values):
            for value in row:
                change = (model.decode(code(i, value)) - base).abs()
                for f, feature in enumerate(features):
                    moved = change[:, list(feature.dims)].sum(dim=1)
                    numeric = feature.kind is FeatureKind.NUMERIC
                    weight = 1 / x[:, feature.dims[0]].std() if numeric else weights.get(feature.kind, 1.0)
                    effects[i, f] += float(moved.mean()) * weight / len(row)
        return {"effects": effects}

    @torch.no_grad()
    def limit() -> None:
        for i, row in enumerate(values):
            for value in row:
                model.decode(code(i, value))

    def engine() -> Figures:
        return {"effects": cp.interventions.latents(vae, x, values=values, features=features).effects}

    return {"circuitprobe": engine, "plain hooks": by_hand, "limit": limit}
