"""What a reference model for tables is trained on: the feature columns of a table as one tensor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from circuitprobe.adapters.benchmarks import named_benchmark
from circuitprobe.adapters.data import apply_encoding, fit_encoding, read_table
from circuitprobe.adapters.data.near_names import did_you_mean, listed
from circuitprobe.errors import DataError
from circuitprobe.reference_models.config import Config, TableConfig, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from circuitprobe.adapters.data import TableSchema
    from circuitprobe.reference_models.objectives import Modality
    from circuitprobe.types import Table, TableEncoding

MIN_ROWS = 50


class TrainingData(Protocol):
    """Rows to train on, of a table or of images, with what is known of their origin."""

    @property
    def modality(self) -> Modality:
        """Which networks and defaults fit."""

    @property
    def source(self) -> str:
        """Short name of where they come from."""

    @property
    def target(self) -> str | None:
        """The label, no feature; None where there is none."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that were kept out."""

    @property
    def encoding(self) -> TableEncoding | None:
        """How a table became the rows; None for images."""

    def __len__(self) -> int:
        """How many rows."""

    def config(self, arch: str, latents: int, hidden: tuple[int, ...]) -> Config:
        """The network that fits."""

    def part(self, index: Tensor, device: torch.device) -> TrainingPart:
        """Some of the rows, ready for a device."""

    def digest(self) -> str:
        """A hash over what the rows are, so that a training goes on with the same ones only."""


class TrainingPart(Protocol):
    """The rows that gradients come from, or those held out."""

    def __len__(self) -> int:
        """How many rows."""

    def take(self, index: Tensor) -> Tensor:
        """A batch by positions within the part (a tensor on the CPU), float32 on the part's device."""


@dataclass(frozen=True)
class HeldRows:
    """Rows that a device holds whole.

    Attributes:
        x: shape (rows, ...), float32.
    """

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        """See ``TrainingPart``."""
        return self.x.index_select(0, index.to(self.x.device))


@dataclass(frozen=True)
class TrainingRows:
    """Rows in the model's space with what is known of their origin.

    Attributes:
        x: shape (rows, dims), float32, on the CPU.
        encoding: how the table became ``x``.
        source: short name of the table.
        target: the target column, kept out of the features; None where there is none.
        ignored: other columns that were kept out: the benchmark's, the schema's, and those that hold no feature
            (constant, identifiers, free text).
    """

    x: Tensor
    encoding: TableEncoding
    source: str
    target: str | None
    ignored: tuple[str, ...]
    modality: Modality = "table"

    def __len__(self) -> int:
        return len(self.x)

    def config(self, arch: str, latents: int, hidden: tuple[int, ...]) -> TableConfig:
        """See ``TrainingData``."""
        return TableConfig(arch, latents, hidden, blocks_of(self.encoding))

    def part(self, index: Tensor, device: torch.device) -> HeldRows:
        """See ``TrainingData``."""
        return HeldRows(self.x[index].to(device))

    def digest(self) -> str:
        """See ``TrainingData``."""
        return hashlib.sha256(self.x.numpy().tobytes()).hexdigest()


def read_training_rows(
    source: str | Path | pd.DataFrame,
    *,
    target: str | None = None,
    schema: TableSchema | None = None,
    ignore: Sequence[str] = (),
    rows: int | None = None,
    seed: int = 0,
) -> TrainingRows:
    """Read and encode a table, its target and the benchmark's ignored columns left out.

    Args:
        source: a file, a data frame or a benchmark's name.
        target: the column to keep out; a benchmark or the schema may name it instead.
        schema: overrides what is inferred.
        ignore: further columns to keep out.
        rows: how many rows to draw; all of them where None.
        seed: of that draw.

    Raises:
        DataError: fewer than 50 rows, an unknown target or column to ignore, no feature left, or values that are not finite.
    """
    known = named_benchmark(source)
    table = read_table(source, rows=rows, seed=seed, schema=schema)
    if len(table.index) < MIN_ROWS:
        raise DataError(
            f"{table.source} has {len(table.index)} rows",
            expected=f"at least {MIN_ROWS} to train on, and thousands for a model worth auditing",
            fix="train on a larger table" if table.total < MIN_ROWS else f"`--rows {table.total}`",
        )
    target = target or (schema.target if schema else None) or (known.target if known else None)
    names = tuple(column.name for column in table.columns)
    _check_names(table.source, names, ("target", *((target,) if target is not None else ())))
    _check_names(table.source, names, ("ignore", *ignore))
    outcomes = known.outcomes if known else ()
    excluded = tuple(dict.fromkeys((*outcomes, *((target,) if target is not None else ()), *ignore)))
    encoding = fit_encoding(table, exclude=excluded, schema=schema)
    encoded = {column.name for column in encoding.columns}
    unread = (*(known.ignore if known else ()), *(schema.ignored if schema else ()))
    left_out = tuple(dict.fromkeys(name for name in (*names, *unread) if name not in encoded and name != target))
    return TrainingRows(_finite(table, encoding), encoding, table.source, target, left_out)


def _check_names(source: str, names: tuple[str, ...], given: tuple[str, ...]) -> None:
    """Refuse columns that an option (the first entry) names and the table lacks."""
    option, *columns = given
    for column in columns:
        if column not in names:
            raise DataError(
                f"{source} has no column {column!r} to keep out (--{option})",
                expected=f"one of {listed(names)}",
                fix=did_you_mean(column, names) or f"name one of them with `--{option}`, or leave --{option} out",
            )


def _finite(table: Table, encoding: TableEncoding) -> Tensor:
    x, _ = apply_encoding(table, encoding)
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(x, dtype=np.float32)
    if not np.isfinite(narrow).all():
        worst = int(np.argmin(np.isfinite(narrow).all(axis=0)))
        raise DataError(
            f"column {column_at(encoding, worst)!r} of {table.source} holds values that are not finite once scaled",
            expected="finite numbers within the range of 32-bit floats",
            fix="remove or rescale that column, or state its kind in a schema file (`--schema`)",
        )
    return torch.from_numpy(narrow)


def column_at(encoding: TableEncoding, dim: int) -> str:
    """Name of the raw column that a model dimension belongs to."""
    ends = np.cumsum([column.width for column in encoding.columns])
    return encoding.columns[int(np.searchsorted(ends, dim, side="right"))].name
