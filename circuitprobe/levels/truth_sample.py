"""The rows that codes are scored against known factors on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitprobe.errors import DataError
from circuitprobe.report.model import LeftOutReport
from circuitprobe.stats.draws import Stream, generator

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import FloatArray, IntArray

# Locatello et al. 2019, appendix C: 10,000 to fit on, 5,000 held out
MOST_ROWS = 15_000
LEAST_ROWS = 60


@dataclass(frozen=True)
class TruthSample:
    """Codes and factors of the rows drawn, in the order drawn.

    Attributes:
        codes: shape (rows, latents).
        factors: class numbers from 0 in the order of the values, shape (rows, factors); no factor is constant in the first
            ``train`` rows, each has a value that two rows share.
        train: rows to fit on, the first ones; the others are held out.
        names: of the factors.
        latents: names of the latents.
        left_out: factors that no score is computed on.
    """

    codes: FloatArray
    factors: IntArray
    train: int
    names: tuple[str, ...]
    latents: tuple[str, ...]
    left_out: tuple[LeftOutReport, ...] = ()

    @property
    def fit(self) -> tuple[FloatArray, IntArray]:
        """Codes and factors of the rows to fit on."""
        return self.codes[: self.train], self.factors[: self.train]

    @property
    def held_out(self) -> tuple[FloatArray, IntArray]:
        """Codes and factors of the others."""
        return self.codes[self.train :], self.factors[self.train :]

    def own_code(self) -> TruthSample:
        """The factors as their own code: class numbers with mean 0 and variance 1."""
        spread = self.factors.std(axis=0)
        return replace(self, codes=(self.factors - self.factors.mean(axis=0)) / spread, latents=self.names)


def drawn(total: int, seed: int, most: int = MOST_ROWS) -> IntArray:
    """Which rows are drawn, in order: the first ``most`` of one permutation of all."""
    return generator(seed, Stream.TRUTH_ROWS).permutation(total)[:most]


def truth_sample(
    codes: npt.ArrayLike,
    factors: npt.ArrayLike,
    names: Sequence[str] | None = None,
    latents: Sequence[str] | None = None,
    seed: int = 0,
) -> TruthSample:
    """Draw the rows of arrays given by a caller.

    Raises:
        DataError: see ``cp.ground_truth``.
    """
    z, v = _codes(codes), _factors(factors)
    if v.ndim != 2 or len(v) != len(z) or v.shape[1] == 0:
        raise DataError(
            f"codes of shape {z.shape} with factors of shape {v.shape}",
            expected="two axes each, (rows, latents) and (rows, factors), with the same rows",
            fix="factors.reshape(len(codes), -1) if there is one factor",
        )
    index = drawn(len(z), seed)
    return sample_of(
        z[index],
        v[index],
        _labels("factor", names, v.shape[1], "v"),
        _labels("latent", latents, z.shape[1], "z"),
    )


def sample_of(
    codes: FloatArray, factors: npt.NDArray[np.generic], names: tuple[str, ...], latents: tuple[str, ...]
) -> TruthSample:
    """Rows that are drawn already: factors become class numbers, those that no score can be computed on are left out.

    Raises:
        DataError: too few rows, or no factor left.
    """
    if len(codes) < LEAST_ROWS:
        raise DataError(
            f"{len(codes)} rows with known factors", expected=f"at least {LEAST_ROWS}", fix="give more rows"
        )
    train = 2 * len(codes) // 3
    kept, columns, left_out = [], [], []
    for name, column in zip(names, factors.T, strict=True):
        classes = np.unique(column, return_inverse=True)[1].reshape(-1).astype(np.int64)
        reason = _unusable(classes, train)
        if reason:
            left_out.append(LeftOutReport(name=name, reason=reason))
        else:
            kept.append(name)
            columns.append(classes)
    if not kept:
        told = "; ".join(f"{entry.name}: {entry.reason}" for entry in left_out)
        raise DataError(f"no factor is left ({told})", expected="one that varies, in classes", fix="give other factors")
    return TruthSample(codes, np.stack(columns, axis=1), train, tuple(kept), latents, tuple(left_out))


def _unusable(classes: IntArray, train: int) -> str:
    if np.ptp(classes) == 0:
        return "constant"
    if np.ptp(classes[:train]) == 0:
        return "constant over the rows to fit on"
    if np.bincount(classes).max() < 2:
        return "no two rows have the same value: no classes"
    return ""


def _array(given: npt.ArrayLike) -> npt.NDArray[Any]:
    # a tensor that carries gradients refuses to become an array by itself
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)


def _factors(given: npt.ArrayLike) -> npt.NDArray[Any]:
    factors = _array(given)
    # nan alone differs from itself
    missing = int(np.sum(factors != factors))
    missing += sum(value is None for value in factors.flat) if factors.dtype == object else 0
    if missing:
        raise DataError(
            f"{missing:,} values of the factors are missing",
            expected="a value of each factor for each row",
            fix="leave out these rows: pandas.notna(factors).all(axis=1)",
        )
    mixed = [k for k, column in enumerate(factors.T) if factors.dtype == object and len(_text(column)) > 1]
    if mixed:
        raise DataError(
            f"column {mixed[0]} of the factors (counted from 0) holds text and numbers",
            expected="one or the other: classes are numbered in the order of the values",
            fix=f"factors[:, {mixed[0]}] = factors[:, {mixed[0]}].astype(str)",
        )
    return factors


def _text(column: Any) -> set[bool]:  # noqa: ANN401 - one value where the factors have one axis
    return {isinstance(value, str) for value in np.atleast_1d(column).flat}


def _codes(given: npt.ArrayLike) -> FloatArray:
    codes = _array(given)
    if codes.ndim != 2 or codes.shape[1] == 0 or codes.dtype.kind not in "fiub":
        raise DataError(
            f"codes of shape {codes.shape}, {codes.dtype}",
            expected="numbers of shape (rows, latents)",
            fix="mu.detach().cpu().numpy() for a tensor",
        )
    if not np.isfinite(codes).all():
        raise DataError(
            f"{int((~np.isfinite(codes)).sum()):,} values of the codes are not finite",
            expected="finite numbers",
            fix="leave out these rows: numpy.isfinite(codes).all(axis=1)",
        )
    return codes.astype(np.float64)


def _labels(what: str, names: Sequence[str] | None, count: int, letter: str) -> tuple[str, ...]:
    found = tuple(f"{letter}{i}" for i in range(count)) if names is None else tuple(map(str, names))
    if len(found) != count or len(set(found)) != count:
        raise DataError(
            f"{what} names {', '.join(found)}",
            expected=f"{count} different names, one per column",
            fix="leave them out, or name each column",
        )
    return found
