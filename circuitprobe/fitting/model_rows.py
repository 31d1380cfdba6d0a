"""A table as rows of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data import apply_encoding

if TYPE_CHECKING:
    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.types import FloatArray, MissingValues, Table, TableEncoding


def model_rows(vae: ProbedVAE, table: Table, encoding: TableEncoding) -> tuple[FloatArray, tuple[MissingValues, ...]]:
    """The table in the model's space, with the conditions that the model computes from a row behind it.

    Args:
        vae: the model.
        table: the audited rows.
        encoding: how the model saw a table like this.

    Returns:
        x, float64 of shape (rows, dims), and what was missing or not among the known categories, column by column.

    Raises:
        DataError: columns are missing, there is text in a numeric one, or a row has no condition.
    """
    x, missing = apply_encoding(table, encoding)
    return (x if vae.row_condition is None else np.concatenate([x, vae.row_condition(x)], axis=1)), missing
