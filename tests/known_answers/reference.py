"""METHOD.md section 2 and its reconstruction item, written a second time: slow, in loops, from the text alone.

Nothing here imports circuitprobe. Rows, latents and features are visited one at a time, so that each line can be read
against the text.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """A feature: "numeric", "binary" or "categorical", and the dimensions it spans."""

    kind: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """What is audited.

    Attributes:
        x: rows, shape (n, dims).
        mean: mu(x), shape (n, d).
        log_var: log sigma^2(x), shape (n, d).
        decode: one code (d,) -> one output row (dims,), values and probabilities.
        hidden: one code (d,) -> the decoder's hidden layers, a list of vectors.
        columns: the features.
        membership: group number of each feature.
    """

    x: Array
    mean: Array
    log_var: Array
    decode: Callable[[Array], Array]
    hidden: Callable[[Array], list[Array]]
    columns: Sequence[Column]
    membership: Sequence[int]


def mixture_quantile(mean: Array, sigma: Array, level: float) -> float:
    """Bisection on (1/n) sum_x Phi((v - mu(x)) / sigma(x)) = level."""
    low, high = float(np.min(mean - 40 * sigma)), float(np.max(mean + 40 * sigma))
    for _ in range(200):
        middle = (low + high) / 2
        if np.mean(ndtr((middle - mean) / sigma)) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def posterior_quantiles(subject: Subject, count: int) -> Array:
    sigma = np.exp(subject.log_var / 2)
    values = np.zeros((subject.mean.shape[1], count))
    for i in range(len(values)):
        for k in range(1, count + 1):
            values[i, k - 1] = mixture_quantile(subject.mean[:, i], sigma[:, i], (k - 0.5) / count)
    return values


def population_std(values: Array) -> float:
    return math.sqrt(float(np.mean((values - np.mean(values)) ** 2)))


def feature_change(column: Column, a: Array, b: Array, std: float) -> float:
    """delta_f(a, b) of two rows of outputs or inputs."""
    if column.kind == "numeric":
        return abs(float(a[column.dims[0]] - b[column.dims[0]])) / std
    if column.kind == "binary":
        return abs(float(a[column.dims[0]] - b[column.dims[0]]))
    return 0.5 * sum(abs(float(a[c] - b[c])) for c in column.dims)


def changes(subject: Subject, a: Array, b: Array) -> list[float]:
    """delta_f of every feature."""
    result = []
    for column in subject.columns:
        std = population_std(subject.x[:, column.dims[0]]) if column.kind == "numeric" else 1.0
        result.append(feature_change(column, a, b, std))
    return result


@dataclass(frozen=True)
class LatentLevel:
    """Effect matrix (d, F), CES (d,), per-row CES (n, d)."""

    effects: Array
    ces: Array
    ces_rows: Array


def latent_level(subject: Subject, values: Array) -> LatentLevel:
    n, d = subject.mean.shape
    effects, ces_rows = np.zeros((d, len(subject.columns))), np.zeros((n, d))
    for row in range(n):
        base = subject.decode(subject.mean[row])
        for i in range(d):
            for value in values[i]:
                code = subject.mean[row].copy()
                code[i] = value
                deltas = changes(subject, base, subject.decode(code))
                effects[i] += np.array(deltas) / (n * len(values[i]))
                ces_rows[row, i] += math.sqrt(sum(delta**2 for delta in deltas) / len(deltas)) / len(values[i])
    return LatentLevel(effects, ces_rows.mean(axis=0), ces_rows)


def kl(subject: Subject) -> Array:
    """Mean KL per latent, nats."""
    n, d = subject.mean.shape
    result = np.zeros(d)
    for row in range(n):
        for i in range(d):
            mu, lv = float(subject.mean[row, i]), float(subject.log_var[row, i])
            result[i] += 0.5 * (mu**2 + math.exp(lv) - 1 - lv) / n
    return result


def scales(subject: Subject) -> Array:
    d = subject.mean.shape[1]
    return np.array(
        [
            math.sqrt(population_std(subject.mean[:, i]) ** 2 + float(np.mean(np.exp(subject.log_var[:, i]))))
            for i in range(d)
        ]
    )


def entropy(weights: Sequence[float] | Array) -> float:
    total = float(sum(weights))
    return -sum(w / total * math.log(w / total) for w in weights if w > 0)


def specificity(effects: Array) -> list[float]:
    return [1 - entropy(row) / math.log(len(row)) for row in effects]


def weighted_over_active(per_latent: Sequence[float], ces: Array, active: Array) -> float:
    chosen = [i for i in range(len(ces)) if active[i]]
    return sum(per_latent[i] * float(ces[i]) for i in chosen) / sum(float(ces[i]) for i in chosen)


def group_matrix(effects: Array, membership: Sequence[int], groups: int) -> Array:
    result = np.zeros((len(effects), groups))
    for i, row in enumerate(effects):
        for g in range(groups):
            members = [float(row[f]) for f in range(len(row)) if membership[f] == g]
            result[i, g] = sum(members) / len(members)
    return result


def disentanglement(r: Array) -> list[float]:
    return [1 - entropy(row) / math.log(r.shape[1]) if row.sum() > 0 else math.nan for row in r]


def fgd(r: Array) -> float:
    """sum_i w_i D_i over the latents that move anything."""
    parts = zip(r.sum(axis=1), disentanglement(r), strict=True)
    return float(sum(w / r.sum() * d for w, d in parts if w > 0))


def completeness(r: Array) -> list[float]:
    return disentanglement(r.T)


def fgc(r: Array) -> float:
    return fgd(r.T)


def enumerate_fgd_null(effects: Array, membership: Sequence[int] | np.ndarray[Any, Any], groups: int) -> Array:
    """FGD under every permutation of the features over the groups; all equally likely."""
    everything = [
        fgd(group_matrix(effects, [membership[f] for f in order], groups))
        for order in itertools.permutations(range(effects.shape[1]))
    ]
    return np.array(everything)


def pearson(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def unit_profiles(subject: Subject, values: Array) -> list[Array]:
    """Per hidden layer: mean over rows and k of |a_u(do) - a_u(mu)| / s_u, shape (d, U); dead units left out."""
    n, d = subject.mean.shape
    base = [subject.hidden(code) for code in subject.mean]
    profiles = []
    for layer in range(len(base[0])):
        activations = np.array([layers[layer] for layers in base])
        profile = np.zeros((d, activations.shape[1]))
        for row in range(n):
            for i in range(d):
                for value in values[i]:
                    code = subject.mean[row].copy()
                    code[i] = value
                    moved = subject.hidden(code)[layer]
                    profile[i] += np.abs(moved - activations[row]) / (n * len(values[i]))
        std = np.array([population_std(activations[:, u]) for u in range(activations.shape[1])])
        alive = std > 0
        profiles.append(profile[:, alive] / std[alive])
    return profiles


def modularity(profile: Array, active: Array) -> float:
    chosen = [i for i in range(len(profile)) if active[i]]
    pairs = [abs(pearson(profile[i], profile[j])) for i, j in itertools.combinations(chosen, 2)]
    return 1 - sum(pairs) / len(pairs)


def on_support_rates(subject: Subject, values: Array) -> list[float]:
    """Share of codes within the 99 % quantile of the rows' Mahalanobis distances, per latent."""
    n, d = subject.mean.shape
    centre = subject.mean.mean(axis=0)
    covariance = np.diag(np.exp(subject.log_var).mean(axis=0))
    for row in range(n):
        covariance += np.outer(subject.mean[row] - centre, subject.mean[row] - centre) / n
    inverse = np.linalg.inv(covariance)

    def distance(code: Array) -> float:
        return math.sqrt(float((code - centre) @ inverse @ (code - centre)))

    limit = float(np.quantile([distance(code) for code in subject.mean], 0.99))
    rates = []
    for i in range(d):
        inside = 0
        for row in range(n):
            for value in values[i]:
                code = subject.mean[row].copy()
                code[i] = value
                inside += distance(code) <= limit
        rates.append(inside / (n * len(values[i])))
    return rates


@dataclass(frozen=True)
class Rebuilt:
    """Reconstruction of one feature: MSE, MSE of the mean or frequencies, R^2 or accuracy, that of the commonest."""

    mse: float
    baseline: float
    r2: float | None
    accuracy: float | None
    commonest: float | None


def reconstruction(subject: Subject) -> list[Rebuilt]:
    n = len(subject.x)
    means = subject.x.mean(axis=0)
    result = []
    outputs = [subject.decode(code) for code in subject.mean]
    for f, column in enumerate(subject.columns):
        mse = sum(changes(subject, outputs[row], subject.x[row])[f] ** 2 for row in range(n)) / n
        baseline = sum(changes(subject, means, subject.x[row])[f] ** 2 for row in range(n)) / n
        if column.kind == "numeric":
            x = subject.x[:, column.dims[0]]
            residual = sum((float(outputs[row][column.dims[0]]) - float(x[row])) ** 2 for row in range(n))
            result.append(Rebuilt(mse, baseline, 1 - residual / float(((x - x.mean()) ** 2).sum()), None, None))
            continue
        right, labels = 0, []
        for row in range(n):
            if column.kind == "binary":
                guess, label = int(outputs[row][column.dims[0]] > 0.5), int(subject.x[row, column.dims[0]])
            else:
                guess = int(np.argmax(outputs[row][list(column.dims)]))
                label = int(np.argmax(subject.x[row, list(column.dims)]))
            right += guess == label
            labels.append(label)
        result.append(Rebuilt(mse, baseline, None, right / n, max(labels.count(c) for c in set(labels)) / n))
    return result
