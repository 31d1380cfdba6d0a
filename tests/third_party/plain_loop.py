"""Level 2 in the plainest way: a loop over latents and values that calls nothing but the library's own decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Decode = Callable[[Tensor], np.ndarray]


def effects(report: dict[str, Any], mean: Tensor, read: Decode) -> tuple[np.ndarray, np.ndarray]:
    """e_{i,f} and CES_i (METHOD.md section 2) at the values that a report names.

    Args:
        report: the JSON.
        mean: codes of the audited rows, shape (rows, latents).
        read: codes -> the features' readings, shape (rows, columns): values of numeric features and pixels, probabilities.

    Returns:
        Shapes (latents, features) and (latents,).
    """
    features = report["data"]["features"]
    owner = np.repeat(np.arange(len(features)), [len(feature["dims"]) for feature in features])
    weights = np.zeros((len(owner), len(features)))
    for column, number in enumerate(owner):
        weights[column, number] = _weight(features[number])
    before = read(mean)
    found, strength = [], []
    for latent, entry in enumerate(report["latents"]):
        moved = []
        for value in entry["posterior_values"]:
            codes = mean.clone()
            codes[:, latent] = value
            moved.append(np.abs(read(codes) - before) @ weights)
        found.append(np.mean(moved, axis=(0, 1)))
        strength.append(np.sqrt(np.mean(np.square(moved), axis=2)).mean())
    return np.array(found), np.array(strength)


def _weight(feature: dict[str, Any]) -> float:
    kind = feature["kind"]
    if kind == "numeric":
        return 1.0 / float(feature["std"])
    return {"categorical": 0.5, "binary": 1.0, "pixel": 1.0 / len(feature["dims"])}[kind]


def check(report: dict[str, Any], mean: Tensor, read: Decode) -> None:
    """Refuse a report whose effects or CES differ from the loop's by more than 1e-5 of themselves."""
    with torch.no_grad():
        wanted, strength = effects(report, mean, read)
    names = [feature["name"] for feature in report["data"]["features"]]
    told = np.array([[entry["effects"][name]["value"] for name in names] for entry in report["latents"]])
    ces = np.array([entry["ces"]["value"] for entry in report["latents"]])
    assert wanted.max() > 1e-3, "nothing moves: the comparison would say nothing"
    # 1e-5 of each figure; what is next to nothing beside a row's largest is compared with that
    np.testing.assert_allclose(told, wanted, rtol=1e-5, atol=1e-6 * wanted.max())
    np.testing.assert_allclose(ces, strength, rtol=1e-5, atol=1e-6 * strength.max())
