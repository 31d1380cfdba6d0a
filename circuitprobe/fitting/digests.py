"""Which rows were audited, whatever a model makes of them: two models of one table are then known to have seen the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray, Table


def table_digest(table: Table, columns: Iterable[str]) -> str:
    """SHA-256 over some columns of the audited rows, in sorted order of names.

    Per column its name and a newline; then numbers as little-endian float64, all nan alike, or texts in UTF-8 with a newline
    behind each, nothing for a missing one.
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(f"{name}\n".encode())
        values = table.frame[name]
        if values.dtype.kind == "f":
            digest.update(values_bytes(values.to_numpy(dtype=np.float64)))
        else:
            texts = values.astype(object).where(values.notna(), "")
            digest.update("".join(f"{value}\n" for value in texts).encode("utf-8", "replace"))
    return digest.hexdigest()


def array_digest(values: FloatArray) -> str:
    """SHA-256 over the little-endian float64 values, row after row."""
    return hashlib.sha256(values_bytes(np.asarray(values, dtype=np.float64))).hexdigest()


def values_bytes(values: FloatArray) -> bytes:
    """Little-endian float64, all nan alike."""
    return np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()
